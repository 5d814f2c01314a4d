//! How far a source was taken in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

/// The last sequence number that the engine has taken in; a reconnect goes on from there.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seq: AtomicI64,
    stopped: AtomicBool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress(Arc::new(Shared {
            seq: AtomicI64::new(-1),
            stopped: AtomicBool::new(false),
        }))
    }

    pub(crate) fn set(&self, seq: i64) {
        // Neighbouring events may come out of order; a reconnect must not go back for that.
        self.0.seq.fetch_max(seq, Relaxed);
    }

    /// Ends the source: it is not connected to again.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.0.stopped.load(Relaxed)
    }

    pub(crate) fn get(&self) -> Option<i64> {
        Some(self.0.seq.load(Relaxed)).filter(|seq| *seq >= 0)
    }
}
