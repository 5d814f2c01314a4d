//! What one process at a time may do: locks that the system lets go of when their process dies.

use std::fs::{File, TryLockError};

use atcomms_lexicon::Did;

use crate::error::StoreError;
use crate::open::{beside, private};
use crate::store::Store;

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
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] File);

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
        let path = beside(self.path(), &format!("lock-{purpose}-{name}"));
        Ok(private().create(true).truncate(false).open(path)?)
    }
}
