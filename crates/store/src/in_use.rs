//! Who has the store open, and who has it alone.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::error::OpenError;
use crate::open::private;

/// That the store is open: a lock that all who have it open share. Who opens it while nobody else has
/// it open holds it alone until it is ready, so that two that open a new store wait for each other.
pub(crate) struct InUse {
    file: File,
    alone: bool,
}

impl InUse {
    /// Waits for whoever is opening it alone.
    pub(crate) fn begin(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        let file = private()
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let alone = match file.try_lock() {
            Ok(()) => true,
            // Waits only for somebody who opens it alone, which takes a moment.
            Err(TryLockError::WouldBlock) => {
                file.lock_shared().map_err(failed)?;
                false
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        };
        Ok(Self { file, alone })
    }

    /// Whether nobody else has it open. If somebody has, the lock is lost.
    pub(crate) fn try_alone(&mut self) -> bool {
        // Unlocked first: two that share it would wait for each other.
        self.alone = self.alone || (self.file.unlock().is_ok() && self.file.try_lock().is_ok());
        self.alone
    }

    /// From here on, others may open it.
    pub(crate) fn share(&mut self) -> io::Result<()> {
        if self.alone {
            self.file.lock_shared()?;
            self.alone = false;
        }
        Ok(())
    }
}
