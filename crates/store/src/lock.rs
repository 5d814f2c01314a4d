//! What one process at a time may do: locks that the system lets go of when their process dies.

use std::fs::{File, TryLockError};

use atcomms_lexicon::{Did, cid_for_raw};

use crate::error::StoreError;
use crate::open::{beside, private};
use crate::store::Store;

/// The longest DID that is the name of a file, in bytes; of a longer one, its hash is. File systems take
/// names of 255 bytes, and a DID may have 2,048.
const LONGEST_NAME: usize = 128;

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Sending what the outbox of an account holds.
    Drain,
    /// Renewing an account's session.
    Refresh,
    /// Taking in what a durable consumer subscribes to.
    Feed,
}

/// A lock that is held. Dropping it lets go.
#[derive(Debug)]
#[must_use = "the lock is let go when it is dropped"]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough while a child process that was just forked still has it.
        drop(self.0.unlock());
    }
}

impl Store {
    /// Takes a lock of an account if nobody else has it, in this process or another.
    ///
    /// # Errors
    /// The lock's file cannot be made.
    pub fn try_lock(&self, did: &Did, purpose: Purpose) -> Result<Option<Lock>, StoreError> {
        self.try_lock_named(purpose, did.as_str())
    }

    pub(crate) fn try_lock_named(
        &self,
        purpose: Purpose,
        name: &str,
    ) -> Result<Option<Lock>, StoreError> {
        let file = self.lock_file(purpose, name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Waits for a lock of an account. Blocks the thread.
    ///
    /// # Errors
    /// The lock's file cannot be made.
    pub fn lock(&self, did: &Did, purpose: Purpose) -> Result<Lock, StoreError> {
        let file = self.lock_file(purpose, did.as_str())?;
        file.lock()?;
        Ok(Lock(file))
    }

    fn lock_file(&self, purpose: Purpose, name: &str) -> Result<File, StoreError> {
        let purpose = match purpose {
            Purpose::Drain => "drain",
            Purpose::Refresh => "refresh",
            Purpose::Feed => "feed",
        };
        // A DID has no slash; its colons and percent signs are fine in a file's name.
        let name = match name {
            short if short.len() <= LONGEST_NAME => short.to_owned(),
            long => cid_for_raw(long.as_bytes()).to_string(),
        };
        let path = beside(self.path(), &format!("lock-{purpose}-{name}"));
        Ok(private().create(true).truncate(false).open(path)?)
    }
}
