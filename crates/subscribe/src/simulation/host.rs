//! Who streams: a PDS or a relay, with a log of its own, and what a frame of it is on the wire.

use std::sync::Arc;

use atcomms_lexicon::{Did, Tid};
use atcomms_repo::Repository;
use atcomms_repo::car;
use atcomms_repo::frame::{AccountFrame, CommitFrame, Frame, IdentityFrame, InfoFrame, SyncFrame};
use atcomms_repo::repository::{Applied, AppliedOp};
use bytes::Bytes;

use super::author::Status;
use super::dice::Dice;

/// No check depends on what a host says of the time.
const TIME: &str = "2026-01-01T00:00:00.000Z";
/// Sequence numbers that a host leaves out, at most: so many that the rewind of a reconnect covers few events.
const GAP: u64 = 30;

/// What a host has to tell.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Whose it is; of a forged one, whose it pretends to be.
    pub(super) author: usize,
    pub(super) did: Did,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Commit {
        applied: Box<Applied>,
        genuine: bool,
    },
    Sync {
        rev: Tid,
        blocks: Vec<u8>,
    },
    Identity,
    Account(Status),
}

impl What {
    pub(super) fn sync(repository: &Repository) -> Self {
        let head = repository.head();
        Self::Sync {
            rev: head.rev(),
            blocks: car::write(&head.cid(), [head.block()]),
        }
    }
}

impl Item {
    /// The rev of a commit that its author made.
    pub(super) fn genuine(&self) -> Option<Tid> {
        match &self.what {
            What::Commit {
                applied,
                genuine: true,
            } => Some(applied.commit.rev()),
            _ => None,
        }
    }

    /// What it is, in a few words.
    pub(super) fn told(&self) -> String {
        match &self.what {
            What::Commit { applied, genuine } => {
                let forged = if *genuine { "" } else { " (forged)" };
                format!("commit {}{forged}", applied.commit.rev())
            }
            What::Sync { rev, .. } => format!("sync {rev}"),
            What::Identity => "identity".to_owned(),
            What::Account(status) => format!("account {status:?}"),
        }
    }

    pub(super) fn frame(&self, seq: i64) -> Bytes {
        let did = self.did.as_str();
        let time = TIME;
        let bytes = match &self.what {
            What::Commit { applied, .. } => {
                let rev = applied.commit.rev().to_string();
                let since = applied.since.map(|rev| rev.to_string());
                Frame::Commit(CommitFrame {
                    seq,
                    repo: did,
                    rev: &rev,
                    since: since.as_deref(),
                    commit: applied.commit.cid(),
                    prev_data: applied.prev_data,
                    blocks: &applied.car(),
                    ops: applied.ops.iter().map(AppliedOp::borrow).collect(),
                    time,
                })
                .encode()
            }
            What::Sync { rev, blocks } => Frame::Sync(SyncFrame {
                seq,
                did,
                rev: &rev.to_string(),
                blocks,
                time,
            })
            .encode(),
            What::Identity => Frame::Identity(IdentityFrame {
                seq,
                did,
                time,
                handle: None,
            })
            .encode(),
            What::Account(status) => Frame::Account(AccountFrame {
                seq,
                did,
                active: *status == Status::Active,
                status: match status {
                    Status::Active => None,
                    Status::Deactivated => Some("deactivated"),
                    Status::TakenDown => Some("takendown"),
                    Status::Deleted => Some("deleted"),
                },
                time,
            })
            .encode(),
        };
        bytes.into()
    }
}

/// One event of a log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) seq: i64,
    pub(super) item: Arc<Item>,
    /// Only its beginning comes over the wire.
    pub(super) cut: bool,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: Arc<str>,
    pub(super) log: Vec<Entry>,
    /// The first event that is still there.
    pub(super) first: usize,
    last_seq: i64,
    /// What lets something of another repository go first.
    pub(super) kept: Option<Arc<Item>>,
    pub(super) stalled_until: u64,
    /// Until when no question is answered.
    pub(super) down_until: u64,
    /// When the last event of each PDS arrives.
    pub(super) arrival: [u64; 2],
    /// How long an event is on its way here.
    pub(super) lag: u64,
}

impl Host {
    pub(super) fn new(name: String, lag: u64, dice: &mut Dice) -> Self {
        Self {
            name: name.into(),
            log: Vec::new(),
            first: 0,
            last_seq: i64::try_from(dice.below(100)).unwrap(),
            kept: None,
            stalled_until: 0,
            down_until: 0,
            arrival: [0; 2],
            lag,
        }
    }

    pub(super) fn append(&mut self, item: Arc<Item>, cut: bool, dice: &mut Dice) {
        self.last_seq += i64::try_from(dice.between(1, GAP)).unwrap();
        self.log.push(Entry {
            seq: self.last_seq,
            item,
            cut,
        });
    }

    /// Where a connection with this cursor begins, and whether something before it is gone.
    pub(super) fn begin(&self, cursor: Option<i64>) -> (usize, bool) {
        let Some(cursor) = cursor else {
            return (self.log.len(), false);
        };
        let at = self.log.partition_point(|entry| entry.seq <= cursor);
        (at.max(self.first), at < self.first)
    }
}

/// What a host says to whom it cannot tell all.
pub(super) fn outdated() -> Bytes {
    Frame::Info(InfoFrame {
        name: "OutdatedCursor",
        message: None,
    })
    .encode()
    .into()
}
