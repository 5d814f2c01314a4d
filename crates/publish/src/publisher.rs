//! The way out for everything that one account writes.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use atcomms_lexicon::{AtUri, BlobRef, Record};
use atcomms_store::{Draft, Key, OpenError, Pool, Server, Store, StoreError};

use crate::accepted::Accepted;
use crate::attachment::Attachment;
use crate::budget::Budget;
use crate::clock::now;
use crate::drain::{Drain, Handle};
use crate::own::Own;
use crate::publish::{Delete, Publish, Put};
use crate::publish_error::PublishError;
use crate::session::Session;
use crate::upload::{UploadError, upload};
use crate::waiters::Waiters;

/// Writes records into one account's repository, through the outbox of a store. Cheap to clone; clones
/// share all.
///
/// What was accepted is written exactly once (promise P1), by this publisher or by the next one of the
/// same store: several may run at once, in one process or in many, and one of them sends. As long as
/// one lives, it sends whatever waits, also what others have left behind.
///
/// **Everything that is published is public**, attachments included, also after it was deleted.
#[derive(Clone, Debug)]
pub struct Publisher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    session: Session,
    store: Store,
    clock_id: u16,
    waiters: Arc<Waiters>,
    own: Own,
    drain: Handle,
}

impl Publisher {
    /// A publisher for an account that is logged in, with the outbox of this store. Must be called
    /// within a Tokio runtime: it starts to send what waits there.
    pub fn new(session: Session, store: Store) -> Self {
        // Two processes of one account name records at the same microsecond only with the same
        // clock id, of which there are 1024.
        let random = RandomState::new().build_hasher().finish();
        let clock_id = u16::try_from(random % 1024).unwrap_or(0);
        let (waiters, own) = (Arc::new(Waiters::default()), Own::new());
        let drain = Drain::start(session.clone(), store.clone(), waiters.clone(), own.clone());
        Self(Arc::new(Inner {
            session,
            store,
            clock_id,
            waiters,
            own,
            drain,
        }))
    }

    /// A publisher that survives nothing: what is accepted and not written is gone with the process.
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] if the system's folder for temporary files cannot be used.
    pub fn temporary(session: Session) -> Result<Self, OpenError> {
        Ok(Self::new(session, Store::temporary()?))
    }

    /// The session that it writes with.
    pub fn session(&self) -> &Session {
        &self.0.session
    }

    /// The store that it accepts into.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Publishes a new record: awaiting it gives a [`Receipt`](crate::Receipt) once the PDS has
    /// committed it.
    ///
    /// Its key is the one that follows from the record, if one does, and else a new TID, greater
    /// than all before. A key that holds another record is [`KeyTaken`](crate::PublishError::KeyTaken);
    /// one that holds the same is success.
    pub fn publish<R: Record>(&self, record: R) -> Publish<R> {
        Publish::new(self.clone(), record)
    }

    /// Writes a record over what its key holds, or as a new one if it holds nothing. Of several updates
    /// of one key that wait, only the newest is written.
    pub fn put<R: Record>(&self, record: R) -> Put<R> {
        Put::new(self.clone(), record)
    }

    /// Deletes a record of this account, after everything that was accepted for its key before. A record
    /// that is not there (any more) is deleted.
    pub fn delete(&self, uri: &AtUri) -> Delete {
        Delete::new(self.clone(), uri.clone())
    }

    /// Uploads bytes as a blob, for a record that refers to it in its own way. The PDS throws away
    /// blobs that no record refers to, after an hour or so; an attachment of a record is
    /// [attached](crate::Publish::attach) instead, and survives in the store.
    ///
    /// Not cancel safe: a reader has been read in part.
    ///
    /// # Errors
    /// [`UploadError`] says why not, and what to do.
    pub async fn upload_blob(&self, mut attachment: Attachment) -> Result<BlobRef, UploadError> {
        let uploaded = upload(self.session(), &mut attachment).await;
        if let Err(UploadError::TooLarge { limit, .. }) = &uploaded {
            self.learn_blob_limit(*limit).await;
        }
        let (blob, limit) = uploaded?;
        let counted = async {
            let did = self.session().did();
            self.store().spend(did, Pool::Blobs, 1, now()).await?;
            match limit.and_then(|limit| limit.told(now())) {
                Some(told) => self.store().tell(did, Pool::Blobs, told, now()).await,
                None => Ok(()),
            }
        };
        if let Err(error) = counted.await {
            tracing::warn!(%error, "an upload was not counted");
        }
        Ok(blob)
    }

    /// What the account may still write, and what waits. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn budget(&self) -> Result<Budget, StoreError> {
        Budget::read(self.store(), self.session().did(), self.session().pds()).await
    }

    /// What this publisher writes, as it is written: for subscribers in the same process, which need not
    /// wait for the stream.
    pub fn own(&self) -> &Own {
        &self.0.own
    }

    /// Waits until nothing waits in the outbox that can be sent: all is written or has failed, or the
    /// PDS is out of reach, the budget is used up, or somebody has to do something. Cancel safe.
    pub async fn flush(&self) {
        self.0.drain.flush().await;
    }

    /// Takes the attempt that is under way to its end and stops sending. What waits stays in the store,
    /// and is sent by the next publisher. Cancel safe: it goes on if it is dropped.
    pub async fn shutdown(&self) {
        self.0.drain.shutdown().await;
    }

    /// The largest blob that the PDS is known to accept, in bytes, if it has refused one.
    pub(crate) async fn blob_limit(&self) -> Result<Option<u64>, StoreError> {
        let pds = self.session().pds().as_str();
        let known = self.store().server(pds).await?.blob_limit;
        Ok([known, self.session().blob_limit()]
            .into_iter()
            .flatten()
            .min())
    }

    async fn learn_blob_limit(&self, limit: u64) {
        let learnt = Server::with_blob_limit(limit);
        let noted = self
            .store()
            .note_server(self.session().pds().as_str(), learnt)
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "the PDS's limit was not noted");
        }
    }

    /// A key that the store gives.
    pub(crate) fn next_key(&self) -> Key {
        Key::NextTid {
            clock_id: self.0.clock_id,
        }
    }

    /// Into the outbox, and a word to the one who sends.
    pub(crate) async fn accept<T>(&self, draft: Draft) -> Result<Accepted<T>, PublishError> {
        let accepted = self.store().accept(draft, now()).await?;
        let waiters = &self.0.waiters;
        let progress = waiters.wait(&accepted.entry);
        for older in accepted.folded {
            waiters.follow(older, accepted.entry.id);
        }
        self.0.drain.wake();
        Ok(Accepted::new(&accepted.entry, progress))
    }
}
