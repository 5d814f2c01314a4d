//! What can go wrong outside a request.

use std::io;
use std::path::PathBuf;

use atcomms_lexicon::Did;

/// Why a devnet or a replay did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another program has the port.
    #[error("port {port} on 127.0.0.1 is in use; choose another one, or none to get a free one")]
    PortInUse {
        /// The port that was asked for.
        port: u16,
    },
    /// The port cannot be bound for another reason.
    #[error("port {port} on 127.0.0.1 cannot be bound: {source}")]
    Bind {
        /// The port that was asked for; 0 is any.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The data folder cannot be read or written.
    #[error("{} cannot be read or written: {source}; check the folder and its permissions", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in the data folder is not what a devnet wrote.
    #[error("{} is damaged: {reason}; move the data folder away to start with an empty one", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another devnet has the data folder.
    #[error("{} is in use by another devnet; stop it, or choose another folder", path.display())]
    FolderInUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The data folder is of a devnet with more PDSs.
    #[error("{} holds {found} PDSs, but {asked} were asked for; ask for at least {found}", path.display())]
    PdsCount {
        /// The data folder.
        path: PathBuf,
        /// PDSs in it.
        found: usize,
        /// PDSs asked for.
        asked: usize,
    },
    /// A host for the relay is not one.
    #[error("{url:?} is not a host for the relay: {reason}; write it as ws://HOST:PORT")]
    RelayHost {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There can be no devnet without a PDS.
    #[error("a devnet needs at least one PDS")]
    NoPds,
    /// An account that was asked for could not be created.
    #[error(transparent)]
    Account(#[from] CreateAccountError),
    /// A recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

/// Why an account was not created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateAccountError {
    /// The name is taken, too short, or not a handle.
    #[error("the account {name:?} was not created: {reason}")]
    Refused {
        /// The name that was asked for.
        name: String,
        /// What the PDS says of it.
        reason: String,
    },
}

/// Why nothing was changed of an account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The account is not on this PDS.
    #[error("{did} has no account at {pds}, or has left it; ask the PDS that has it")]
    NotFound {
        /// The account that was asked for.
        did: Did,
        /// The PDS.
        pds: String,
    },
    /// The PDS refuses.
    #[error("{did} was not changed: {reason}")]
    Refused {
        /// The account.
        did: Did,
        /// What the PDS says of it.
        reason: String,
    },
}

/// Why a recorded firehose was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A file of the recording is missing or cannot be read.
    #[error("{} cannot be read: {source}; a recording is a folder with frames.bin or frames.bin.zst, and dids.json", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the recording is not what it should be.
    #[error("{} is not part of a recorded firehose: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
