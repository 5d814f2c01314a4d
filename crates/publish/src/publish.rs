//! Records about to be written: what the caller says of them, until they are accepted.

use atcomms_lexicon::{AtUri, Cid, Record, RecordKey};
use atcomms_store::Action;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::accepted::Accepted;
use crate::attach::Attach;
use crate::attachment::Attachment;
use crate::draft::{self, Draft};
use crate::publish_error::PublishError;
use crate::publisher::Publisher;
use crate::receipt::{Deleted, Receipt};

/// A record about to be published as a new one: `.await` it, and it is in the repository; or
/// [`enqueue`](Self::enqueue) it, and it will be.
///
/// Cancel safe in this sense: if it is dropped halfway, it was accepted or it was not, and what was
/// accepted is written. With a key of your own ([`once`](Self::once), [`key`](Self::key)) you can
/// publish it again, and it is written once.
#[must_use = "nothing is accepted until it is awaited"]
#[derive(Debug)]
pub struct Publish<R>(Draft<R>);

/// A record about to be written over what its key holds: `.await` it, or [`enqueue`](Self::enqueue) it.
///
/// Cancel safe as [`Publish`] is.
#[must_use = "nothing is accepted until it is awaited"]
#[derive(Debug)]
pub struct Put<R>(Draft<R>);

/// A record about to be deleted: `.await` it, or [`enqueue`](Self::enqueue) it.
///
/// Cancel safe as [`Publish`] is.
#[must_use = "nothing is accepted until it is awaited"]
#[derive(Debug)]
pub struct Delete {
    publisher: Publisher,
    uri: AtUri,
    swap: Option<Cid>,
}

impl<R: Record> Publish<R> {
    pub(crate) fn new(publisher: Publisher, record: R) -> Self {
        Self(Draft::new(publisher, record, Action::Create))
    }

    /// The record's key, instead of a new one or the derived one. The same record published again
    /// with the same key is there once; another record fails as [`PublishError::KeyTaken`].
    pub fn key(mut self, key: RecordKey) -> Self {
        self.0.key = Some(key);
        self
    }

    /// A key of the caller's, kept in the store: what is published with it again, also by another
    /// process after a crash, is not written a second time, and has the first one's outcome. The record
    /// need not be the same to the letter (its time of creation is not), but must be of the same
    /// collection.
    pub fn once(mut self, once: impl Into<String>) -> Self {
        self.0.once = Some(once.into());
        self
    }

    /// Its priority in the outbox, from 0 to [`MAX_PRIORITY`](crate::MAX_PRIORITY), instead of the one
    /// that the record itself names.
    pub fn priority(mut self, priority: u8) -> Self {
        self.0.priority = Some(priority);
        self
    }

    /// Accepts the record: when this returns, it survives a power loss, and will be written.
    ///
    /// Cancel safe: see [`Publish`].
    ///
    /// # Errors
    /// [`PublishError`] if it was not accepted.
    pub async fn enqueue(self) -> Result<Accepted, PublishError> {
        self.0.accept().await
    }
}

impl<R: Attach> Publish<R> {
    /// Attaches bytes. They are copied into the store when the record is accepted, and uploaded right
    /// before it is written.
    pub fn attach(mut self, attachment: Attachment) -> Self {
        self.0.attach(attachment);
        self
    }
}

impl<R: Record> Put<R> {
    pub(crate) fn new(publisher: Publisher, record: R) -> Self {
        Self(Draft::new(publisher, record, Action::Put))
    }

    /// The key of the record to be written. Needed where the key is not derived or fixed.
    pub fn key(mut self, key: RecordKey) -> Self {
        self.0.key = Some(key);
        self
    }

    /// Writes only if the record that is there now is this one, and fails as
    /// [`PublishError::SwapFailed`] otherwise. Such an update is never folded into a later one.
    pub fn swap(mut self, expected: Cid) -> Self {
        self.0.swap = Some(expected);
        self
    }

    /// Its priority in the outbox, from 0 to [`MAX_PRIORITY`](crate::MAX_PRIORITY), instead of the one
    /// that the record itself names.
    pub fn priority(mut self, priority: u8) -> Self {
        self.0.priority = Some(priority);
        self
    }

    /// Accepts the record: when this returns, it survives a power loss, and will be written, or a later
    /// update of the same key in its place.
    ///
    /// Cancel safe: see [`Publish`].
    ///
    /// # Errors
    /// [`PublishError`] if it was not accepted.
    pub async fn enqueue(self) -> Result<Accepted, PublishError> {
        self.0.accept().await
    }
}

impl<R: Attach> Put<R> {
    /// Attaches bytes. They are copied into the store when the record is accepted, and uploaded right
    /// before it is written.
    pub fn attach(mut self, attachment: Attachment) -> Self {
        self.0.attach(attachment);
        self
    }
}

impl Delete {
    pub(crate) fn new(publisher: Publisher, uri: AtUri) -> Self {
        Self {
            publisher,
            uri,
            swap: None,
        }
    }

    /// Deletes only if the record that is there now is this one, and fails as
    /// [`PublishError::SwapFailed`] otherwise.
    pub fn swap(mut self, expected: Cid) -> Self {
        self.swap = Some(expected);
        self
    }

    /// Accepts the delete: when this returns, it survives a power loss, and will be done, after
    /// everything that was accepted for the same key before.
    ///
    /// Cancel safe: see [`Publish`].
    ///
    /// # Errors
    /// [`PublishError`] if it was not accepted.
    pub async fn enqueue(self) -> Result<Accepted<Deleted>, PublishError> {
        draft::accept_delete(&self.publisher, &self.uri, self.swap).await
    }
}

impl<R: Record> IntoFuture for Publish<R> {
    type Output = Result<Receipt, PublishError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let publisher = self.0.publisher.clone();
        draft::awaited(publisher, async move { self.enqueue().await }).boxed()
    }
}

impl<R: Record> IntoFuture for Put<R> {
    type Output = Result<Receipt, PublishError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let publisher = self.0.publisher.clone();
        draft::awaited(publisher, async move { self.enqueue().await }).boxed()
    }
}

impl IntoFuture for Delete {
    type Output = Result<Deleted, PublishError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let publisher = self.publisher.clone();
        draft::awaited(publisher, async move { self.enqueue().await }).boxed()
    }
}
