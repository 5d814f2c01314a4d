//! What goes into an engine beside frames, and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::{Cid, Did};
use atcomms_repo::VerifyingKey;
use atcomms_repo::verify::Head;

use super::SourceIndex;
use super::raising::Question;
use super::repository::Standing;
use crate::delivery::{Delivery, Undecodable};
use crate::snapshot::Path;

/// What a look-up brought.
#[derive(Debug)]
pub(crate) enum KeyAnswer {
    /// The author's signing key, and the host of its repository.
    Key(VerifyingKey, Arc<str>),
    /// Nobody could say for now.
    Unavailable(String),
    /// There is none, and asking again will not help.
    None(String),
}

/// What the driver is to do.
#[derive(Debug)]
pub(crate) enum Output {
    Deliver(Delivery),
    Undecodable(Undecodable),
    /// All that this commit has for the subscriber has been said, and what it comes to.
    Settled {
        source: SourceIndex,
        seq: i64,
        outcome: Outcome,
    },
    /// All that a fetched repository has for the subscriber has been said.
    Resynced(Box<Verified>),
    /// Something of this repository was dropped: what is known of it is not whole any more.
    Broken {
        did: Did,
    },
    /// Fetch this repository, and read what is known of it after all that was delivered before.
    Fetch {
        did: Did,
    },
    /// Ask an account's PDS whether it is active.
    AskStatus {
        did: Did,
    },
    /// Deliver nothing more of this account for now.
    Pause {
        did: Did,
    },
    /// Deliver what was paused.
    Resume {
        did: Did,
    },
    /// Forget what waits of this account: it was deleted.
    Purge {
        did: Did,
    },
    /// Ask the followed repositories' PDSs for their latest revs.
    Sweep,
    /// Look up the key of this repository, past the cache if `fresh`, not before `after`.
    Resolve {
        did: Did,
        fresh: bool,
        after: Duration,
    },
    /// Fetch a record's proof from its author's PDS.
    Prove(Question),
    /// What was resolved of this repository is out of date.
    Forget {
        did: Did,
    },
    /// The source refuses us; an operator must act.
    Stop {
        source: SourceIndex,
        error: String,
    },
}

/// What is known of a repository after a commit of it, or after it was fetched.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) did: Did,
    pub(crate) head: Head,
    /// The records in scope that changed, if the repository is followed: what they are now, or that they are gone.
    pub(crate) known: Vec<(Path, Option<Cid>)>,
    /// How much of its story is known, if that changed.
    pub(crate) standing: Option<Standing>,
}

/// What a commit, or one operation that came alone, comes to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A commit on a relay's word, or nothing.
    Unverified,
    /// A commit that its author signed.
    Verified(Box<Verified>),
    /// One operation, and what it changes of the records in scope, if it is proven and its repository followed.
    Alone(Option<(Did, Path, Option<Cid>)>),
}

/// How much waits in an engine, and how much came by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// Commits that were of interest, so far.
    pub(crate) in_scope: u64,
    /// Commits that came and are not settled.
    pub(crate) held: usize,
    /// Bytes of those that wait for a key or a repository.
    pub(crate) held_bytes: usize,
    /// Repositories that are to be fetched.
    pub(crate) to_fetch: usize,
}

/// What an engine is to do about what it did not see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resyncs {
    /// Whether followed repositories are fetched at all: not where there is only a file to read.
    pub(crate) allowed: bool,
    /// When the subscription begins with what is live, in microseconds, if it does: what was there before is no
    /// news where nothing of the repository was seen.
    pub(crate) begins_live: Option<u64>,
    /// When an earlier run of the same subscription began with what was live, in microseconds, if it did: where
    /// something of the repository was seen since.
    pub(crate) began_live: Option<u64>,
}
