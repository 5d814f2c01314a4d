//! Where the driver puts what the engine lets through: into the subscriber's hands, or into the inbox
//! of a durable consumer.

use atcomms_lexicon::Did;
use atcomms_store::{AccountChange, StoreError};
use tokio::sync::mpsc;

use crate::delivery::{Delivery, Undecodable};
use crate::engine::Outcome;
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

    /// A commit, a fetched repository or a lone operation was said completely.
    pub(crate) fn settled(&mut self, outcome: Outcome) {
        match self {
            Self::Hands { known, .. } => known.learn(outcome),
            Self::Inbox(keeper) => keeper.settled(outcome),
        }
    }

    /// Something of a repository was dropped.
    pub(crate) fn broken(&mut self, did: Did) {
        if let Self::Inbox(keeper) = self {
            keeper.broken(did);
        }
    }

    /// An account is active no more, or again.
    pub(crate) fn account(&mut self, did: Did, change: AccountChange) {
        if let Self::Inbox(keeper) = self {
            keeper.account(did, change);
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

    /// The consumer's name, if it has one.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Hands { .. } => "",
            Self::Inbox(keeper) => keeper.name(),
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
