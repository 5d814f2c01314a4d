//! What is to come, in the order of its time.

use std::cmp::Ordering;
use std::sync::Arc;

use atcomms_lexicon::Did;

use super::directory::Owner;
use super::host::Item;
use crate::engine::AccountStatus;
use crate::snapshot::{FetchFailure, Snapshot};

/// Something that comes at its time. What has a `run` is of one process, and nothing once that is dead.
#[derive(Debug)]
pub(super) enum Event {
    Act,
    Write(usize),
    Trouble,
    Peace,
    Ingest {
        relay: usize,
        item: Arc<Item>,
    },
    Flush {
        relay: usize,
    },
    Start,
    Connect {
        run: u32,
        link: usize,
    },
    Pump {
        run: u32,
        link: usize,
        connection: u32,
    },
    Keep {
        run: u32,
    },
    Looked {
        run: u32,
        did: Did,
        fresh: bool,
    },
    FetchTurn {
        run: u32,
        did: Did,
    },
    FetchRead {
        run: u32,
        did: Did,
        owner: Owner,
    },
    Fetched {
        run: u32,
        did: Did,
        answer: Result<Box<Snapshot>, FetchFailure>,
    },
    Asked {
        run: u32,
        did: Did,
    },
    Answered {
        run: u32,
        did: Did,
        status: AccountStatus,
    },
    Round {
        run: u32,
        round: u32,
    },
    Swept {
        run: u32,
        did: Did,
    },
    Lease,
    LateAck {
        id: i64,
        token: i64,
    },
}

pub(super) struct Due(pub(super) u64, pub(super) u64, pub(super) Event);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

impl Event {
    /// The process that it is of.
    pub(super) fn run(&self) -> Option<u32> {
        match self {
            Event::Connect { run, .. }
            | Event::Pump { run, .. }
            | Event::Keep { run }
            | Event::Looked { run, .. }
            | Event::FetchTurn { run, .. }
            | Event::FetchRead { run, .. }
            | Event::Fetched { run, .. }
            | Event::Asked { run, .. }
            | Event::Answered { run, .. }
            | Event::Round { run, .. }
            | Event::Swept { run, .. } => Some(*run),
            _ => None,
        }
    }
}
