//! What a relay knows of each repository, from the events that passed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use atcomms_repo::Cid;
use atcomms_repo::car::Car;
use atcomms_repo::frame::{AccountFrame, Action, CommitFrame, Frame, SyncFrame};

/// One repository, as its events tell it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) did: String,
    /// `None` while only events of the account were seen.
    pub(super) head: Option<Head>,
    /// Why its host does not serve it; `None` if it does.
    pub(super) status: Option<String>,
}

/// The latest commit of a repository.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) cid: Cid,
    pub(super) rev: String,
}

/// All repositories, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(super) struct AllSeen {
    repositories: Vec<Seen>,
    by_did: HashMap<String, usize>,
    /// The repositories that ever had a record of a collection.
    collections: BTreeMap<String, BTreeSet<usize>>,
}

impl AllSeen {
    /// Takes an event into account.
    pub(super) fn note(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Commit(commit) => self.note_commit(commit),
            Frame::Sync(sync) => self.note_sync(sync),
            Frame::Account(account) => self.note_account(account),
            Frame::Identity(identity) => {
                self.entry(identity.did);
            }
            _ => {}
        }
    }

    /// Whether a commit is older than what was seen of its repository, or the same.
    pub(super) fn is_stale(&self, commit: &CommitFrame<'_>) -> bool {
        self.get(commit.repo)
            .and_then(|seen| seen.head.as_ref())
            .is_some_and(|head| commit.rev <= head.rev.as_str())
    }

    pub(super) fn get(&self, did: &str) -> Option<&Seen> {
        self.repositories.get(*self.by_did.get(did)?)
    }

    /// All repositories behind the first `skipped` ones, with their places.
    pub(super) fn after(&self, skipped: usize) -> impl Iterator<Item = (usize, &Seen)> {
        self.repositories.iter().enumerate().skip(skipped)
    }

    /// The repositories of a collection behind the first `skipped` ones of all, with their places.
    pub(super) fn of_collection(
        &self,
        collection: &str,
        skipped: usize,
    ) -> impl Iterator<Item = (usize, &Seen)> {
        let places = self.collections.get(collection).into_iter().flatten();
        places
            .filter(move |place| **place >= skipped)
            .filter_map(|place| Some((*place, self.repositories.get(*place)?)))
    }

    fn note_commit(&mut self, commit: &CommitFrame<'_>) {
        let place = self.entry(commit.repo);
        self.set_head(place, commit.commit, commit.rev);
        for op in &commit.ops {
            if op.action == Action::Delete {
                continue;
            }
            let collection = op.path.split('/').next().unwrap_or_default();
            if let Some(places) = self.collections.get_mut(collection) {
                places.insert(place);
            } else {
                self.collections
                    .insert(collection.to_owned(), BTreeSet::from([place]));
            }
        }
    }

    fn note_sync(&mut self, sync: &SyncFrame<'_>) {
        let place = self.entry(sync.did);
        if let Ok(car) = Car::read(sync.blocks) {
            self.set_head(place, car.root(), sync.rev);
        }
    }

    fn note_account(&mut self, account: &AccountFrame<'_>) {
        let place = self.entry(account.did);
        if let Some(seen) = self.repositories.get_mut(place) {
            let status = account.status.unwrap_or(UNKNOWN_STATUS);
            seen.status = (!account.active).then(|| status.to_owned());
        }
    }

    fn set_head(&mut self, place: usize, cid: Cid, rev: &str) {
        if let Some(seen) = self.repositories.get_mut(place) {
            seen.head = Some(Head {
                cid,
                rev: rev.to_owned(),
            });
        }
    }

    fn entry(&mut self, did: &str) -> usize {
        if let Some(place) = self.by_did.get(did) {
            return *place;
        }
        let place = self.repositories.len();
        self.by_did.insert(did.to_owned(), place);
        self.repositories.push(Seen {
            did: did.to_owned(),
            head: None,
            status: None,
        });
        place
    }
}

/// The status of an account that is not active and does not say why.
const UNKNOWN_STATUS: &str = "inactive";
