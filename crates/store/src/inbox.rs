//! Events that were taken in and are not acknowledged yet.
//!
//! An event waits; it is handed out under a lease, to one process at a time; it is acknowledged and gone,
//! or comes back when its lease ends; and after too many times it is dead, and stays until somebody
//! looks.

mod heard;
mod lease;
mod only;
mod read;
mod retain;
mod take_in;

use atcomms_lexicon::{AtUri, Cid, Did, Nsid, RecordKey, Tid};

pub use self::lease::{LeaseError, LeaseToken, Pending, Terms};
pub use self::only::Only;
pub use self::retain::{Retained, Retention};
pub use self::take_in::{AccountChange, Commit, Intake};

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Change {
    /// It is new.
    Create,
    /// It has new content.
    Update,
    /// It is gone.
    Delete,
}

/// An event of the inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The repository.
    pub did: Did,
    /// The record's collection.
    pub collection: Nsid,
    /// The record's key.
    pub rkey: RecordKey,
    /// What happened.
    pub change: Change,
    /// The rev of the commit.
    pub rev: Tid,
    /// The record's CID; `None` for a delete.
    pub cid: Option<Cid>,
    /// The commit; `None` if the source names none.
    pub commit: Option<Cid>,
    /// The record as DAG-CBOR; `None` for a delete.
    pub record: Option<Vec<u8>>,
    /// Why it can be believed, in a word; `None` if the record cannot be read.
    pub trust: Option<String>,
    /// Whether earlier commits were seen too, in a word.
    pub continuity: Option<String>,
    /// Why the record cannot be read.
    pub undecodable: Option<String>,
    /// Whether it came as an event of the stream.
    pub live: bool,
    /// The host that it came from.
    pub source: String,
    /// Its sequence number there.
    pub seq: i64,
}

/// An event in its place in the inbox.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// Its number, in the order in which events are delivered first.
    pub id: i64,
    /// The event.
    pub event: Event,
    /// When it was taken in (milliseconds since 1970).
    pub received_at: i64,
    /// How often it was handed out.
    pub attempts: u32,
    /// Whether it is dead.
    pub dead: bool,
    /// Why it is.
    pub reason: Option<String>,
    /// When its record was removed by [`Store::retain`](crate::Store::retain) (milliseconds since 1970).
    pub removed_at: Option<i64>,
}

impl Event {
    /// What it is about.
    pub fn uri(&self) -> AtUri {
        AtUri::record(&self.did, &self.collection, &self.rkey)
    }
}

impl Change {
    /// As it stands in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}
