//! The way out for everything that one account writes.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use atcomms_lexicon::{BlobRef, Record, Tid};
use atcomms_repo::TidClock;

use crate::attachment::Attachment;
use crate::publish::{Publish, Put};
use crate::session::Session;
use crate::upload::{UploadError, upload};

/// Writes records into one account's repository. Cheap to clone; clones share the session and the
/// clock that names records.
///
/// **Everything that is published is public**, attachments included, also after it was deleted.
#[derive(Clone, Debug)]
pub struct Publisher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    session: Session,
    clock: Mutex<TidClock>,
}

impl Publisher {
    /// A publisher for an account that is logged in.
    pub fn new(session: Session) -> Self {
        // Two processes of one account name records at the same microsecond only with the same
        // clock id, of which there are 1024.
        let random = RandomState::new().build_hasher().finish();
        let clock_id = u16::try_from(random % 1024).unwrap_or(0);
        Self(Arc::new(Inner {
            session,
            clock: Mutex::new(TidClock::new(clock_id)),
        }))
    }

    /// The session that it writes with.
    pub fn session(&self) -> &Session {
        &self.0.session
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

    /// Writes a record over what its key holds, or as a new one if it holds nothing.
    pub fn put<R: Record>(&self, record: R) -> Put<R> {
        Put::new(self.clone(), record)
    }

    /// Uploads bytes as a blob, for a record that refers to it in its own way. The PDS throws away
    /// blobs that no record refers to, after an hour or so.
    ///
    /// Not cancel safe: a reader has been read in part.
    ///
    /// # Errors
    /// [`UploadError`] says why not, and what to do.
    pub async fn upload_blob(&self, mut attachment: Attachment) -> Result<BlobRef, UploadError> {
        upload(self.session(), &mut attachment).await
    }

    /// A new TID, greater than all that this publisher has given or used.
    pub fn next_tid(&self) -> Tid {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| {
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        });
        self.0
            .clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(now)
    }
}
