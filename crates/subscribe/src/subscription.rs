//! The subscriber's handle: a stream of deliveries, its counts, and its end.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use atcomms_lexicon::{Nsid, Record};
use futures::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::admission::Refused;
use crate::connection::Connection;
use crate::counters::{Counters, Summary};
use crate::delivery::{Delivery, Undecodable};
use crate::room::{Place, Room};

/// The stream cannot go on without an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The host refused our place in its stream.
    #[error("{host} refused to stream: {error}")]
    Refused {
        /// The host.
        host: String,
        /// What it said, and what to do.
        error: String,
    },
    /// A recorded file could not be read to its end. What came before it was delivered.
    #[error("{file} was not read to its end: {error}")]
    Unread {
        /// The file.
        file: String,
        /// Why not.
        error: String,
    },
}

/// What travels from the driver to the handle.
#[derive(Debug)]
pub(crate) enum Item {
    Delivery(Delivery),
    Undecodable(Undecodable),
    Stopped(StreamError),
}

/// A running subscription: a [`Stream`] of deliveries. It ends when the source was silent for the idle
/// time, or when it cannot go on ([`Subscription::error`] says why). Dropping it stops its work.
#[derive(Debug)]
#[must_use = "a dropped subscription delivers nothing"]
pub struct Subscription {
    items: mpsc::Receiver<(Item, Place)>,
    room: Room,
    connection: Connection,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
    error: Option<StreamError>,
}

impl Subscription {
    pub(crate) fn new(
        items: mpsc::Receiver<(Item, Place)>,
        room: Room,
        connection: Connection,
        counters: Arc<Counters>,
        task: JoinHandle<()>,
    ) -> Self {
        Subscription {
            items,
            room,
            connection,
            counters,
            task,
            error: None,
        }
    }

    /// Waits until every source is connected: what is written from then on is seen. Cancel safe.
    pub async fn connected(&mut self) {
        self.connection.established().await;
    }

    /// Tells about the connections while the subscription itself is elsewhere.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// The counts so far.
    pub fn summary(&self) -> Summary {
        self.counters.summary()
    }

    /// How many followed repositories are still to be fetched: on first sight, or because something of them
    /// was missed.
    pub fn to_fetch(&self) -> u64 {
        self.counters.to_fetch()
    }

    /// Of whom events were refused by the [admission](crate::Admission) so far, and how many; of whom most,
    /// first. Some hundreds are remembered for each reason.
    pub fn refused(&self) -> Vec<Refused> {
        self.counters.refused_most()
    }

    /// Why the stream ended, if it was not silence.
    pub fn error(&self) -> Option<&StreamError> {
        self.error.as_ref()
    }

    /// Only the records of one type, read as that type. Records of other collections are passed over;
    /// one that is not a valid `T` is an `Err` of its own and not the end.
    pub fn typed<T: Record>(self) -> Typed<T> {
        Typed {
            subscription: self,
            record: PhantomData,
        }
    }

    /// Stops reading and waits until the sockets are closed. What was not taken out yet is dropped.
    /// Not cancel safe: dropped half-way, it still stops, but without waiting.
    pub async fn shutdown(mut self) {
        self.items.close();
        self.room.close();
        // An aborted or finished task is what we want; there is no other outcome to report.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery, Undecodable>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let received = std::task::ready!(self.items.poll_recv(context));
        match received.map(|(item, _)| item) {
            Some(Item::Delivery(delivery)) => {
                self.counters.delivered();
                Poll::Ready(Some(Ok(delivery)))
            }
            Some(Item::Undecodable(undecodable)) => Poll::Ready(Some(Err(undecodable))),
            Some(Item::Stopped(error)) => {
                self.error = Some(error);
                Poll::Ready(None)
            }
            None => Poll::Ready(None),
        }
    }
}

/// A subscription to one type of record; made by [`Subscription::typed`].
#[derive(Debug)]
#[must_use = "a dropped subscription delivers nothing"]
pub struct Typed<T> {
    subscription: Subscription,
    record: PhantomData<fn() -> T>,
}

impl<T> Typed<T> {
    /// Waits until every source is connected: what is written from then on is seen. Cancel safe.
    pub async fn connected(&mut self) {
        self.subscription.connected().await;
    }

    /// The subscription below.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The subscription below, to shut it down.
    pub fn into_subscription(self) -> Subscription {
        self.subscription
    }
}

impl<T: Record> Stream for Typed<T> {
    type Item = Result<Delivery<T>, Undecodable>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::task::ready!(Pin::new(&mut self.subscription).poll_next(context)) {
                Some(Ok(delivery)) if is_a::<T>(&delivery.collection) => {
                    return Poll::Ready(Some(delivery.decode()));
                }
                Some(Err(undecodable))
                    if undecodable
                        .uri
                        .collection()
                        .is_some_and(|nsid| is_a::<T>(&nsid)) =>
                {
                    return Poll::Ready(Some(Err(undecodable)));
                }
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Whether records of this collection are read as a `T`: under its name, or an older one.
fn is_a<T: Record>(collection: &Nsid) -> bool {
    collection.as_str() == T::NSID || T::ALSO.contains(&collection.as_str())
}
