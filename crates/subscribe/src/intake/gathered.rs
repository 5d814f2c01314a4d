//! What the engine let through and is not stored yet. No store and no clock.

use atcomms_lexicon::{Cid, Did};
use atcomms_repo::frame::Action;
use atcomms_store::{AccountChange, Change, Commit, Event, Intake, Known, RepositoryHead, Story};

use crate::delivery::{Delivery, Undecodable};
use crate::engine::{Outcome, Standing};
use crate::snapshot::{KnownRecords, Path};

/// Commits that are stored together: enough that the transaction itself costs little.
const COMMITS_TOGETHER: usize = 512;

/// Their records, in bytes: a commit may have 2 MB, and most have a thousandth of it.
const BYTES_TOGETHER: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Commits that are settled.
    intake: Intake,
    /// Events of the commit that is being said.
    events: Vec<Event>,
    /// The records of all of these, in bytes.
    bytes: usize,
}

impl Gathered {
    pub(crate) fn deliver(&mut self, delivery: Delivery) {
        self.bytes += delivery.bytes.as_ref().map_or(0, |bytes| bytes.len());
        self.events.push(Event {
            did: delivery.author,
            collection: delivery.collection,
            rkey: delivery.rkey,
            change: change(delivery.action),
            rev: delivery.rev,
            cid: delivery.cid,
            commit: delivery.commit,
            record: delivery.bytes.map(Into::into),
            trust: Some(delivery.trust.as_str().to_owned()),
            continuity: Some(delivery.continuity.as_str().to_owned()),
            undecodable: None,
            live: delivery.live,
            source: delivery.source.to_string(),
            seq: delivery.seq,
        });
    }

    pub(crate) fn undecodable(&mut self, undecodable: Undecodable) {
        // Where it is was parsed when it was verified.
        let (Some(collection), Some(rkey)) = (undecodable.uri.collection(), undecodable.uri.rkey())
        else {
            return;
        };
        self.bytes += undecodable.bytes.len();
        self.events.push(Event {
            did: undecodable.author,
            collection,
            rkey,
            change: change(undecodable.action),
            rev: undecodable.rev,
            cid: undecodable.cid,
            commit: undecodable.commit,
            record: Some(undecodable.bytes.into()),
            trust: None,
            continuity: None,
            undecodable: Some(undecodable.reason),
            live: undecodable.live,
            source: undecodable.source.to_string(),
            seq: undecodable.seq,
        });
    }

    /// The commit, the fetched repository or the lone operation that was being said is complete.
    pub(crate) fn settled(&mut self, outcome: Outcome) {
        let events = std::mem::take(&mut self.events);
        let commit = match outcome {
            Outcome::Unverified | Outcome::Alone(_) if events.is_empty() => return,
            Outcome::Unverified => Commit {
                events,
                ..Commit::default()
            },
            Outcome::Alone(known) => Commit {
                alone: true,
                events,
                known: known
                    .map(|(_, path, cid)| stored(path, cid))
                    .into_iter()
                    .collect(),
                ..Commit::default()
            },
            Outcome::Verified(verified) => Commit {
                head: Some(RepositoryHead {
                    did: verified.did,
                    rev: verified.head.rev,
                    data: verified.head.data,
                }),
                events,
                known: verified
                    .known
                    .into_iter()
                    .map(|(path, cid)| stored(path, cid))
                    .collect(),
                story: verified.standing.map(story),
                ..Commit::default()
            },
        };
        self.intake.commits.push(commit);
    }

    /// Something of a repository was dropped.
    pub(crate) fn broken(&mut self, did: Did) {
        self.intake.broken.push(did);
    }

    /// An account is active no more, or again.
    pub(crate) fn account(&mut self, did: Did, change: AccountChange) {
        self.intake.accounts.push((did, change));
    }

    /// Whether there is nothing to store but how far the sources are.
    pub(crate) fn is_empty(&self) -> bool {
        self.intake.commits.is_empty()
            && self.intake.broken.is_empty()
            && self.intake.accounts.is_empty()
    }

    /// Whether as much waits to be stored as goes into one transaction, or as an inbox has room for.
    pub(crate) fn is_full(&self, max_waiting: u64) -> bool {
        let commits = self.intake.commits.len();
        commits >= COMMITS_TOGETHER
            || u64::try_from(commits).is_ok_and(|commits| commits >= max_waiting)
            || self.bytes >= BYTES_TOGETHER
    }

    /// All of it, to be stored in one transaction with how far the sources are.
    pub(crate) fn take(&mut self, cursors: Vec<(String, i64)>) -> Intake {
        self.bytes = 0;
        Intake {
            cursors,
            ..std::mem::take(&mut self.intake)
        }
    }
}

/// The records that are known of a repository, as they were stored.
pub(crate) fn known_records(known: Vec<Known>) -> KnownRecords {
    let records = known.into_iter().filter_map(|known| {
        let (collection, rkey) = (known.collection, known.rkey);
        Some((Path { collection, rkey }, known.cid?))
    });
    records.collect()
}

fn stored(path: Path, cid: Option<Cid>) -> Known {
    Known {
        collection: path.collection,
        rkey: path.rkey,
        cid,
    }
}

fn change(action: Action) -> Change {
    match action {
        Action::Create => Change::Create,
        Action::Update => Change::Update,
        Action::Delete => Change::Delete,
    }
}

/// How much of a repository's story is known, as it is stored.
fn story(standing: Standing) -> Story {
    match standing {
        Standing::Begun => Story::Begun,
        Standing::Whole => Story::Whole,
        Standing::Broken => Story::Broken,
    }
}

/// And as it was stored.
pub(crate) fn standing(story: Story) -> Standing {
    match story {
        Story::Whole => Standing::Whole,
        Story::Broken => Standing::Broken,
        _ => Standing::Begun,
    }
}
