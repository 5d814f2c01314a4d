//! How a store fails, and what to do about it.

use std::path::PathBuf;

use atcomms_lexicon::Cid;
use rusqlite::ErrorCode;

/// Why a store did not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file system said no.
    #[error("{} cannot be used as a store ({source}): check the folder and its permissions, or name another file", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another kind of file is there.
    #[error("{} is not a store of atcomms: name another file, or move this one away", .path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// A newer program has written it.
    #[error(
        "{} is of version {found}, and this program knows up to {known}: use a newer atcomms, or another file", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest version that this program knows.
        known: i32,
    },
    /// It has to be brought up to date, and an older program has it open.
    #[error(
        "{} is of version {found} and has to be brought to {known}, but it is in use: stop the other programs that use it, then start again", .path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The version that this program writes.
        known: i32,
    },
    /// What is in it contradicts itself (promise P8).
    #[error("the store {} is damaged ({what}): {remedy}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// SQLite could not open it.
    #[error("{} cannot be opened: {source}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// Why an open store did not do what it was asked to. Nothing of that was kept; what was accepted
/// before still is.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room.
    #[error(
        "the store's disk is full: make room, then try again; nothing that was accepted is lost"
    )]
    Full,
    /// It may not be written.
    #[error("the store may not be written: check the permissions of the file and its folder")]
    ReadOnly,
    /// Another process writes for too long.
    #[error("the store is in use by another process that does not let go: try again")]
    Busy,
    /// The system failed to read or write it.
    #[error(
        "the store's disk failed ({0}): check the disk, and the limits that are set for it; nothing that was accepted is lost"
    )]
    Disk(String),
    /// SQLite found it damaged while it was used.
    #[error(
        "the store is damaged ({0}): stop using it, and restore it from a backup or start with a new one"
    )]
    Damaged(String),
    /// It was closed.
    #[error("the store is closed")]
    Closed,
    /// A file of the blob folder, or of a lock, could not be read or written.
    #[error("a file beside the store failed ({0}): check the disk")]
    Blob(std::sync::Arc<std::io::Error>),
    /// An attachment has no file in the blob folder, or one of another size.
    #[error("the attachment {cid} is not in the store's blob folder: attach it again")]
    NoBlob {
        /// The hash of its bytes.
        cid: Cid,
    },
    /// Anything else.
    #[error("the store failed: {0}")]
    Sqlite(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            Some(ErrorCode::SystemIoFailure) => Self::Disk(error.to_string()),
            _ if is_conversion(&error) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error.to_string()),
        }
    }
}

/// What is in a column cannot have been put there by us.
fn is_conversion(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
    )
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                Self::ReadOnly
            }
            _ => Self::Blob(std::sync::Arc::new(error)),
        }
    }
}
