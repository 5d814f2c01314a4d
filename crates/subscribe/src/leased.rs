//! One delivery that is with the caller, and what the caller says of it.

use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::{Map, Record, Value};
use atcomms_repo::frame::Action;
use atcomms_store::rusqlite::{self, Connection};
use atcomms_store::{Change, Event, LeaseError, LeaseToken, Received, Store, StoreError, Terms};
use tokio::sync::Notify;

use crate::clock::millis;
use crate::delivery::{Delivery, Undecodable};
use crate::trust::{Continuity, Trust};

/// A delivery that is with the caller until it is acknowledged ([`ack`](Self::ack),
/// [`ack_with`](Self::ack_with)), given back ([`nak`](Self::nak)), laid among the dead
/// ([`term`](Self::term)), or `ack_wait` has passed. Dropping it says nothing: it comes again then.
///
/// `T` is what the record is read as: [`Map`] as it comes, or a [`Record`] type after
/// [`Inbox::typed`](crate::Inbox::typed).
#[derive(Clone, Debug)]
#[must_use = "what is not acknowledged comes again"]
pub struct Leased<T = Map> {
    store: Store,
    token: LeaseToken,
    terms: Terms,
    id: i64,
    attempts: u32,
    received_at: i64,
    item: Result<Delivery<T>, Undecodable>,
    /// Tells the inbox that there is room for another one.
    freed: Arc<Notify>,
}

impl Leased {
    pub(crate) fn new(
        store: Store,
        token: LeaseToken,
        terms: Terms,
        received: Received,
        freed: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            token,
            terms,
            id: received.id,
            attempts: received.attempts,
            received_at: received.received_at,
            item: item(received.event),
            freed,
        }
    }

    /// The delivery, read as a `T`.
    ///
    /// # Errors
    /// The record is not a `T`.
    #[expect(clippy::result_large_err, reason = "a delivery is larger still")]
    pub fn decode<T: Record>(&self) -> Result<Delivery<T>, Undecodable> {
        self.item.clone()?.decode()
    }

    /// The same delivery, with its record read as a `T`.
    pub(crate) fn typed<T: Record>(self) -> Leased<T> {
        Leased {
            store: self.store,
            token: self.token,
            terms: self.terms,
            id: self.id,
            attempts: self.attempts,
            received_at: self.received_at,
            item: self.item.and_then(Delivery::decode),
            freed: self.freed,
        }
    }

    /// Gives it back as if it had not been handed out.
    pub(crate) async fn give_back(self) -> Result<(), StoreError> {
        self.store.give_back(vec![self.id], self.token).await
    }
}

impl<T> Leased<T> {
    /// The delivery, or the record that cannot be read.
    ///
    /// # Errors
    /// [`Undecodable`] is a value here, and to be acknowledged as any other.
    pub fn item(&self) -> Result<&Delivery<T>, &Undecodable> {
        self.item.as_ref()
    }

    /// Its number in the inbox.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// How often it was handed out: 1 is the first time.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When it was taken in, in milliseconds since 1970.
    pub fn received_at(&self) -> i64 {
        self.received_at
    }

    /// It is done: it does not come again (promise P3). Cancel safe: it was acknowledged, or it was not.
    ///
    /// # Errors
    /// [`LeaseError`] says why it counts as not acknowledged.
    pub async fn ack(self) -> Result<(), LeaseError> {
        let acknowledged = self.store.ack(self.id, self.token).await;
        self.freed.notify_one();
        acknowledged
    }

    /// It is done, in one transaction with the caller's own work on the store's file: both happen, or
    /// neither. So effects happen once, whatever dies. Tables of the caller's own should have a prefix.
    /// Cancel safe: both happened, or neither.
    ///
    /// ```
    /// # async fn example(leased: atcomms_subscribe::Leased) -> Result<(), atcomms_subscribe::LeaseError> {
    /// leased
    ///     .ack_with(|transaction| {
    ///         transaction.execute("UPDATE my_counters SET messages = messages + 1", [])
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`LeaseError`] says why neither happened: the delivery is not ours any more, or the work failed.
    pub async fn ack_with<R: Send + 'static>(
        self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, LeaseError> {
        let acknowledged = self.store.ack_with(self.id, self.token, work).await;
        self.freed.notify_one();
        acknowledged
    }

    /// It is not done: it comes again after `delay`. Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] if it is not ours any more.
    pub async fn nak(self, delay: Duration) -> Result<(), LeaseError> {
        let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        let at = millis().saturating_add(delay);
        let put_off = self.store.put_off(self.id, self.token, at).await;
        self.freed.notify_one();
        put_off
    }

    /// It is being worked on: `ack_wait` begins anew. Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] if it is not ours any more.
    pub async fn progress(&self) -> Result<(), LeaseError> {
        let until = millis().saturating_add(self.terms.ack_wait);
        self.store.keep(self.id, self.token, until).await
    }

    /// It will never be done: it is laid among the dead, and does not come again unless somebody sends
    /// it again. Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] if it is not ours any more.
    pub async fn term(self, reason: impl Into<String>) -> Result<(), LeaseError> {
        let reason = reason.into();
        let terminated = self.store.terminate(self.id, self.token, reason).await;
        self.freed.notify_one();
        terminated
    }
}

impl Delivery {
    /// An event of a store's inbox, as it was delivered to it: for looking, without taking it out.
    ///
    /// # Errors
    /// Its record cannot be read, or is not there any more: [`Retention`](crate::Retention) has removed it.
    #[expect(clippy::result_large_err, reason = "a delivery is larger still")]
    pub fn from_received(received: Received) -> Result<Self, Undecodable> {
        let mut event = received.event;
        if received.removed_at.is_some() {
            event.undecodable = Some("its record was removed, as retention says".to_owned());
        }
        item(event)
    }
}

/// An event of the store, as it was delivered to it.
#[expect(clippy::result_large_err, reason = "a delivery is larger still")]
fn item(event: Event) -> Result<Delivery, Undecodable> {
    let uri = event.uri();
    let action = match event.change {
        Change::Create => Action::Create,
        Change::Update => Action::Update,
        _ => Action::Delete,
    };
    let unreadable = |reason: String, event: Event| Undecodable {
        uri: event.uri(),
        cid: event.cid,
        action,
        rev: event.rev,
        commit: event.commit,
        author: event.did,
        live: event.live,
        reason,
        bytes: event.record.unwrap_or_default().into(),
        source: event.source.into(),
        seq: event.seq,
    };
    if let Some(reason) = event.undecodable.clone() {
        return Err(unreadable(reason, event));
    }
    let record: Option<Map> = match event.record.as_deref().map(Value::from_cbor) {
        None => None,
        Some(Ok(Value::Map(map))) => Some(map),
        // It was a map when it was taken in.
        Some(other) => {
            let reason = other
                .err()
                .map_or_else(|| "it is no map".to_owned(), |error| error.to_string());
            return Err(unreadable(reason, event));
        }
    };
    Ok(Delivery {
        uri,
        cid: event.cid,
        rev: event.rev,
        commit: event.commit,
        author: event.did,
        collection: event.collection,
        rkey: event.rkey,
        action,
        trust: trust(event.trust.as_deref()),
        continuity: continuity(event.continuity.as_deref()),
        live: event.live,
        record,
        source: event.source.into(),
        seq: event.seq,
        bytes: event.record.map(Into::into),
    })
}

/// What is unknown is worth least.
fn trust(word: Option<&str>) -> Trust {
    let all = [Trust::Verified, Trust::Relayed];
    let found = all.into_iter().find(|trust| Some(trust.as_str()) == word);
    found.unwrap_or(Trust::Jetstream)
}

fn continuity(word: Option<&str>) -> Continuity {
    match word {
        Some(word) if word == Continuity::Proven.as_str() => Continuity::Proven,
        _ => Continuity::Linked,
    }
}
