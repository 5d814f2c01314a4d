//! Commits: writes that are checked, signed, put into the log, and only then answered.

use std::sync::atomic::Ordering;

use atcomms_lexicon::{Cid, Nsid, RecordKey, Tid};
use atcomms_repo::frame::Action;
use atcomms_repo::repository::Write as RepoWrite;
use serde_json::{Value, json};

use super::State;
use super::account::Content;
use super::record::{Record, path};
use crate::event::Event;
use crate::xrpc::XrpcError;

/// One write that was asked for.
pub(super) struct Write {
    action: Action,
    collection: Nsid,
    rkey: RecordKey,
    /// `None` for a delete.
    record: Option<Record>,
}

impl Write {
    pub(super) fn new(
        action: Action,
        collection: Nsid,
        rkey: RecordKey,
        record: Option<Record>,
    ) -> Self {
        Self {
            action,
            collection,
            rkey,
            record,
        }
    }
}

/// A commit that is in the repository and in the log.
pub(super) struct Committed {
    cid: Cid,
    rev: Tid,
}

impl Committed {
    pub(super) fn json(&self) -> Value {
        json!({ "cid": self.cid.to_string(), "rev": self.rev.to_string() })
    }
}

impl State {
    /// Makes one commit of all writes, or none. The caller holds the repository, so that its commits are in
    /// the log in their own order.
    pub(super) fn commit(
        &self,
        content: &mut Content,
        writes: Vec<Write>,
        swap: Option<Cid>,
    ) -> Result<Committed, XrpcError> {
        content.check_open()?;
        let head = content.repository.head().cid();
        if swap.is_some_and(|swap| swap != head) {
            return Err(XrpcError::named(
                "InvalidSwap",
                format!("Commit was at {head}"),
            ));
        }
        for record in writes.iter().filter_map(|write| write.record.as_ref()) {
            for blob in &record.blobs {
                content.blobs.check(blob)?;
            }
        }
        self.check_writable()?;
        let held: Vec<_> = writes
            .iter()
            .map(|write| {
                let blobs = write.record.as_ref().map(|record| record.blobs.clone());
                let path = path(&write.collection, &write.rkey);
                (path, blobs.unwrap_or_default())
            })
            .collect();
        let writes: Vec<RepoWrite> = writes.into_iter().map(repo_write).collect();
        let applied = content
            .repository
            .apply(&writes, self.next_tid())
            .map_err(XrpcError::internal)?;
        if let Err(error) = self.emit(&[Event::Commit(&applied)]) {
            // The repository is ahead of the log now: what comes after would not chain.
            self.unwritable.store(true, Ordering::Relaxed);
            return Err(error);
        }
        let rev = applied.commit.rev();
        content.blobs.hold(&held, rev);
        Ok(Committed {
            cid: applied.commit.cid(),
            rev,
        })
    }

    fn check_writable(&self) -> Result<(), XrpcError> {
        if self.unwritable.load(Ordering::Relaxed) {
            return Err(XrpcError::internal(
                "an earlier commit could not be written to the data folder; start the devnet again",
            ));
        }
        Ok(())
    }
}

fn repo_write(write: Write) -> RepoWrite {
    let Write {
        action,
        collection,
        rkey,
        record,
    } = write;
    match (action, record) {
        (Action::Create, Some(record)) => RepoWrite::Create {
            collection,
            rkey,
            record: record.cbor.into(),
        },
        (Action::Update, Some(record)) => RepoWrite::Update {
            collection,
            rkey,
            record: record.cbor.into(),
        },
        _ => RepoWrite::Delete { collection, rkey },
    }
}
