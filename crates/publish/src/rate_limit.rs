//! What a PDS says of its rate limits, in the headers of every answer.

use std::time::Duration;

use atcomms_store::Told;
use http::HeaderMap;

use crate::clock::millis;

/// The `ratelimit-*` and `retry-after` headers of one answer. A PDS has several buckets (points an
/// hour, points a day, blobs a day, …) and shows only the one that is nearest to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// How many points the bucket holds.
    pub limit: Option<u64>,
    /// How many of them are left.
    pub remaining: Option<u64>,
    /// When the bucket is full again, in seconds since 1970.
    pub reset: Option<u64>,
    /// The bucket by its size and window in seconds, such as `5000;w=3600`.
    pub policy: Option<String>,
    /// How long the server asks to wait; only on a refusal.
    pub retry_after: Option<Duration>,
}

/// More points than this are as good as this many.
const MAX_POINTS: u64 = 1 << 40;

/// A longer window than a year, in seconds, is not meant.
const MAX_WINDOW_S: u64 = 366 * 86_400;

impl RateLimit {
    /// Reads the headers; `None` if the answer says nothing of limits.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|value| value.trim().parse::<u64>().ok());
        let found = Self {
            limit: number("ratelimit-limit"),
            remaining: number("ratelimit-remaining"),
            reset: number("ratelimit-reset"),
            policy: text("ratelimit-policy").map(str::to_owned),
            // The other form of `retry-after` is a date; no PDS sends it, and `reset` says the same.
            retry_after: number("retry-after").map(Duration::from_secs),
        };
        (found != Self::default()).then_some(found)
    }

    /// What it says of a bucket, as the store keeps it; `None` if it does not name one. A refusal says
    /// that nothing is left.
    pub(crate) fn told(&self, now: i64) -> Option<Told> {
        let size = self.limit?;
        let window_s = self.window_s()?;
        let window = i64::try_from(window_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        let reset = || self.reset.and_then(|at| i64::try_from(at).ok());
        let resets_at = match self.retry_after {
            // By our own clock; the time of the reset is by the server's, and rounded down.
            Some(after) => now.saturating_add(millis(after)),
            None => reset()?.saturating_add(1).saturating_mul(1000),
        };
        Some(Told {
            size: size.min(MAX_POINTS),
            window_s,
            left: match self.retry_after {
                Some(_) => 0,
                None => self.remaining?.min(MAX_POINTS),
            },
            // However far apart the clocks are, no window is longer than itself.
            resets_at: resets_at.min(now.saturating_add(window)),
        })
    }

    /// The window of the policy, such as `5000;w=3600`.
    fn window_s(&self) -> Option<u64> {
        let (_, window) = self.policy.as_deref()?.split_once("w=")?;
        let digits = window.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok().filter(|window| *window <= MAX_WINDOW_S)
    }

    /// How long to wait from `now` (seconds since 1970) before the next request, if the server
    /// said so.
    pub fn wait(&self, now: u64) -> Option<Duration> {
        let until_reset = || {
            self.reset
                .map(|at| Duration::from_secs(at.saturating_sub(now)))
        };
        self.retry_after.or_else(until_reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_headers_of_the_reference_are_read() {
        let limit = RateLimit::from_headers(&headers(&[
            ("RateLimit-Limit", "5000"),
            ("RateLimit-Remaining", "4997"),
            ("RateLimit-Reset", "1795456794"),
            ("RateLimit-Policy", "5000;w=3600"),
        ]))
        .unwrap();
        assert_eq!((limit.limit, limit.remaining), (Some(5000), Some(4997)));
        assert_eq!(limit.policy.as_deref(), Some("5000;w=3600"));
        assert_eq!(limit.wait(1_795_456_700), Some(Duration::from_secs(94)));
        assert_eq!(
            limit.wait(1_895_456_700),
            Some(Duration::ZERO),
            "a reset in the past is now"
        );
    }

    #[test]
    fn what_is_told_is_kept_by_our_own_clock() {
        let pairs = [
            ("ratelimit-limit", "600"),
            ("ratelimit-remaining", "597"),
            ("ratelimit-reset", "1005"),
            ("ratelimit-policy", "600;w=5"),
        ];
        let limit = RateLimit::from_headers(&headers(&pairs)).unwrap();
        let told = limit.told(1_001_000).unwrap();
        assert_eq!((told.size, told.window_s), (600, 5));
        assert_eq!(
            (told.left, told.resets_at),
            (597, 1_006_000),
            "the second is over when the next begins"
        );
        let skewed = limit.told(500_000).unwrap();
        assert_eq!(
            skewed.resets_at, 505_000,
            "a window is not longer than itself"
        );

        let refused: Vec<_> = pairs.into_iter().chain([("retry-after", "3")]).collect();
        let limit = RateLimit::from_headers(&headers(&refused)).unwrap();
        let told = limit.told(900_000).unwrap();
        assert_eq!((told.left, told.resets_at), (0, 903_000));
        let unnamed = RateLimit::from_headers(&headers(&[("retry-after", "3")])).unwrap();
        assert_eq!(unnamed.told(0), None);
    }

    #[test]
    fn what_is_unreadable_is_left_out() {
        assert_eq!(RateLimit::from_headers(&headers(&[])), None);
        assert_eq!(
            RateLimit::from_headers(&headers(&[("retry-after", "soon")])),
            None
        );
        let limit =
            RateLimit::from_headers(&headers(&[("retry-after", "7"), ("ratelimit-limit", "-1")]));
        let limit = limit.unwrap();
        assert_eq!(
            (limit.limit, limit.retry_after),
            (None, Some(Duration::from_secs(7)))
        );
    }
}
