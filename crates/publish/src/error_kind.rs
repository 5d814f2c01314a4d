//! What kind of failure an error is: the part of it that a program branches on.

use crate::error::XrpcError;

/// What kind of failure an error is. Agents branch on it, and the command line turns it into an
/// exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was given cannot be right: a limit, a syntax, a missing file. Nothing was written.
    Invalid,
    /// The key holds another record already. Nothing was written.
    KeyTaken,
    /// The PDS understood and refused.
    Refused,
    /// Time ran out. The same may succeed later.
    TimedOut,
    /// The network or the PDS is out of order. The same may succeed later.
    Unavailable,
    /// Something is wrong that waiting does not mend: a server that alters what it stores, a disk.
    Failed,
}

impl XrpcError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadUrl { .. } => ErrorKind::Invalid,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::Refused { .. } | Self::RateLimited { .. } | Self::SessionEnded { .. } => {
                ErrorKind::Refused
            }
            Self::Unreachable { .. }
            | Self::AnswerLost { .. }
            | Self::Unavailable { .. }
            | Self::NotXrpc { .. }
            | Self::TooLong { .. } => ErrorKind::Unavailable,
            Self::NotRenewed { source } => source.kind(),
            Self::Redirected { .. } => ErrorKind::Failed,
        }
    }
}
