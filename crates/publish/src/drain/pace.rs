//! How long to wait after a failure of the PDS.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first pause; it doubles, with jitter, so that many agents do not come back at once.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause: a PDS that is back is used again within a minute.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest time that a rate limit is waited for because the PDS says so: the longest window that PDSs
/// have. What says more is mistaken.
const LONGEST_WINDOW: Duration = Duration::from_secs(86_400);

/// So many failures in a row on different requests are the PDS's own.
const IN_A_ROW: u32 = 3;

#[derive(Debug, Default)]
pub(crate) struct Pace {
    backoff: Option<ExponentialBackoff>,
    in_a_row: u32,
    /// The entry that the last of them was about, if it was one alone.
    last: Option<i64>,
}

impl Pace {
    /// The PDS did what it was asked to.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The PDS is out of order: how long to wait.
    pub(crate) fn failed(&mut self) -> Duration {
        let backoff = self.backoff.get_or_insert_with(|| {
            ExponentialBuilder::default()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST)
                .with_jitter()
                .without_max_times()
                .build()
        });
        backoff.next().unwrap_or(LONGEST)
    }

    /// The PDS failed on one request, which was about this entry if it was about one: how long to wait,
    /// if it seems to be out of order. A PDS that fails on the same entry again does not.
    pub(crate) fn stumbled(&mut self, entry: Option<i64>) -> Option<Duration> {
        if entry.is_some() && entry == self.last {
            return None;
        }
        self.last = entry;
        self.in_a_row = self.in_a_row.saturating_add(1);
        (self.in_a_row >= IN_A_ROW).then(|| self.failed())
    }

    /// Too much was asked: how long to wait. What the PDS says may be nothing, or over by our clock.
    pub(crate) fn limited(&mut self, named: Option<Duration>) -> Duration {
        let least = self.failed();
        named.map_or(least, |named| named.clamp(least, LONGEST_WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_that_fails_again_and_again_holds_up_nobody() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            assert_eq!(pace.stumbled(Some(1)), None);
        }
        assert_eq!(pace.stumbled(Some(2)), None);
        assert!(pace.stumbled(Some(1)).is_some(), "three in a row");
        pace.succeeded();
        assert_eq!((pace.stumbled(None), pace.stumbled(None)), (None, None));
        assert!(pace.stumbled(None).is_some(), "three batches in a row");
    }

    #[test]
    fn a_limit_is_waited_for_as_named_within_bounds() {
        let named = |seconds| Pace::default().limited(Some(Duration::from_secs(seconds)));
        assert_eq!(named(77), Duration::from_secs(77));
        assert!(named(0) >= FIRST, "at once would be in vain");
        assert_eq!(named(u64::MAX), LONGEST_WINDOW);
        assert!(Pace::default().limited(None) >= FIRST);
    }
}
