//! From the engine into the inbox of a durable consumer: commits are gathered, and stored together with
//! how far each source was taken in. The cursor never passes what is not stored (promise P5).

mod gathered;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atcomms_lexicon::Did;
use atcomms_store::{AccountChange, Consumer, Store, StoreError};
use tokio::sync::watch;

pub(crate) use self::gathered::{Gathered, known_records, standing};
use crate::clock::millis;
use crate::delivery::{Delivery, Undecodable};
use crate::engine::Outcome;
use crate::snapshot::KnownRecords;
use crate::subscription::StreamError;

/// How often the inbox is looked at while it is full.
const FULL_PAUSE: Duration = Duration::from_millis(200);

/// How often it is tried again to store something while the store fails: a full disk, say.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// A cursor that has moved alone, past frames of no interest, is stored this often. A killed process
/// reads that much again, and delivers nothing of it twice.
const CURSOR_EVERY: Duration = Duration::from_secs(1);

/// What the keeper tells the inbox's handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fed {
    /// Whether it is this process that takes in.
    pub(crate) feeding: bool,
    /// How many events were stored.
    pub(crate) events: u64,
    /// Why nothing more comes.
    pub(crate) error: Option<StreamError>,
}

pub(crate) struct Keeper {
    store: Store,
    consumer: Consumer,
    gathered: Gathered,
    stored: HashMap<String, i64>,
    stored_at: Instant,
    /// How many events wait in the inbox, at most.
    waiting: u64,
    /// And how many may.
    max_waiting: u64,
    fed: watch::Sender<Fed>,
    stop: watch::Receiver<bool>,
}

impl Keeper {
    pub(crate) fn new(
        store: Store,
        consumer: Consumer,
        max_waiting: u64,
        cursors: Vec<(String, i64)>,
        fed: watch::Sender<Fed>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            store,
            consumer,
            gathered: Gathered::default(),
            stored: cursors.into_iter().collect(),
            stored_at: Instant::now(),
            // Counted before the first is stored.
            waiting: max_waiting,
            max_waiting,
            fed,
            stop,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.consumer.name
    }

    pub(crate) async fn closed(&mut self) {
        // An error means that the handle is gone, which is an end, too.
        drop(self.stop.wait_for(|stop| *stop).await);
    }

    pub(crate) fn deliver(&mut self, delivery: Delivery) {
        self.gathered.deliver(delivery);
    }

    pub(crate) fn undecodable(&mut self, undecodable: Undecodable) {
        self.gathered.undecodable(undecodable);
    }

    pub(crate) fn settled(&mut self, outcome: Outcome) {
        self.gathered.settled(outcome);
    }

    pub(crate) fn broken(&mut self, did: Did) {
        self.gathered.broken(did);
    }

    pub(crate) fn account(&mut self, did: Did, change: AccountChange) {
        self.gathered.account(did, change);
    }

    /// The records that are known of a repository, as far as they are stored.
    pub(crate) async fn known(&self, did: &Did) -> Result<KnownRecords, StoreError> {
        let known = self.store.known(&self.consumer, did).await?;
        Ok(known_records(known))
    }

    pub(crate) fn stopped(&self, error: StreamError) {
        self.fed.send_modify(|fed| fed.error = Some(error));
    }

    /// Whether as much waits to be stored as goes into one transaction.
    pub(crate) fn is_full(&self) -> bool {
        self.gathered.is_full(self.max_waiting)
    }

    /// Stores what was gathered, and that each host's stream is taken in up to there. A store that fails
    /// is waited for: meanwhile nothing is read, and nothing lost.
    pub(crate) async fn store(&mut self, cursors: Vec<(String, i64)>, last: bool) {
        let moved = |(host, seq): &(String, i64)| self.stored.get(host).is_none_or(|at| at < seq);
        let cursors: Vec<_> = cursors.into_iter().filter(moved).collect();
        if self.gathered.is_empty()
            && (cursors.is_empty() || !(last || self.stored_at.elapsed() >= CURSOR_EVERY))
        {
            return;
        }
        self.stored.extend(cursors.iter().cloned());
        self.stored_at = Instant::now();
        let intake = Arc::new(self.gathered.take(cursors));
        let resumed = |(_, change): &(Did, AccountChange)| *change == AccountChange::Resume;
        let resumes = intake.accounts.iter().any(resumed);
        let mut told = false;
        let new = loop {
            let taken_in = self.store.take_in(&self.consumer, intake.clone(), millis());
            match taken_in.await {
                Ok(new) => break new,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(consumer = self.consumer.name, %error, "nothing is taken in");
                    }
                    if self.pause(STORE_PAUSE).await {
                        return;
                    }
                }
            }
        };
        if resumes {
            self.fed.send_modify(|_| {});
        }
        if new > 0 {
            self.fed.send_modify(|fed| fed.events += new);
            self.waiting = self.waiting.saturating_add(new);
            self.wait_for_room().await;
        }
    }

    async fn wait_for_room(&mut self) {
        let mut told = false;
        while self.waiting >= self.max_waiting {
            match self.store.inbox_len(&self.consumer).await {
                Ok(waiting) => self.waiting = waiting,
                Err(error) => tracing::warn!(%error, "the inbox cannot be counted"),
            }
            if self.waiting < self.max_waiting {
                return;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    consumer = self.consumer.name,
                    waiting = self.waiting,
                    "the inbox is full: nothing more is read until events are acknowledged"
                );
            }
            if self.pause(FULL_PAUSE).await {
                return;
            }
        }
    }

    /// Waits a while; true if it is over.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = self.closed() => true,
        }
    }
}
