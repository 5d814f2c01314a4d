//! The handle of a durable consumer: deliveries that stay until they are acknowledged.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use atcomms_store::{Consumer, LeaseToken, Received, Store, StoreError, Terms};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::millis;
use crate::connection::Connection;
use crate::counters::{Counters, Summary};
use crate::intake::Fed;
use crate::leased::Leased;
use crate::subscription::StreamError;

/// How often the inbox is looked at for what another process has taken in or given back.
const POLL: Duration = Duration::from_millis(500);

type Taking = Pin<Box<dyn Future<Output = Result<(Vec<Received>, i64), StoreError>> + Send>>;

/// A running durable consumer. What it hands out is with the caller until it is acknowledged, given
/// back, or `ack_wait` has passed. Dropping it stops its work; what is not acknowledged comes again.
#[must_use = "a dropped inbox hands out nothing"]
pub struct Inbox {
    store: Store,
    consumer: Consumer,
    terms: Terms,
    token: LeaseToken,
    /// Taken from the store, and not yet by the caller; and until when they are ours.
    taken: VecDeque<Received>,
    taken_until: i64,
    /// What is being taken from the store. Kept here, so that a caller who gives up loses nothing.
    taking: Option<Taking>,
    fed: watch::Receiver<Fed>,
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
        token: LeaseToken,
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
            token,
            taken: VecDeque::new(),
            taken_until: 0,
            taking: None,
            fed,
            stop,
            connection,
            counters,
            task,
            error: None,
        }
    }

    /// The next delivery; `None` when the sources were silent for the idle time, or the stream cannot go
    /// on ([`Inbox::error`] says why), and nothing can be handed out now. What is out by then, or was put
    /// off, is for the next run.
    ///
    /// Cancel safe: what was taken and not handed out is handed out by the next call.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; it can be called again.
    pub async fn next(&mut self) -> Result<Option<Leased>, StoreError> {
        loop {
            // What waited here for too long is somebody else's by now.
            if millis() >= self.taken_until {
                self.taken.clear();
            }
            if let Some(received) = self.taken.pop_front() {
                self.counters.delivered();
                let store = self.store.clone();
                return Ok(Some(Leased::new(store, self.token, self.terms, received)));
            }
            let over = self.task.is_finished();
            if self.taking.is_none() {
                self.fed.mark_unchanged();
                self.taking = Some(self.take());
            }
            if let Some(taking) = &mut self.taking {
                let taken = taking.await;
                self.taking = None;
                let (taken, until) = taken?;
                if !taken.is_empty() {
                    (self.taken, self.taken_until) = (taken.into(), until);
                    continue;
                }
            }
            let next = self.store.next_visible(&self.consumer).await?;
            // What is out, or was put off, is for the next run.
            if over && next.is_none_or(|at| at > millis()) {
                self.error = self.fed.borrow().error.clone();
                return Ok(None);
            }
            if !over {
                self.wait(next).await;
            }
        }
    }

    /// Takes the next events; gives them, and until when they are ours.
    fn take(&self) -> Taking {
        let (store, consumer) = (self.store.clone(), self.consumer.clone());
        let (token, terms) = (self.token, self.terms);
        Box::pin(async move {
            let now = millis();
            let taken = store.lease(&consumer, token, terms, now).await?;
            Ok((taken, now.saturating_add(terms.ack_wait)))
        })
    }

    /// Waits until there may be something to hand out.
    async fn wait(&mut self, next: Option<i64>) {
        let until = next.map_or(POLL, |at| {
            let left = u64::try_from(at.saturating_sub(millis())).unwrap_or(0);
            Duration::from_millis(left.max(1)).min(POLL)
        });
        tokio::select! {
            // Both an event and the end of the feeding are a reason to look again.
            _ = timeout(until, self.fed.changed()) => {}
            _ = &mut self.task => {}
        }
    }

    /// Waits until every source is connected: what is written from then on is taken in. Returns at once
    /// if the consumer is over; waits for its turn if another process feeds the inbox. Cancel safe.
    pub async fn connected(&mut self) {
        self.connection.established().await;
    }

    /// Tells about the connections while the inbox itself is elsewhere.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// The consumer, for looking into its inbox.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// The counts of this process so far.
    pub fn summary(&self) -> Summary {
        self.counters.summary()
    }

    /// Why the stream ended, if it was not silence.
    pub fn error(&self) -> Option<&StreamError> {
        self.error.as_ref()
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
            self.taken.extend(taking.await?.0);
        }
        for received in std::mem::take(&mut self.taken) {
            self.store.give_back(received.id, self.token).await?;
        }
        Ok(())
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
