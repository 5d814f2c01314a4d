//! Faults on demand, each counted, so that a test can prove that one fired.
//!
//! Every request passes [`Faults::on_request`] between its authorization and its method, and every stream
//! lives by [`Faults::streams`]: the two places where a fault can act.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::xrpc::XrpcError;

/// The faults of one PDS or replay. All methods act at once and never wait.
#[derive(Debug)]
pub struct Faults {
    /// Changes when the open streams are to be cut.
    cut: watch::Sender<u64>,
    streams_cut: AtomicU64,
    to_refuse: AtomicU64,
    tokens_refused: AtomicU64,
}

/// How often each fault fired so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Subscriptions that were cut by [`Faults::disconnect`].
    pub streams_cut: u64,
    /// Requests that were answered `ExpiredToken` because of [`Faults::expire_tokens`].
    pub tokens_refused: u64,
}

impl Faults {
    pub(crate) fn new() -> Self {
        let (cut, _) = watch::channel(0);
        Self {
            cut,
            streams_cut: AtomicU64::new(0),
            to_refuse: AtomicU64::new(0),
            tokens_refused: AtomicU64::new(0),
        }
    }

    /// Cuts every open subscription: the connection ends without a close frame. Returns how many there were.
    pub fn disconnect(&self) -> u64 {
        // A receiver lives exactly as long as its stream.
        let open = self.cut.receiver_count() as u64;
        self.streams_cut.fetch_add(open, Ordering::Relaxed);
        self.cut.send_modify(|cuts| *cuts += 1);
        open
    }

    /// Answers the next `requests` requests that bring an access token with 400 `ExpiredToken`, as if it had
    /// run out.
    pub fn expire_tokens(&self, requests: u64) {
        self.to_refuse.store(requests, Ordering::Relaxed);
    }

    /// How often each fault fired so far.
    pub fn counts(&self) -> FaultCounts {
        FaultCounts {
            streams_cut: self.streams_cut.load(Ordering::Relaxed),
            tokens_refused: self.tokens_refused.load(Ordering::Relaxed),
        }
    }

    /// What a stream watches: a change means that it is to end without a word.
    pub(crate) fn streams(&self) -> watch::Receiver<u64> {
        self.cut.subscribe()
    }

    /// Whether a request with a good access token is to fail all the same.
    pub(crate) fn on_request(&self) -> Result<(), XrpcError> {
        let refuse = self
            .to_refuse
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        if refuse.is_err() {
            return Ok(());
        }
        self.tokens_refused.fetch_add(1, Ordering::Relaxed);
        Err(crate::session::expired())
    }
}
