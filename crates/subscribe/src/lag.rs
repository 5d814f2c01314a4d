//! How far a subscription is behind its sources, and which of them went silent. A state that an operator should
//! know of is said once when it begins and once when it is over, not each second. Sans-IO: the time is passed in.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::SourceIndex;

/// From here on a lag is said, if it does not shrink.
const LAG: Duration = Duration::from_secs(60);
/// Below this it is over: not at the same value, at which it would come and go.
const CAUGHT_UP: Duration = Duration::from_secs(10);
/// Seconds in a row without any gain after which a lag counts as one that stays: catching up is no news.
const WITHOUT_GAIN: u32 = 30;
/// A source that brought something and then nothing for this long is said to be silent.
const SILENT: Duration = Duration::from_secs(600);

/// What an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It is behind by this much, and does not catch up.
    Behind(Arc<str>, Duration),
    /// It has caught up.
    CaughtUp(Arc<str>),
    /// Nothing came for this long.
    Silent(Arc<str>, Duration),
    /// Something came again.
    Heard(Arc<str>),
}

#[derive(Debug)]
struct Source {
    host: Arc<str>,
    /// When the last frame came, in microseconds.
    heard_at: Option<u64>,
    lag: Option<Duration>,
    least_lag: Duration,
    without_gain: u32,
    is_behind: bool,
    is_silent: bool,
}

/// Watches all sources.
#[derive(Debug, Default)]
pub(crate) struct LagWatch {
    sources: Vec<Source>,
}

impl LagWatch {
    pub(crate) fn add(&mut self, host: Arc<str>) {
        self.sources.push(Source {
            host,
            heard_at: None,
            lag: None,
            least_lag: Duration::MAX,
            without_gain: 0,
            is_behind: false,
            is_silent: false,
        });
    }

    /// A frame came.
    pub(crate) fn heard(&mut self, source: SourceIndex, now: u64) {
        if let Some(source) = self.sources.get_mut(source) {
            source.heard_at = Some(now);
        }
    }

    /// The frame that came last is of this time.
    pub(crate) fn looked(&mut self, source: SourceIndex, event_at: u64, now: u64) {
        if let Some(source) = self.sources.get_mut(source) {
            source.lag = Some(Duration::from_micros(now.saturating_sub(event_at)));
        }
    }

    /// How far the most recent source is behind, as far as is known.
    pub(crate) fn least(&self) -> Option<Duration> {
        self.sources.iter().filter_map(|source| source.lag).min()
    }

    /// A second has passed.
    pub(crate) fn tick(&mut self, now: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        for source in &mut self.sources {
            source.tick(now, &mut notices);
        }
        notices
    }
}

impl Source {
    fn tick(&mut self, now: u64, notices: &mut Vec<Notice>) {
        let host = || self.host.clone();
        if let Some(heard_at) = self.heard_at {
            let silence = Duration::from_micros(now.saturating_sub(heard_at));
            if silence >= SILENT && !self.is_silent {
                notices.push(Notice::Silent(host(), silence));
                self.is_silent = true;
            } else if silence < SILENT && self.is_silent {
                notices.push(Notice::Heard(host()));
                self.is_silent = false;
            }
        }
        let Some(lag) = self.lag else { return };
        match lag < self.least_lag {
            true => {
                self.least_lag = lag;
                self.without_gain = 0;
            }
            false => self.without_gain = self.without_gain.saturating_add(1),
        }
        if lag < CAUGHT_UP {
            self.least_lag = Duration::MAX;
            if std::mem::take(&mut self.is_behind) {
                notices.push(Notice::CaughtUp(host()));
            }
        } else if lag >= LAG && self.without_gain >= WITHOUT_GAIN && !self.is_behind {
            self.is_behind = true;
            notices.push(Notice::Behind(host(), lag));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// What is said over so many seconds, with a lag that changes by so many seconds in each.
    fn watch(
        watch: &mut LagWatch,
        from: u64,
        seconds: u64,
        lag: impl Fn(u64) -> u64,
    ) -> Vec<Notice> {
        let mut notices = Vec::new();
        for second in from..from + seconds {
            let now = (100_000 + second) * SECOND;
            watch.heard(0, now);
            watch.looked(0, now - lag(second) * SECOND, now);
            notices.extend(watch.tick(now));
        }
        notices
    }

    #[test]
    fn a_lag_that_stays_is_said_once_and_its_end_once() {
        let host: Arc<str> = "ws://localhost:1".into();
        let mut lag = LagWatch::default();
        lag.add(host.clone());
        assert_eq!(
            watch(&mut lag, 0, 500, |second| 1000 - second),
            [],
            "it catches up"
        );
        let notices = watch(&mut lag, 500, 500, |second| second);
        assert!(
            matches!(notices.as_slice(), [Notice::Behind(of, _)] if *of == host),
            "{notices:?}"
        );
        let notices = watch(&mut lag, 1000, 100, |_| 1);
        assert_eq!(notices, [Notice::CaughtUp(host)]);
        assert_eq!(lag.least(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_silence_is_said_once_and_its_end_once() {
        let host: Arc<str> = "ws://localhost:1".into();
        let mut lag = LagWatch::default();
        lag.add(host.clone());
        let silence = |lag: &mut LagWatch, from: u64| -> Vec<Notice> {
            (from..from + 3000)
                .flat_map(|second| lag.tick(second * SECOND))
                .collect()
        };
        assert_eq!(
            silence(&mut lag, 0),
            [],
            "who never said anything is not silent"
        );
        lag.heard(0, 3000 * SECOND);
        let notices = silence(&mut lag, 3000);
        assert_eq!(notices, [Notice::Silent(host.clone(), SILENT)]);
        lag.heard(0, 6000 * SECOND);
        let notices = silence(&mut lag, 6000);
        assert_eq!(notices.first(), Some(&Notice::Heard(host)));
    }
}
