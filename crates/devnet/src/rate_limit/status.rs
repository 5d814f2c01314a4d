//! How a limit stands after a request, as headers and as an error say it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::Limit;
use crate::xrpc::XrpcError;

/// How one limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) limit: Limit,
    /// Points.
    pub(crate) left: u64,
    /// Until all points are there again.
    pub(crate) resets_in: Duration,
    /// The request took more than was left.
    pub(crate) refused: bool,
}

impl Status {
    /// Writes the headers, rounded as the reference PDS rounds: the reset down, the wait up.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let reset = now.unwrap_or_default().saturating_add(self.resets_in);
        headers.insert("ratelimit-limit", self.limit.points.into());
        headers.insert("ratelimit-remaining", self.left.into());
        headers.insert("ratelimit-reset", reset.as_secs().into());
        let policy = format!("{};w={}", self.limit.points, self.limit.window.as_secs());
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert("ratelimit-policy", policy);
        }
        if self.refused {
            let part = u64::from(self.resets_in.subsec_nanos() > 0);
            let wait = self.resets_in.as_secs().saturating_add(part);
            headers.insert("retry-after", wait.into());
        }
    }
}

/// 429 `RateLimitExceeded`.
pub(crate) fn exceeded() -> XrpcError {
    XrpcError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "RateLimitExceeded",
        "Rate Limit Exceeded",
    )
}
