//! What a PDS says of its rate limits, in the headers of every answer.

use std::time::Duration;

use http::HeaderMap;

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
