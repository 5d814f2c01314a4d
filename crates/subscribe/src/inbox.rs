//! The handle of a durable consumer: deliveries that stay until they are acknowledged.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atcomms_lexicon::Record;
use atcomms_store::{Consumer, LeaseToken, Only, Pending, Store, StoreError, Terms};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::admission::Refused;
use crate::clock::millis;
use crate::connection::Connection;
use crate::counters::{Counters, Summary};
use crate::intake::Fed;
use crate::leased::Leased;
use crate::subscription::StreamError;
use crate::taken::{Batch, Pace, Taken};
use crate::typed_inbox::TypedInbox;
use crate::waiting::Waiting;

/// How often the inbox is looked at for what another process has taken in or given back.
const POLL: Duration = Duration::from_millis(500);

/// The same while events wait for others to be acknowledged, which may be with another process: looking
/// costs some microseconds.
const POLL_BLOCKED: Duration = Duration::from_millis(50);

/// What was taken from the store is handed out within this time, or given back: `ack_wait` begins when it
/// is taken, and others may have nothing to do meanwhile.
const FRESH: Duration = Duration::from_millis(100);

/// And never more than this part of `ack_wait`.
const FRESH_PART: u32 = 8;

type Taking = Pin<Box<dyn Future<Output = Result<Batch, StoreError>> + Send>>;

/// A running durable consumer. What it hands out is with the caller until it is acknowledged, given
/// back, or `ack_wait` has passed. Dropping it stops its work; what is not acknowledged comes again.
#[must_use = "a dropped inbox hands out nothing"]
pub struct Inbox {
    store: Store,
    consumer: Consumer,
    terms: Terms,
    /// Of which collections it hands out.
    only: Only,
    tokens: Tokens,
    taken: Taken,
    /// How many are taken at once: more and more while the caller keeps up, and one alone if it takes
    /// its time, so that the others are there for other processes, and none is out that nobody works on.
    at_once: usize,
    /// What is being taken from the store. Kept here, so that a caller who gives up loses nothing.
    taking: Option<Taking>,
    fed: watch::Receiver<Fed>,
    /// A delivery of ours was acknowledged or given back.
    freed: Arc<Notify>,
    stop: watch::Sender<bool>,
    connection: Connection,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
    error: Option<StreamError>,
}

impl Inbox {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one handle, put together once"
    )]
    pub(crate) fn new(
        store: Store,
        consumer: Consumer,
        terms: Terms,
        fed: watch::Receiver<Fed>,
        stop: watch::Sender<bool>,
        connection: Connection,
        counters: Arc<Counters>,
        task: JoinHandle<()>,
    ) -> Self {
        Self {
            store,
            consumer,
            terms,
            only: Only::all(),
            tokens: Tokens::new(),
            taken: Taken::default(),
            at_once: 1,
            taking: None,
            fed,
            freed: Arc::default(),
            stop,
            connection,
            counters,
            task,
            error: None,
        }
    }

    /// The next delivery; `None` when the sources were silent for the idle time, or the stream cannot go
    /// on ([`Inbox::error`] says why), and nothing can be handed out now. What is out by then, or was put
    /// off, is for the next run. While all `max_in_flight` are out, or with `strict` the ones before, it
    /// waits for one of them.
    ///
    /// Cancel safe: what was taken and not handed out is handed out by the next call.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; it can be called again.
    pub async fn next(&mut self) -> Result<Option<Leased>, StoreError> {
        loop {
            let over = self.task.is_finished();
            if self.taking.is_none() {
                let fresh = self.fresh();
                if let Some((token, received)) = self.taken.pop(fresh) {
                    self.counters.delivered();
                    let (store, freed) = (self.store.clone(), self.freed.clone());
                    return Ok(Some(Leased::new(store, token, self.terms, received, freed)));
                }
                self.at_once = match self.taken.pace(fresh) {
                    Pace::Fast => self.at_once.saturating_mul(2).min(self.terms.count),
                    Pace::Waiting => self.at_once,
                    Pace::Slow => 1,
                };
                self.fed.mark_unchanged();
                self.taking = Some(self.take());
            }
            if let Some(taking) = &mut self.taking {
                let taken = taking.await;
                self.taking = None;
                let batch = taken?;
                if !batch.events.is_empty() {
                    self.taken.put(batch, self.fresh(), &self.store);
                    continue;
                }
            }
            let pending = self.store.pending_of(&self.consumer, &self.only, millis());
            let pending = pending.await?;
            let blocked = pending.due && (pending.out || !self.terms.strict);
            if over && !blocked {
                self.error = self.fed.borrow().error.clone();
                return Ok(None);
            }
            self.wait(pending, over).await;
        }
    }

    fn fresh(&self) -> Duration {
        let ack_wait = Duration::from_millis(u64::try_from(self.terms.ack_wait).unwrap_or(0));
        FRESH.min(ack_wait / FRESH_PART)
    }

    /// Gives back what was taken too long ago, and takes the next events.
    fn take(&mut self) -> Taking {
        let (store, consumer, only) =
            (self.store.clone(), self.consumer.clone(), self.only.clone());
        let (stale, stale_token) = self.taken.drain();
        let (token, giving) = (self.tokens.next(), self.taken.giving());
        let terms = Terms {
            count: self.at_once,
            ..self.terms
        };
        Box::pin(async move {
            let _turn = giving.lock().await;
            give_back(&store, stale, stale_token).await?;
            let at = Instant::now();
            let events = store
                .lease_of(&consumer, &only, token, terms, millis())
                .await?;
            Ok(Batch {
                token,
                full: events.len() == terms.count,
                events: events.into(),
                at,
            })
        })
    }

    /// Waits until there may be something to hand out.
    async fn wait(&mut self, pending: Pending, over: bool) {
        let poll = if pending.due { POLL_BLOCKED } else { POLL };
        let until = pending.next.map_or(poll, |at| {
            let left = u64::try_from(at.saturating_sub(millis())).unwrap_or(0);
            Duration::from_millis(left.max(1)).min(poll)
        });
        let (fed, task) = (&mut self.fed, &mut self.task);
        // Both an event and the end of the feeding are a reason to look again.
        let news = async {
            if over {
                std::future::pending::<()>().await;
            }
            tokio::select! {
                _ = fed.changed() => {}
                _ = task => {}
            }
        };
        tokio::select! {
            () = news => {}
            () = self.freed.notified() => {}
            () = sleep(until) => {}
        }
    }

    /// Waits until every source is connected: what is written from then on is taken in. Returns at once
    /// if the consumer is over; waits for its turn if another process feeds the inbox. Cancel safe.
    pub async fn connected(&mut self) {
        self.connection.established().await;
    }

    /// The store that it is in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How many followed repositories are still to be fetched: on first sight, or because something of them
    /// was missed.
    pub fn to_fetch(&self) -> u64 {
        self.counters.to_fetch()
    }

    /// Tells about the connections while the inbox itself is elsewhere.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Whether it is this process that reads the sources, and not another one with the same store and
    /// name.
    pub fn is_feeding(&self) -> bool {
        self.fed.borrow().feeding
    }

    /// The consumer, for looking into its inbox.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// The counts of this process so far.
    pub fn summary(&self) -> Summary {
        self.counters.summary()
    }

    /// Of whom this process refused events by the [admission](crate::Admission) so far, and how many; of
    /// whom most, first. Some hundreds are remembered for each reason.
    pub fn refused(&self) -> Vec<Refused> {
        self.counters.refused_most()
    }

    /// Why the stream ended, if it was not silence.
    pub fn error(&self) -> Option<&StreamError> {
        self.error.as_ref()
    }

    /// Only the records of one type, read as that type, under its name or an older one. What is of another
    /// collection stays where it is, for other handles of the same consumer: one that nobody takes waits, and
    /// counts among those that fill the inbox ([`Retention::waiting_for`](crate::Retention::waiting_for) lays it
    /// aside; [`Subscriber::collection`](crate::Subscriber::collection) does not let it in).
    pub fn typed<T: Record>(mut self) -> TypedInbox<T> {
        self.only = Only::collections(std::iter::once(T::NSID).chain(T::ALSO.iter().copied()));
        TypedInbox::new(self)
    }

    /// Hands out those of all collections again.
    pub(crate) fn untyped(mut self) -> Self {
        self.only = Only::all();
        self
    }

    /// Whether it hands out those of this collection.
    pub(crate) fn hands_out(&self, collection: &str) -> bool {
        self.only.includes(collection)
    }

    /// What waits, without taking it out: the first so many that are not acknowledged, in the order in which
    /// they are handed out first, also those that are out now. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn peek(&self, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        let waiting = self.store.inbox(&self.consumer, false, 0, limit).await?;
        Ok(waiting.into_iter().map(Waiting::from).collect())
    }

    /// Stops reading, stores what was read, and gives back what was not handed out. What was handed out
    /// stays with who has it. Not cancel safe: dropped half-way, what was read is read again next time.
    ///
    /// # Errors
    /// [`StoreError`] if something could not be given back: it comes back by itself after `ack_wait`.
    pub async fn shutdown(mut self) -> Result<(), StoreError> {
        self.stop.send_replace(true);
        if !self.task.is_finished() {
            // A task that panicked is over, too.
            drop((&mut self.task).await);
        }
        if let Some(taking) = self.taking.take() {
            let batch = taking.await?;
            let events = batch.events.iter().map(|event| event.id).collect();
            give_back(&self.store, events, batch.token).await?;
        }
        let (left, token) = self.taken.drain();
        give_back(&self.store, left, token).await
    }
}

async fn give_back(store: &Store, events: Vec<i64>, token: LeaseToken) -> Result<(), StoreError> {
    match events.is_empty() {
        true => Ok(()),
        false => store.give_back(events, token).await,
    }
}

/// A token for each time that events are taken: others, also in other processes, begin elsewhere.
struct Tokens(u64);

impl Tokens {
    fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> LeaseToken {
        self.0 = self.0.wrapping_add(1);
        LeaseToken(self.0.cast_signed())
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("consumer", &self.consumer)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}
