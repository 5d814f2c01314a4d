//! Events that were taken from the store and are not with the caller yet: a few, for a short time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use atcomms_store::{LeaseToken, Received, Store};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Whose turn it is to give back or to take.
pub(crate) type Turn = tokio::sync::Mutex<()>;

/// The events of one time that events were taken.
pub(crate) struct Batch {
    pub(crate) token: LeaseToken,
    pub(crate) events: VecDeque<Received>,
    /// Whether there were as many as were asked for.
    pub(crate) full: bool,
    pub(crate) at: Instant,
}

/// How fast the caller is.
pub(crate) enum Pace {
    /// It has dealt with all in time, and there may be more.
    Fast,
    /// It has dealt with all that there was.
    Waiting,
    /// It has not.
    Slow,
}

/// Where the events of the last batch wait for the caller. What the caller does not ask for in time goes
/// back to the store: `ack_wait` began when it was taken, and others may have nothing to do meanwhile.
#[derive(Default)]
pub(crate) struct Taken {
    batch: Arc<Mutex<Option<Batch>>>,
    /// Held while events are given back: none is taken past them meanwhile.
    giving: Arc<Turn>,
    timer: Option<JoinHandle<()>>,
}

impl Taken {
    /// Keeps a batch for so long.
    pub(crate) fn put(&mut self, batch: Batch, fresh: Duration, store: &Store) {
        self.stop();
        // A single one is asked for at once.
        if batch.events.len() > 1 {
            let (store, shared, giving) = (store.clone(), self.batch.clone(), self.giving());
            let token = batch.token;
            self.timer = Some(tokio::spawn(async move {
                sleep(fresh).await;
                let _turn = giving.lock().await;
                let events = drain(&shared, Some(token)).0;
                if let Err(error) = store.give_back(events, token).await {
                    tracing::debug!(%error, "events come back later");
                }
            }));
        }
        *lock(&self.batch) = Some(batch);
    }

    /// The next one, if it was taken within this time.
    pub(crate) fn pop(&self, fresh: Duration) -> Option<(LeaseToken, Received)> {
        let mut batch = lock(&self.batch);
        let batch = batch.as_mut().filter(|batch| batch.at.elapsed() < fresh)?;
        Some((batch.token, batch.events.pop_front()?))
    }

    /// How the caller deals with what was taken; `fresh` is how long a batch is kept.
    pub(crate) fn pace(&self, fresh: Duration) -> Pace {
        match lock(&self.batch).as_ref() {
            Some(batch) if batch.at.elapsed() >= fresh => Pace::Slow,
            Some(batch) if batch.full => Pace::Fast,
            _ => Pace::Waiting,
        }
    }

    /// What is left.
    pub(crate) fn drain(&mut self) -> (Vec<i64>, LeaseToken) {
        self.stop();
        drain(&self.batch, None)
    }

    /// Whose turn it is with the store.
    pub(crate) fn giving(&self) -> Arc<Turn> {
        self.giving.clone()
    }

    fn stop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").finish_non_exhaustive()
    }
}

/// What is left of the batch, and its token; nothing if there is none, or another one than is meant.
fn drain(batch: &Mutex<Option<Batch>>, only: Option<LeaseToken>) -> (Vec<i64>, LeaseToken) {
    match &mut *lock(batch) {
        Some(batch) if only.is_none_or(|token| token == batch.token) => {
            let events = batch.events.drain(..).map(|event| event.id);
            (events.collect(), batch.token)
        }
        _ => (Vec::new(), LeaseToken(0)),
    }
}

fn lock(batch: &Mutex<Option<Batch>>) -> MutexGuard<'_, Option<Batch>> {
    batch.lock().unwrap_or_else(PoisonError::into_inner)
}
