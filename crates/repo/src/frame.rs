//! Frames of `com.atproto.sync.subscribeRepos`: a header and a body, two CBOR maps one after the other.
//!
//! [`peek`] finds in place, without allocating, what decides whether a frame is of interest;
//! [`decode`] reads it whole, borrowing from its bytes; [`Frame::encode`] writes it, field for field as the
//! reference PDS does. Nothing is verified here: what a frame says is its sender's word.
//! Unknown types and fields are ignored. (`tooBig`, `rebase` and `blobs` say nothing any more.)

mod decode;
mod encode;
mod peek;

use cid::Cid;
use thiserror::Error;

pub use decode::decode;
pub use peek::{OpPaths, Peek, peek};

use crate::cbor::CborError;

/// The largest frame that is read, in bytes: what Sync 1.1 allows.
pub const MAX_FRAME_LEN: usize = 5_000_000;

/// The most operations of a commit that are read: what Sync 1.1 allows.
pub const MAX_OPS: usize = 200;

/// A frame cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is larger than [`MAX_FRAME_LEN`].
    #[error("the frame has {len} bytes; no more than {MAX_FRAME_LEN} are read")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
    },
    /// The frame's bytes are not what a frame is made of.
    #[error("the frame cannot be read: {0}")]
    Malformed(#[from] CborError),
    /// A field that every frame of its kind has is not there.
    #[error("the {kind} frame has no `{field}`")]
    Missing {
        /// The frame's type.
        kind: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The commit has more operations than [`MAX_OPS`].
    #[error("the commit has {count} operations; no more than {MAX_OPS} are read")]
    TooManyOps {
        /// Their number, as claimed.
        count: usize,
    },
    /// An operation says neither create nor update nor delete.
    #[error("an operation's action is none of create, update, delete")]
    Action,
}

impl FrameError {
    /// A stable name for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "frame_too_large",
            Self::TooManyOps { .. } => "too_many_ops",
            _ => "frame_malformed",
        }
    }
}

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `#commit`: records were written.
    Commit,
    /// `#sync`: the repository's state, after which earlier commits say nothing.
    Sync,
    /// `#identity`: the account's DID document or handle may have changed.
    Identity,
    /// `#account`: the account's status at the sender has changed.
    Account,
    /// `#info`: a notice about the stream.
    Info,
    /// An error, after which the stream ends.
    Error,
    /// A type that is not known here, to be ignored.
    Unknown,
}

/// A frame, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every frame is a commit: boxing it would cost each an allocation"
)]
pub enum Frame<'a> {
    /// `#commit`.
    Commit(CommitFrame<'a>),
    /// `#sync`.
    Sync(SyncFrame<'a>),
    /// `#identity`.
    Identity(IdentityFrame<'a>),
    /// `#account`.
    Account(AccountFrame<'a>),
    /// `#info`.
    Info(InfoFrame<'a>),
    /// An error.
    Error(ErrorFrame<'a>),
    /// Any other type.
    Unknown(UnknownFrame<'a>),
}

impl Frame<'_> {
    /// What the frame is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Commit(_) => Kind::Commit,
            Self::Sync(_) => Kind::Sync,
            Self::Identity(_) => Kind::Identity,
            Self::Account(_) => Kind::Account,
            Self::Info(_) => Kind::Info,
            Self::Error(_) => Kind::Error,
            Self::Unknown(_) => Kind::Unknown,
        }
    }

    /// Its place in the stream, which `#info` and errors do not have.
    #[must_use]
    pub fn seq(&self) -> Option<i64> {
        match self {
            Self::Commit(frame) => Some(frame.seq),
            Self::Sync(frame) => Some(frame.seq),
            Self::Identity(frame) => Some(frame.seq),
            Self::Account(frame) => Some(frame.seq),
            Self::Unknown(frame) => frame.seq,
            Self::Info(_) | Self::Error(_) => None,
        }
    }
}

/// A commit, as its sender tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFrame<'a> {
    /// Its place in the stream.
    pub seq: i64,
    /// The DID of the repository.
    pub repo: &'a str,
    /// The commit's rev, a TID.
    pub rev: &'a str,
    /// The rev of the commit before; none for the first one.
    pub since: Option<&'a str>,
    /// The CID of the commit block.
    pub commit: Cid,
    /// The root of the tree before; absent for the first commit.
    pub prev_data: Option<Cid>,
    /// A CAR with the commit, the records and the nodes of the tree that the operations touch.
    pub blocks: &'a [u8],
    /// What was written.
    pub ops: Vec<RepoOp<'a>>,
    /// When the sender got it.
    pub time: &'a str,
}

/// One operation of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepoOp<'a> {
    /// What was done.
    pub action: Action,
    /// To which record: collection, slash, record key.
    pub path: &'a str,
    /// The record's CID; none for a delete.
    pub cid: Option<Cid>,
    /// The record's CID before; none for a create.
    pub prev: Option<Cid>,
}

/// What an operation does to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The record was not there.
    Create,
    /// Another record was there.
    Update,
    /// The record is not there any more.
    Delete,
}

impl Action {
    /// Its name in frames: create, update or delete.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncFrame<'a> {
    /// Its place in the stream.
    pub seq: i64,
    /// The repository.
    pub did: &'a str,
    /// The rev of its latest commit.
    pub rev: &'a str,
    /// A CAR with that commit.
    pub blocks: &'a [u8],
    /// When the sender got it.
    pub time: &'a str,
}

/// A DID document or a handle may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFrame<'a> {
    /// Its place in the stream.
    pub seq: i64,
    /// The account.
    pub did: &'a str,
    /// Its handle, as the sender knows it.
    pub handle: Option<&'a str>,
    /// When the sender got it.
    pub time: &'a str,
}

/// The status of an account at the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFrame<'a> {
    /// Its place in the stream.
    pub seq: i64,
    /// The account.
    pub did: &'a str,
    /// Whether the sender serves its repository.
    pub active: bool,
    /// Why it does not: deactivated, takendown, suspended, deleted, and more to come.
    pub status: Option<&'a str>,
    /// When the sender got it.
    pub time: &'a str,
}

/// A notice about the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoFrame<'a> {
    /// Its name, such as `OutdatedCursor`.
    pub name: &'a str,
    /// For people.
    pub message: Option<&'a str>,
}

/// An error, after which the stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorFrame<'a> {
    /// Its name, such as `FutureCursor`.
    pub error: &'a str,
    /// For people.
    pub message: Option<&'a str>,
}

/// A frame of a type that is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFrame<'a> {
    /// Its type.
    pub kind: &'a str,
    /// Its place in the stream, if it has one.
    pub seq: Option<i64>,
    /// Its body as CBOR.
    pub body: &'a [u8],
}
