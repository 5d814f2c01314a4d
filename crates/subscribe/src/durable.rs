//! A durable consumer: how it hands out, and its start.

use std::sync::Arc;
use std::time::Duration;

use atcomms_repo::verify::Head;
use atcomms_store::{Consumer, Lock, Store, StoreError, Terms};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::Instrument;

use crate::clock::{micros, millis};
use crate::connection::{Connection, Links};
use crate::counters::Counters;
use crate::inbox::Inbox;
use crate::intake::{Fed, Keeper, standing};
use crate::retention::Retention;
use crate::sink::Sink;
use crate::subscriber::{Before, SubscribeError, Subscriber};

/// How many deliveries may be out unacknowledged, unless the caller says otherwise.
pub const MAX_IN_FLIGHT: usize = 64;

/// How long a delivery may take to be acknowledged, unless the caller says otherwise.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// How often a delivery is handed out before it is dead, unless the caller says otherwise.
pub const MAX_DELIVER: u32 = 5;

/// The most strangers' heads that are loaded at a start: as many as are kept in memory. Of a
/// repository that was not heard of for so long, the stream's small rewind brings nothing old.
const HEADS: usize = 65_536;

/// Events that may wait in an inbox, unless the caller says otherwise: a day of a busy swarm, and some hundred
/// megabytes at most times.
pub const MAX_WAITING: u64 = 100_000;

/// How often it is looked whether the process that feeds the inbox is gone.
const TAKE_OVER: Duration = Duration::from_secs(1);

/// A durable consumer in the making: [`start`](Self::start) begins.
#[derive(Clone, Debug)]
#[must_use = "nothing is watched until `start`"]
pub struct Durable {
    subscriber: Subscriber,
    store: Store,
    name: String,
    terms: Terms,
    retention: Retention,
    max_waiting: u64,
}

impl Durable {
    pub(crate) fn new(subscriber: Subscriber, store: Store, name: String) -> Self {
        Self {
            subscriber,
            store,
            name,
            terms: Terms {
                count: MAX_IN_FLIGHT,
                max_in_flight: MAX_IN_FLIGHT,
                ack_wait: wait(ACK_WAIT),
                max_deliver: MAX_DELIVER,
                strict: false,
            },
            retention: Retention::new(),
            max_waiting: MAX_WAITING,
        }
    }

    /// How many deliveries may be out unacknowledged, here and in other processes; [`MAX_IN_FLIGHT`] by
    /// default.
    pub fn max_in_flight(mut self, deliveries: usize) -> Self {
        self.terms.max_in_flight = deliveries.max(1);
        self.terms.count = self.terms.max_in_flight;
        self
    }

    /// How long a delivery may take to be acknowledged: then it comes again, here or elsewhere;
    /// [`ACK_WAIT`] by default.
    pub fn ack_wait(mut self, time: Duration) -> Self {
        self.terms.ack_wait = wait(time);
        self
    }

    /// How often a delivery is handed out before it is laid among the dead; [`MAX_DELIVER`] by default.
    pub fn max_deliver(mut self, times: u32) -> Self {
        self.terms.max_deliver = times.max(1);
        self
    }

    /// Hands out a delivery only when the one before it of the same repository is acknowledged or dead:
    /// then also redeliveries come in order.
    pub fn strict(mut self) -> Self {
        self.terms.strict = true;
        self
    }

    /// How many events may wait in the inbox, those that are out among them; [`MAX_WAITING`] by default. Beyond
    /// it, reading pauses until some are acknowledged or dead: the disk holds them, and the host its stream. The
    /// commits that were read together by then, as many again at most, are still taken in.
    pub fn max_waiting(mut self, events: u64) -> Self {
        self.max_waiting = events.max(1);
        self
    }

    /// How long it keeps what nobody takes, and what is dead; for ever by default. It is looked for every
    /// minute, by the process that reads the sources.
    pub fn retain(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Starts watching, within a Tokio runtime. Of several processes with the same store and name one
    /// reads the sources, and all hand out. A name that was used before goes on where it was, whatever
    /// [`Subscriber::from`] says.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// There is nothing to watch, or the store fails.
    pub async fn start(self) -> Result<Inbox, SubscribeError> {
        self.subscriber.check()?;
        let started_at = micros();
        let consumer = match self.subscriber.begins_live() {
            true => self.store.live_consumer(&self.name, millis()).await?,
            false => self.store.consumer(&self.name, millis()).await?,
        };
        let (fed, fed_seen) = watch::channel(Fed::default());
        let (stop, stopping) = watch::channel(false);
        let (links, seen) = watch::channel(Links::default());
        let connection = Connection::new(seen);
        let counters = Arc::new(Counters::new());
        let feeder = Feeder {
            started_at,
            subscriber: self.subscriber,
            store: self.store.clone(),
            consumer: consumer.clone(),
            counters: counters.clone(),
            retention: self.retention,
            max_waiting: self.max_waiting,
            fed,
            stop: stopping,
        };
        let span = tracing::info_span!("subscription", consumer = consumer.name);
        let task = tokio::spawn(feeder.run(links).instrument(span));
        Ok(Inbox::new(
            self.store, consumer, self.terms, fed_seen, stop, connection, counters, task,
        ))
    }
}

/// Feeds the inbox once no other process does.
struct Feeder {
    /// When it was started, in microseconds; its turn may come later.
    started_at: u64,
    subscriber: Subscriber,
    store: Store,
    consumer: Consumer,
    counters: Arc<Counters>,
    retention: Retention,
    max_waiting: u64,
    fed: watch::Sender<Fed>,
    stop: watch::Receiver<bool>,
}

impl Feeder {
    async fn run(mut self, links: watch::Sender<Links>) {
        let Some(_lock) = self.turn().await else {
            return;
        };
        self.fed.send_modify(|fed| fed.feeding = true);
        let before = loop {
            match self.before().await {
                Ok(before) => break before,
                Err(error) => {
                    tracing::error!(consumer = self.consumer.name, %error, "where to go on cannot be read");
                    if self.pause().await {
                        return;
                    }
                }
            }
        };
        let retaining = self
            .retention
            .keep(self.store.clone(), self.consumer.clone());
        let keeper = Keeper::new(
            self.store,
            self.consumer,
            self.max_waiting,
            before.cursors.clone(),
            self.fed,
            self.stop,
        );
        let sink = Sink::Inbox(Box::new(keeper));
        let driver = self.subscriber.drive(sink, before, links, self.counters);
        tokio::select! {
            () = driver.run() => {}
            // It never ends.
            () = retaining => {}
        }
    }

    /// Waits until nobody else feeds; `None` if it is over before.
    async fn turn(&mut self) -> Option<Lock> {
        loop {
            match self.store.try_feed(&self.consumer) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(consumer = self.consumer.name, %error, "the inbox cannot be fed");
                }
            }
            if self.pause().await {
                return None;
            }
        }
    }

    async fn before(&self) -> Result<Before, StoreError> {
        let cursors = self.store.cursors(&self.consumer).await?;
        let followed = self.subscriber.followed();
        let heads = self.store.heads(&self.consumer, HEADS + followed).await?;
        let heads = heads.into_iter().map(|(head, story)| {
            let (rev, data) = (head.rev, head.data);
            (head.did, Head { rev, data }, standing(story))
        });
        let paused = self.store.paused(&self.consumer).await?;
        Ok(Before {
            started_at: self.started_at,
            paused,
            cursors,
            heads: heads.collect(),
            began_live: self
                .consumer
                .began_live
                .map(|at| u64::try_from(at).unwrap_or(0) * 1000),
        })
    }

    /// Waits a while; true if it is over.
    async fn pause(&mut self) -> bool {
        tokio::select! {
            () = sleep(TAKE_OVER) => false,
            // An error means that the handle is gone.
            _ = self.stop.wait_for(|stop| *stop) => true,
        }
    }
}

fn wait(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}
