//! Faults on demand, each counted, so that a test can prove that one fired.
//!
//! They act in four places: every XRPC request passes [`meet()`] before its method, every good access token
//! passes [`Faults::on_access`], every event passes [`Faults::alter`] before it is shown, and every stream
//! lives by [`Faults::streams`] and [`Faults::stalls`].

mod fault;
mod forge;
mod meet;
mod queue;
mod stall;
mod stream_fault;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atcomms_lexicon::Did;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::firehose::Shown;
use crate::xrpc::XrpcError;
use queue::{Queue, Taken};
use stall::StalledUntil;

pub use fault::{Fault, FaultCounts};
pub(crate) use meet::{meet, meet_as};
pub(crate) use stall::resumed;
pub use stream_fault::{Forgery, StreamFault};

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
    stall: watch::Sender<StalledUntil>,
    queue: Mutex<Queue>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        let (cut, _) = watch::channel(0);
        let (stall, _) = watch::channel(None);
        Self {
            cut,
            stall,
            queue: Mutex::default(),
        }
    }

    /// The next `times` requests to this XRPC method (its NSID, such as `com.atproto.repo.putRecord`) meet the
    /// fault, after those that were queued for the method before. A request that its client gives up before
    /// the fault could fire has not met it.
    pub fn inject(&self, method: &str, fault: Fault, times: u64) {
        self.queue().add(method, fault, times);
    }

    /// The next `times` events to which the fault can be done meet it, after those that were queued before.
    ///
    /// ```
    /// use atcomms_devnet::{Devnet, Forgery, StreamFault};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let devnet = Devnet::start().await?;
    /// let faults = devnet.relay().faults();
    /// faults.inject_stream(StreamFault::Skip, 1);
    /// faults.inject_stream(StreamFault::Forge(Forgery::Signature), 1);
    /// devnet.create_account("alice").await?; // of which the relay shows less than there is, and a lie
    /// let counts = faults.counts();
    /// assert_eq!((counts.events_skipped, counts.frames_forged), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inject_stream(&self, fault: StreamFault, times: u64) {
        self.queue().stream.add(None, fault, times);
    }

    /// The next `times` events of this account to which the fault can be done meet it.
    pub fn inject_stream_of(&self, did: &Did, fault: StreamFault, times: u64) {
        self.queue().stream.add(Some(did.clone()), fault, times);
    }

    /// Every subscription, open or new, sends nothing and reads nothing for this long, not even a ping, and
    /// its connection stays: as one whose other end is gone without a word. What is emitted meanwhile comes
    /// after. Returns how many are open.
    pub fn stall(&self, time: Duration) -> u64 {
        let open = self.cut.receiver_count() as u64;
        self.queue().counts.streams_stalled += open;
        let until = Instant::now().checked_add(time);
        self.stall.send_replace(until.or_else(far_off));
        open
    }

    /// Ends a stall before its time.
    pub fn resume(&self) {
        self.stall.send_replace(None);
    }

    /// The next `times` subscriptions with a cursor get nothing of what was before them: the `#info`
    /// `OutdatedCursor`, and what comes from then on. A Jetstream has no such notice, and goes on without one.
    pub fn outdate_cursors(&self, times: u64) {
        self.queue().cursors_to_outdate = times;
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

    /// Forgets what is queued and has not fired. An event that [`StreamFault::Reorder`] holds back comes all
    /// the same.
    pub fn clear(&self) {
        self.queue().clear();
    }

    /// What a stream watches: a change means that it is to end without a word.
    pub(crate) fn streams(&self) -> watch::Receiver<u64> {
        self.cut.subscribe()
    }

    /// What a stream watches beside: until when it is to be silent.
    pub(crate) fn stalls(&self) -> watch::Receiver<StalledUntil> {
        self.stall.subscribe()
    }

    /// Adds what is to be shown of an event to `out`.
    pub(crate) fn alter(&self, event: Shown, out: &mut Vec<Shown>) {
        let queue = &mut *self.queue();
        queue.stream.alter(event, &mut queue.counts, out);
    }

    /// Whether a subscription with a cursor is to be told that it is too old.
    pub(crate) fn on_cursor(&self) -> bool {
        let mut queue = self.queue();
        let outdated = queue.cursors_to_outdate > 0;
        if outdated {
            queue.cursors_to_outdate -= 1;
            queue.counts.cursors_outdated += 1;
        }
        outdated
    }

    /// A frame was put into the stream by hand.
    pub(crate) fn on_injected_frame(&self) {
        self.queue().counts.frames_injected += 1;
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

/// As good as for ever: some clocks end before `Duration` does.
fn far_off() -> StalledUntil {
    Instant::now().checked_add(Duration::from_secs(30 * 365 * 86_400))
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
