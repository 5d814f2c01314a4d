//! One limit, counted for each key in a window that begins with the first point. No clock: time is passed in.

use std::collections::HashMap;
use std::time::Instant;

use super::{Limit, Status};

/// The windows of one limit.
#[derive(Debug)]
pub(super) struct Windows {
    limit: Limit,
    open: HashMap<String, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    used: u64,
}

impl Windows {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            open: HashMap::new(),
        }
    }

    /// Takes points, also more than are left, which refuses the request and spends the window.
    pub(super) fn take(&mut self, key: String, points: u64, now: Instant) -> Status {
        let Limit {
            points: all,
            window,
        } = self.limit;
        let age = |began: Instant| now.saturating_duration_since(began);
        if self
            .open
            .get(&key)
            .is_none_or(|open| age(open.began) >= window)
        {
            // The map grows with the keys of one window's time, not with all that there ever were.
            self.open.retain(|_, open| age(open.began) < window);
        }
        let open = self.open.entry(key).or_insert(Window {
            began: now,
            used: 0,
        });
        open.used = open.used.saturating_add(points);
        Status {
            limit: self.limit,
            left: all.saturating_sub(open.used),
            resets_in: window.saturating_sub(age(open.began)),
            refused: open.used > all,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    #[test]
    fn a_window_begins_with_its_first_point_and_gives_all_of_them_back_at_its_end() {
        let mut windows = Windows::new(Limit::new(10, WINDOW));
        let start = Instant::now();
        let mut take = |key: &str, points, after: f64| {
            let now = start + Duration::from_secs_f64(after);
            let status = windows.take(key.to_owned(), points, now);
            (status.left, status.resets_in.as_secs_f64(), status.refused)
        };
        assert_eq!(take("a", 3, 0.0), (7, 5.0, false));
        assert_eq!(take("a", 7, 1.0), (0, 4.0, false));
        assert_eq!(take("b", 1, 1.0), (9, 5.0, false), "keys are apart");
        assert_eq!(take("a", 1, 4.5), (0, 0.5, true));
        assert_eq!(take("a", 1, 5.0), (9, 5.0, false), "the end is outside");
        assert_eq!(take("b", 1, 5.5), (8, 0.5, false));
    }

    #[test]
    fn what_is_refused_is_taken_all_the_same() {
        let mut windows = Windows::new(Limit::new(10, WINDOW));
        let now = Instant::now();
        assert!(windows.take("a".to_owned(), 11, now).refused);
        let after = windows.take("a".to_owned(), 1, now);
        assert!(after.refused && after.left == 0);
    }

    #[test]
    fn windows_that_ended_are_let_go_and_one_may_be_endless() {
        let mut windows = Windows::new(Limit::new(10, WINDOW));
        let start = Instant::now();
        for key in 0..100 {
            windows.take(key.to_string(), 1, start);
        }
        windows.take("new".to_owned(), 1, start + WINDOW);
        assert_eq!(windows.open.len(), 1);
        let mut endless = Windows::new(Limit::new(1, Duration::MAX));
        assert!(!endless.take("a".to_owned(), 1, start).refused);
        assert!(endless.take("a".to_owned(), 1, start + WINDOW).refused);
    }
}
