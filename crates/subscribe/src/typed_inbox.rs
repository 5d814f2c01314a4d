//! An inbox of one type of record.

use std::marker::PhantomData;

use atcomms_lexicon::Record;
use atcomms_store::StoreError;

use crate::inbox::Inbox;
use crate::leased::Leased;

/// A durable consumer that hands out the records of one type; made by [`Inbox::typed`]. An update and a
/// delete are events of their own, the latter without a record; what is not a valid `T` is an
/// [`Undecodable`](crate::Undecodable) with its reason and its bytes, to be acknowledged or
/// [laid aside](Leased::term) as any other.
#[derive(Debug)]
#[must_use = "a dropped inbox hands out nothing"]
pub struct TypedInbox<T> {
    inbox: Inbox,
    record: PhantomData<fn() -> T>,
}

impl<T> TypedInbox<T> {
    pub(crate) fn new(inbox: Inbox) -> Self {
        Self {
            inbox,
            record: PhantomData,
        }
    }

    /// Waits until every source is connected; see [`Inbox::connected`]. Cancel safe.
    pub async fn connected(&mut self) {
        self.inbox.connected().await;
    }

    /// The inbox below.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The inbox below, which hands out everything again, or to shut it down.
    pub fn into_inbox(self) -> Inbox {
        self.inbox.untyped()
    }
}

impl<T: Record> TypedInbox<T> {
    /// The next delivery of a `T`; as [`Inbox::next`], also in when it ends.
    ///
    /// Cancel safe: what was taken and not handed out is handed out by a later call.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; it can be called again.
    pub async fn next(&mut self) -> Result<Option<Leased<T>>, StoreError> {
        while let Some(leased) = self.inbox.next().await? {
            let collection = match leased.item() {
                Ok(delivery) => Some(delivery.collection.clone()),
                Err(undecodable) => undecodable.uri.collection(),
            };
            if collection.is_some_and(|collection| self.inbox.hands_out(collection.as_str())) {
                return Ok(Some(leased.typed()));
            }
            // It was taken before the inbox had a type.
            leased.give_back().await?;
        }
        Ok(None)
    }
}
