//! From the outbox to the PDS: the one task that sends.
//!
//! It looks what is next, sends it, finds out what became of it, and stores that; again and again. Of
//! all the publishers of one account, in all processes, the one that holds the store's lock sends, one
//! request at a time, so that the order is kept. What waits while a request is under way goes with the
//! next one, as a batch; a lone record waits for nothing.

mod attach;
mod batch;
mod doubt;
mod hold;
mod others;
mod pace;
mod send;
mod strikes;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atcomms_store::{Entry, Outcome, Outlook, Pool, Purpose, State, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::batch::{Batch, MAX_WRITES};
use self::hold::{Hold, limited};
use self::pace::Pace;
use self::strikes::Strikes;
use crate::budget::Allowance;
use crate::clock::{millis, now};
use crate::own::Own;
use crate::session::Session;
use crate::waiters::Waiters;

/// How often the outbox is looked at for what other processes have put there and left.
const POLL: Duration = Duration::from_secs(2);

/// How often it is looked at while another process sends, and somebody here waits for an outcome.
const POLL_OTHERS: Duration = Duration::from_millis(50);

/// How long to wait before the next look after the store failed: a full disk, say.
const STORE_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Drain {
    session: Session,
    store: Store,
    waiters: Arc<Waiters>,
    own: Own,
    signals: Arc<Signals>,
    stop: watch::Receiver<bool>,
    pace: Pace,
    /// The most writes of a batch: less after one that failed, until the culprit is alone.
    cap: usize,
    strikes: Strikes,
    /// Whether it has looked at the outbox at all.
    begun: bool,
    /// When it is next looked at what other processes have made of entries that somebody here waits for.
    next_look: Instant,
    /// Up to which entry that was done last.
    looked_at: i64,
}

/// What the publisher and its task tell each other.
#[derive(Debug, Default)]
struct Signals {
    wake: Notify,
    /// How often somebody asked to look at the outbox.
    asked: AtomicU64,
    /// Up to which of these everything that can be sent now is sent.
    served: watch::Sender<u64>,
}

/// The task, as the publisher has it. Dropping it aborts it.
#[derive(Debug)]
pub(crate) struct Handle {
    signals: Arc<Signals>,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

/// How a look at the outbox ends.
enum Pass {
    /// Nothing waits.
    Done,
    /// Something waits, for a time or for an event.
    Wait(Hold),
    /// Another process sends.
    Locked,
}

/// What comes after one step.
enum Next {
    Continue,
    Wait(Hold),
}

impl Drain {
    pub(crate) fn start(session: Session, store: Store, waiters: Arc<Waiters>, own: Own) -> Handle {
        let signals = Arc::new(Signals::default());
        let (stop, stopping) = watch::channel(false);
        let (done, stopped) = watch::channel(false);
        let drain = Self {
            session,
            store,
            waiters,
            own,
            signals: signals.clone(),
            stop: stopping,
            pace: Pace::default(),
            cap: MAX_WRITES,
            strikes: Strikes::default(),
            begun: false,
            next_look: Instant::now(),
            looked_at: 0,
        };
        let task = tokio::spawn(async move {
            // However the task ends, nobody waits for it for ever.
            let closing = Closing(drain.waiters.clone());
            drain.run().await;
            drop(closing);
            done.send_replace(true);
        });
        Handle {
            signals,
            stop,
            stopped,
            task,
        }
    }

    async fn run(mut self) {
        let mut seen = 0;
        while !self.is_stopping() {
            let asked = self.asked();
            let pass = self.pass(asked != seen).await;
            seen = asked;
            let pass = match pass {
                Ok(pass) => pass,
                // The runtime is going down, and with it the store.
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(did = %self.session.did(), %error, "the outbox cannot be used");
                    Pass::Wait(Hold {
                        until: now().saturating_add(millis(STORE_PAUSE)),
                        reason: Some(error.to_string()),
                        stuck: !matches!(error, StoreError::Busy),
                    })
                }
            };
            match pass {
                Pass::Done => self.rest(asked).await,
                Pass::Wait(hold) => self.hold(hold, asked).await,
                Pass::Locked => self.follow_others(asked).await,
            }
        }
    }

    /// Sends until nothing can be sent. `woken`: something was put into the outbox here.
    async fn pass(&mut self, woken: bool) -> Result<Pass, StoreError> {
        let did = self.session.did().clone();
        // Who only looks in need not take the lock from who sends.
        if !woken && self.store.next_due(&did).await?.is_none() {
            return Ok(Pass::Done);
        }
        let Some(_lock) = self.store.try_lock(&did, Purpose::Drain)? else {
            return Ok(Pass::Locked);
        };
        let pds = self.session.pds().to_string();
        while !self.is_stopping() {
            self.look_now_and_then().await?;
            // What an earlier process has set aside is tried by this one: much may have changed.
            let until = match std::mem::replace(&mut self.begun, true) {
                true => now(),
                false => i64::MAX,
            };
            let outlook = self.store.outlook(&did, &pds, until, MAX_WRITES).await?;
            match (outlook.entries.is_empty(), outlook.due) {
                (true, None) => break,
                (true, Some(until)) => return Ok(Pass::Wait(Hold::until(until))),
                (false, _) => {}
            }
            if let Next::Wait(hold) = self.step(outlook).await? {
                return Ok(Pass::Wait(hold));
            }
        }
        Ok(Pass::Done)
    }

    /// Sends one request, or finds out about some that were sent.
    async fn step(&mut self, outlook: Outlook) -> Result<Next, StoreError> {
        let Outlook {
            entries,
            server,
            buckets,
            ..
        } = outlook;
        if entries.iter().any(|entry| entry.doubt_since.is_some()) {
            return self.settle_doubts(entries).await;
        }
        let allowance = Allowance::of(&server, &buckets, Pool::Writes, now());
        let Some(batch) = Batch::choose(entries, self.cap, allowance.points) else {
            return Ok(Next::Wait(limited("writes", allowance)));
        };
        let batch = match self.attach(batch).await? {
            Ok(batch) => batch,
            Err(next) => return Ok(next),
        };
        self.send(batch, server).await
    }

    /// Stores what became of entries, and tells who waits for them.
    async fn settle(&mut self, mut outcomes: Vec<(Entry, Outcome)>) -> Result<(), StoreError> {
        let now = now();
        let mut failed = self.store.settle(outcomes.clone(), now).await?;
        for (entry, outcome) in &mut outcomes {
            match outcome {
                Outcome::Written { rev, commit } => {
                    entry.state = State::Written;
                    (entry.rev, entry.commit) = (*rev, *commit);
                    entry.settled_at = Some(now);
                    self.strikes.forget(entry.id);
                    self.own.written(entry);
                    self.waiters.settle(entry.id, Some(entry));
                }
                Outcome::Failed(why) => {
                    tracing::warn!(uri = %entry.uri(), reason = why.reason, "not written");
                    self.strikes.forget(entry.id);
                    failed.push(entry.id);
                }
                Outcome::NotDone { reason, not_before }
                | Outcome::InDoubt { reason, not_before } => {
                    self.waiters.tried(entry, reason, *not_before);
                }
                _ => {}
            }
        }
        // What was not sent yet may have been given up meanwhile: its attachment is gone for that, say.
        self.look_at(failed).await
    }

    /// Waits while there is nothing to send.
    async fn rest(&mut self, asked: u64) {
        self.strikes.clear();
        self.waiters.goes_on();
        self.look_at_all().await;
        self.serve(asked);
        self.woken_within(POLL).await;
    }

    async fn woken_within(&mut self, pause: Duration) {
        let signals = self.signals.clone();
        let mut stop = self.stop.clone();
        tokio::select! {
            () = signals.wake.notified() => {}
            () = sleep(pause) => {}
            // The publisher is gone: the task is about to be aborted.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    fn serve(&self, asked: u64) {
        self.signals.served.send_if_modified(|served| {
            let more = asked > *served;
            *served = asked.max(*served);
            more
        });
    }

    fn asked(&self) -> u64 {
        self.signals.asked.load(Ordering::SeqCst)
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }
}

impl Handle {
    /// Something was put into the outbox.
    pub(crate) fn wake(&self) -> u64 {
        let asked = self.signals.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.signals.wake.notify_one();
        asked
    }

    pub(crate) async fn flush(&self) {
        let mut served = self.signals.served.subscribe();
        let asked = self.wake();
        let mut stopped = self.stopped.clone();
        tokio::select! {
            // Both end only with the task.
            _ = served.wait_for(|served| *served >= asked) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    pub(crate) async fn shutdown(&self) {
        self.stop.send_replace(true);
        // An error means that the task is gone, which is what we want.
        drop(self.stopped.clone().wait_for(|stopped| *stopped).await);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells those who wait that nobody sends any more, when it is dropped.
struct Closing(Arc<Waiters>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}
