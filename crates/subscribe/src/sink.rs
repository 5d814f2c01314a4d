//! Where the driver puts what the engine lets through: into the subscriber's hands, or into the inbox
//! of a durable consumer.

use tokio::sync::mpsc;

use crate::delivery::{Delivery, Undecodable};
use crate::intake::Keeper;
use crate::subscription::{Item, StreamError};

pub(crate) enum Sink {
    /// Into the subscriber's hands: what is delivered is forgotten.
    Hands(mpsc::Sender<Item>),
    /// Into an inbox: what is delivered is kept until it is acknowledged.
    Inbox(Box<Keeper>),
}

impl Sink {
    /// Waits until nobody wants anything any more. Cancel safe.
    pub(crate) async fn closed(&mut self) {
        match self {
            Self::Hands(items) => items.closed().await,
            Self::Inbox(keeper) => keeper.closed().await,
        }
    }

    /// False if nobody wants it.
    pub(crate) async fn deliver(&mut self, delivery: Delivery) -> bool {
        match self {
            Self::Hands(items) => items.send(Item::Delivery(delivery)).await.is_ok(),
            Self::Inbox(keeper) => {
                keeper.deliver(delivery);
                true
            }
        }
    }

    /// False if nobody wants it.
    pub(crate) async fn undecodable(&mut self, undecodable: Undecodable) -> bool {
        match self {
            Self::Hands(items) => items.send(Item::Undecodable(undecodable)).await.is_ok(),
            Self::Inbox(keeper) => {
                keeper.undecodable(undecodable);
                true
            }
        }
    }

    /// The stream cannot go on.
    pub(crate) async fn stopped(&mut self, error: StreamError) {
        match self {
            // The subscriber may be gone already: then there is nobody left to tell.
            Self::Hands(items) => drop(items.send(Item::Stopped(error)).await),
            Self::Inbox(keeper) => keeper.stopped(error),
        }
    }

    pub(crate) fn keeper(&mut self) -> Option<&mut Keeper> {
        match self {
            Self::Hands(_) => None,
            Self::Inbox(keeper) => Some(keeper),
        }
    }
}
