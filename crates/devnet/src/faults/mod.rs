//! Faults on demand, each counted, so that a test can prove that one fired.
//!
//! They act in three places: every XRPC request passes [`meet()`] before its method, every good access token
//! passes [`Faults::on_access`], and every stream lives by [`Faults::streams`].

mod fault;
mod meet;
mod queue;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::xrpc::XrpcError;
use queue::{Queue, Taken};

pub use fault::{Fault, FaultCounts};
pub(crate) use meet::{meet, meet_as};

/// The faults of one server: a PDS, the relay, the directory, a replay. All methods act at once and never wait.
///
/// ```
/// use atcomms_devnet::{Devnet, Fault};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let devnet = Devnet::start().await?;
/// let faults = devnet.pds()[0].faults();
/// // The next record is written, and its writer does not get to know.
/// faults.inject("com.atproto.repo.putRecord", Fault::AnswerLost, 1);
/// // Later, the proof that it happened:
/// assert_eq!(faults.counts().answers_lost, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Faults {
    /// Changes when the open streams are to be cut.
    cut: watch::Sender<u64>,
    queue: Mutex<Queue>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        let (cut, _) = watch::channel(0);
        Self {
            cut,
            queue: Mutex::default(),
        }
    }

    /// The next `times` requests to this XRPC method (its NSID, such as `com.atproto.repo.putRecord`) meet the
    /// fault, after those that were queued for the method before. A request that its client gives up before
    /// the fault could fire has not met it.
    pub fn inject(&self, method: &str, fault: Fault, times: u64) {
        self.queue().add(method, fault, times);
    }

    /// Cuts every open subscription: the connection ends without a close frame. Returns how many there were.
    pub fn disconnect(&self) -> u64 {
        // A receiver lives exactly as long as its stream.
        let open = self.cut.receiver_count() as u64;
        self.queue().counts.streams_cut += open;
        self.cut.send_modify(|cuts| *cuts += 1);
        open
    }

    /// Answers the next `requests` requests that bring a good access token, to whichever method, with 400
    /// `ExpiredToken`, as if it had run out. [`Fault::ExpiredToken`] does that to one method.
    pub fn expire_tokens(&self, requests: u64) {
        self.queue().tokens_to_refuse = requests;
    }

    /// How often each kind fired so far. A fault is counted when it fires: when its method, if it is to be
    /// carried out, was carried out, and nothing of the answer was sent.
    pub fn counts(&self) -> FaultCounts {
        self.queue().counts
    }

    /// Forgets what is queued and has not fired.
    pub fn clear(&self) {
        self.queue().clear();
    }

    /// What a stream watches: a change means that it is to end without a word.
    pub(crate) fn streams(&self) -> watch::Receiver<u64> {
        self.cut.subscribe()
    }

    /// Whether a request with a good access token is to fail all the same.
    pub(crate) fn on_access(&self) -> Result<(), XrpcError> {
        let mut queue = self.queue();
        if queue.tokens_to_refuse == 0 {
            return Ok(());
        }
        queue.tokens_to_refuse -= 1;
        queue.counts.add(&Fault::ExpiredToken);
        Err(crate::session::expired())
    }

    fn take<'a>(&'a self, method: &'a str) -> Option<(Fault, Meeting<'a>)> {
        let taken = self.queue().take(method)?;
        let fault = taken.fault.clone();
        let meeting = Meeting {
            faults: self,
            method,
            taken: Some(taken),
        };
        Some((fault, meeting))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request and the fault that it meets. Dropped before the fault fired, because the client went away, it
/// leaves the fault to the next request.
struct Meeting<'a> {
    faults: &'a Faults,
    method: &'a str,
    taken: Option<Taken>,
}

impl Meeting<'_> {
    /// The fault fires now.
    fn fire(mut self) {
        if let Some(taken) = self.taken.take() {
            self.faults.queue().counts.add(&taken.fault);
        }
    }
}

impl Drop for Meeting<'_> {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.faults.queue().put_back(self.method, taken);
        }
    }
}
