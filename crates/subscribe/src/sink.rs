//! Where the driver puts what the engine lets through: into the subscriber's hands, or into the inbox
//! of a durable consumer.

use atcomms_lexicon::Did;
use atcomms_store::StoreError;
use tokio::sync::mpsc;

use crate::delivery::{Delivery, Undecodable};
use crate::engine::Verified;
use crate::intake::Keeper;
use crate::known::Known;
use crate::room::{Place, Room};
use crate::snapshot::KnownRecords;
use crate::subscription::{Item, StreamError};

pub(crate) enum Sink {
    /// Into the subscriber's hands: what is delivered is forgotten.
    Hands {
        items: mpsc::Sender<(Item, Place)>,
        room: Room,
        known: Known,
    },
    /// Into an inbox: what is delivered is kept until it is acknowledged.
    Inbox(Box<Keeper>),
}

impl Sink {
    /// Waits until nobody wants anything any more. Cancel safe.
    pub(crate) async fn closed(&mut self) {
        match self {
            Self::Hands { items, .. } => items.closed().await,
            Self::Inbox(keeper) => keeper.closed().await,
        }
    }

    /// False if nobody wants it.
    pub(crate) async fn deliver(&mut self, delivery: Delivery) -> bool {
        match self {
            Self::Hands { items, room, .. } => {
                let bytes = delivery.bytes().map_or(0, |bytes| bytes.len());
                send(items, room, bytes, Item::Delivery(delivery)).await
            }
            Self::Inbox(keeper) => {
                keeper.deliver(delivery);
                true
            }
        }
    }

    /// False if nobody wants it.
    pub(crate) async fn undecodable(&mut self, undecodable: Undecodable) -> bool {
        match self {
            Self::Hands { items, room, .. } => {
                let bytes = undecodable.bytes.len();
                send(items, room, bytes, Item::Undecodable(undecodable)).await
            }
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
            Self::Hands { items, room, .. } => {
                send(items, room, 0, Item::Stopped(error)).await;
            }
            Self::Inbox(keeper) => keeper.stopped(error),
        }
    }

    /// A commit, or a fetched repository, was said completely.
    pub(crate) fn settled(&mut self, verified: Option<Box<Verified>>) {
        match self {
            Self::Hands { known, .. } => {
                if let Some(verified) = verified {
                    known.learn(*verified);
                }
            }
            Self::Inbox(keeper) => keeper.settled(verified),
        }
    }

    /// Something of a repository was dropped.
    pub(crate) fn broken(&mut self, did: Did) {
        if let Self::Inbox(keeper) = self {
            keeper.broken(did);
        }
    }

    /// The records that are known of a repository, as far as they are stored.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn known(&self, did: &Did) -> Result<KnownRecords, StoreError> {
        match self {
            Self::Hands { known, .. } => Ok(known.of(did)),
            Self::Inbox(keeper) => keeper.known(did).await,
        }
    }

    pub(crate) fn keeper(&mut self) -> Option<&mut Keeper> {
        match self {
            Self::Hands { .. } => None,
            Self::Inbox(keeper) => Some(keeper),
        }
    }
}

/// False if nobody wants it.
async fn send(items: &mpsc::Sender<(Item, Place)>, room: &Room, bytes: usize, item: Item) -> bool {
    match room.take(bytes).await {
        Some(place) => items.send((item, place)).await.is_ok(),
        None => false,
    }
}
