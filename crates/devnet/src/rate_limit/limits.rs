//! How much a PDS takes in which time.

use std::time::Duration;

/// The rate limits of a PDS, for [`DevnetBuilder::rate_limits`](crate::DevnetBuilder::rate_limits). The default
/// is what the reference PDS has.
///
/// Writes cost points: 3 for a create, 2 for an update, 1 for a delete, and the sum of these for `applyWrites`;
/// 2 for `putRecord`, whatever it does. A request takes its points from all limits that it touches, also if one
/// of them refuses it, and also if its method fails afterwards. What is refused before, for its token or its
/// input, costs nothing.
///
/// Every answer to a request that was counted has `ratelimit-limit`, `-remaining`, `-reset` and `-policy` headers
/// of the limit of which the least is left; a 429 has those of the first limit that refuses it, in the order of
/// the fields here, and `retry-after`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Points of an account; 5,000 in an hour by default.
    pub hour: Limit,
    /// Points of an account, over a longer time; 35,000 in a day by default.
    pub day: Limit,
    /// Uploads from an address; 1,000 in a day by default.
    pub blobs: Limit,
    /// Logins from an address under one identifier; 30 in 5 minutes by default.
    pub logins: Limit,
    /// Requests from an address, all but `getRepo`; 3,000 in 5 minutes by default.
    pub requests: Limit,
}

impl RateLimits {
    /// The points of an account.
    #[must_use]
    pub fn hour(mut self, limit: Limit) -> Self {
        self.hour = limit;
        self
    }

    /// The points of an account, over a longer time.
    #[must_use]
    pub fn day(mut self, limit: Limit) -> Self {
        self.day = limit;
        self
    }

    /// The uploads from an address.
    #[must_use]
    pub fn blobs(mut self, limit: Limit) -> Self {
        self.blobs = limit;
        self
    }

    /// The logins from an address under one identifier.
    #[must_use]
    pub fn logins(mut self, limit: Limit) -> Self {
        self.logins = limit;
        self
    }

    /// The requests from an address.
    #[must_use]
    pub fn requests(mut self, limit: Limit) -> Self {
        self.requests = limit;
        self
    }
}

impl Default for RateLimits {
    /// Those of the reference PDS.
    fn default() -> Self {
        Self {
            hour: Limit::new(5_000, Duration::from_secs(3_600)),
            day: Limit::new(35_000, Duration::from_secs(86_400)),
            blobs: Limit::new(1_000, Duration::from_secs(86_400)),
            logins: Limit::new(30, Duration::from_secs(300)),
            requests: Limit::new(3_000, Duration::from_secs(300)),
        }
    }
}

/// So many points in such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Points.
    pub points: u64,
    /// The time, which begins with the first point that is taken; at its end all points are there again. In
    /// headers it is cut to whole seconds.
    pub window: Duration,
}

impl Limit {
    /// So many points in such a time.
    pub const fn new(points: u64, window: Duration) -> Self {
        Self { points, window }
    }
}
