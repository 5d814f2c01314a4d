//! The kinds of faults.

use std::time::Duration;

use atcomms_lexicon::Did;

/// What can go wrong with a request, queued by [`Faults::inject`](crate::Faults::inject).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The method is carried out, and the connection closed without an answer.
    AnswerLost,
    /// The connection is closed once the request was read; nothing is carried out.
    RequestLost,
    /// An answer with this 5xx status and an XRPC error body; nothing is carried out. Any other status counts
    /// as 500.
    FailBefore(u16),
    /// The method is carried out, and then answered with this 5xx status. Any other status counts as 500.
    FailAfter(u16),
    /// 429 `RateLimitExceeded`; nothing is carried out, and nothing is taken from a rate limit.
    RateLimited {
        /// Seconds, for `retry-after` and `ratelimit-reset`; without it, the answer has no such header at all.
        retry_after: Option<u64>,
    },
    /// The answer comes after this long; the method is carried out before the wait.
    Slow(Duration),
    /// The connection is closed after this many bytes of the body were read, or at its end if it is shorter;
    /// nothing is carried out.
    CutUpload {
        /// Bytes; the rest of what arrived with the last of them may have been read too.
        after: u64,
    },
    /// 400 `ExpiredToken`, as if the access token had run out; nothing is carried out.
    ExpiredToken,
    /// 400 `InvalidToken`, as if the access token's key had been replaced; nothing is carried out.
    RevokedToken,
    /// The answer, and after its end zeros for ever, without a length: what reads it must have a limit.
    EndlessBody,
    /// 302 to this address, such as one in a private network; nothing is carried out.
    Redirect(String),
    /// The method is carried out for this repository in place of the one that the query names (`did` or
    /// `repo`): `com.atproto.sync.getRepo`, `getRecord` and the like give another's data. A request that
    /// names none does not count.
    OtherRepository(Did),
}

/// How often each kind of fault fired so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Subscriptions that were cut by [`Faults::disconnect`](crate::Faults::disconnect).
    pub streams_cut: u64,
    /// Requests that were answered `ExpiredToken`, by [`Fault::ExpiredToken`] or by
    /// [`Faults::expire_tokens`](crate::Faults::expire_tokens).
    pub tokens_refused: u64,
    /// Requests that were answered `InvalidToken`, by [`Fault::RevokedToken`].
    pub tokens_revoked: u64,
    /// Requests that were carried out and got no answer, by [`Fault::AnswerLost`].
    pub answers_lost: u64,
    /// Requests that were read and thrown away, by [`Fault::RequestLost`].
    pub requests_lost: u64,
    /// Requests that failed without being carried out, by [`Fault::FailBefore`].
    pub failed_before: u64,
    /// Requests that were carried out and failed, by [`Fault::FailAfter`].
    pub failed_after: u64,
    /// Requests that were answered 429, by [`Fault::RateLimited`];
    /// [`Pds::refused_by_rate_limit`](crate::Pds::refused_by_rate_limit) counts those of the rate limits.
    pub rate_limited: u64,
    /// Requests that were carried out and whose answer was held back, by [`Fault::Slow`].
    pub slowed: u64,
    /// Requests whose body was cut, by [`Fault::CutUpload`].
    pub uploads_cut: u64,
    /// Requests that were answered without an end, by [`Fault::EndlessBody`].
    pub bodies_endless: u64,
    /// Requests that were sent elsewhere, by [`Fault::Redirect`].
    pub redirected: u64,
    /// Requests that were answered for another repository, by [`Fault::OtherRepository`].
    pub repositories_swapped: u64,
    /// Events that were not shown, by [`StreamFault::Skip`](crate::StreamFault::Skip).
    pub events_skipped: u64,
    /// Events that were shown twice, by [`StreamFault::Duplicate`](crate::StreamFault::Duplicate).
    pub events_duplicated: u64,
    /// Events that were shown after a later one, by [`StreamFault::Reorder`](crate::StreamFault::Reorder).
    pub events_reordered: u64,
    /// Frames of which half was shown, by [`StreamFault::Truncate`](crate::StreamFault::Truncate).
    pub frames_truncated: u64,
    /// Frames that lied, by [`StreamFault::Forge`](crate::StreamFault::Forge).
    pub frames_forged: u64,
    /// Frames that were put in by [`Relay::inject_frame`](crate::Relay::inject_frame).
    pub frames_injected: u64,
    /// Subscriptions that were told that their cursor is too old, by
    /// [`Faults::outdate_cursors`](crate::Faults::outdate_cursors).
    pub cursors_outdated: u64,
    /// Subscriptions that were open when [`Faults::stall`](crate::Faults::stall) silenced them.
    pub streams_stalled: u64,
}

impl FaultCounts {
    pub(super) fn add(&mut self, fault: &Fault) {
        *match fault {
            Fault::AnswerLost => &mut self.answers_lost,
            Fault::RequestLost => &mut self.requests_lost,
            Fault::FailBefore(_) => &mut self.failed_before,
            Fault::FailAfter(_) => &mut self.failed_after,
            Fault::RateLimited { .. } => &mut self.rate_limited,
            Fault::Slow(_) => &mut self.slowed,
            Fault::CutUpload { .. } => &mut self.uploads_cut,
            Fault::ExpiredToken => &mut self.tokens_refused,
            Fault::RevokedToken => &mut self.tokens_revoked,
            Fault::EndlessBody => &mut self.bodies_endless,
            Fault::Redirect(_) => &mut self.redirected,
            Fault::OtherRepository(_) => &mut self.repositories_swapped,
        } += 1;
    }
}
