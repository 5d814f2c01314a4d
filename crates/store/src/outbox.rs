//! What was accepted for writing, and what became of it.
//!
//! An entry is *pending* from its acceptance until it is *written*, has *failed* for good, or was
//! *folded* into a later write of the same key. Only the process that holds the
//! [`Drain`](crate::Purpose::Drain) lock sends; everybody may accept, and look.

mod accept;
mod edit;
mod read;
mod send;
mod settle;

use atcomms_lexicon::{AtUri, Cid, Did, Nsid, RecordKey, Tid};

pub use self::accept::{AcceptError, Accepted, Draft, Key};
pub use self::edit::Forgotten;
pub use self::read::Waiting;
pub(crate) use self::send::{next, next_due};
pub use self::settle::{Failed, Outcome};

/// The highest priority; the lowest is 0.
pub const MAX_PRIORITY: u8 = 5;

/// What a step of priority is worth, in milliseconds of waiting: an hour. Rate limits come by the hour,
/// so what is urgent must overtake a backlog of hours; and what is not is overtaken only by what came
/// up to five hours later, so that it is not starved.
pub const PRIORITY_STEP: i64 = 3600 * 1000;

/// What is done to the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The record is written if its key holds nothing.
    Create,
    /// The record is written over what its key holds, or only over [`Entry::swap`].
    Put,
    /// What the key holds is deleted.
    Delete,
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It waits to be written.
    Pending,
    /// It is in the repository.
    Written,
    /// It is not, and will not be unless it is sent again by hand.
    Failed,
    /// A later write of the same key took its place before it was sent.
    Folded,
}

/// An attachment that an entry needs uploaded before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The hash of its bytes, which is its name in the blob folder.
    pub cid: Cid,
    /// Its size in bytes.
    pub size: u64,
    /// The MIME type that is sent with it.
    pub mime_type: String,
}

/// An entry of the outbox.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// Its number, in the order of acceptance.
    pub id: i64,
    /// The account that writes it.
    pub did: Did,
    /// The record's collection.
    pub collection: Nsid,
    /// The record's key.
    pub rkey: RecordKey,
    /// What is done.
    pub action: Action,
    /// What has to be there for a put or a delete to happen; `None` is whatever.
    pub swap: Option<Cid>,
    /// The record as DAG-CBOR; `None` for a delete, and where it was forgotten.
    pub record: Option<Vec<u8>>,
    /// The record's CID, once it is fixed.
    pub cid: Option<Cid>,
    /// What is to be uploaded for it.
    pub blobs: Vec<Blob>,
    /// The caller's own key.
    pub once: Option<String>,
    /// From 0 to [`MAX_PRIORITY`].
    pub priority: u8,
    /// How far it has come.
    pub state: State,
    /// How often it was sent.
    pub attempts: u32,
    /// Since when it is not known what became of the last attempt (milliseconds since 1970).
    pub doubt_since: Option<i64>,
    /// It is not sent before this (milliseconds since 1970).
    pub not_before: i64,
    /// A failed entry: a name for why.
    pub failure: Option<String>,
    /// Why it failed, or why the last attempt did.
    pub reason: Option<String>,
    /// A failed entry: what is there instead.
    pub found: Option<Cid>,
    /// A folded entry: what took its place.
    pub folded_into: Option<i64>,
    /// When it was accepted (milliseconds since 1970).
    pub accepted_at: i64,
    /// When it was written, failed or folded (milliseconds since 1970).
    pub settled_at: Option<i64>,
    /// A written entry: the rev of its commit, where the PDS told.
    pub rev: Option<Tid>,
    /// A written entry: its commit, where the PDS told.
    pub commit: Option<Cid>,
}

impl Entry {
    /// Where it goes.
    pub fn uri(&self) -> AtUri {
        AtUri::record(&self.did, &self.collection, &self.rkey)
    }
}

impl Action {
    /// As it stands in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

impl State {
    /// As it stands in the table, and in the command line's output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Written => "written",
            Self::Failed => "failed",
            Self::Folded => "folded",
        }
    }
}
