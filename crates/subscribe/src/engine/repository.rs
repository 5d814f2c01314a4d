//! What the engine knows of one repository, and a bounded table of those that nobody follows by name.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use atcomms_lexicon::{Did, Tid};
use atcomms_repo::VerifyingKey;
use atcomms_repo::verify::Head;
use bytes::Bytes;

use super::SourceIndex;
use super::order::Ticket;

/// A stranger is remembered for dropping what was seen already. The table has two generations of this
/// many; the older one is forgotten when the newer is full: at about 400 bytes each, 50 MB at most.
const STRANGERS_PER_GENERATION: usize = 65_536;

/// How the author's key is at the moment.
#[derive(Debug, Default)]
pub(super) enum Key {
    #[default]
    Unknown,
    /// Asked for; `fresh` when a signature failed under the one that was known.
    Asked { fresh: bool, attempts: u32 },
    /// Known since this time (microseconds), and past every cache since that one, if a signature failed.
    Known {
        key: VerifyingKey,
        since: u64,
        fresh: Option<u64>,
    },
}

/// A commit that waits: for its author's key, or for its repository.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) source: SourceIndex,
    pub(super) seq: i64,
    pub(super) bytes: Bytes,
    /// Its place in the queue, if it has one.
    pub(super) ticket: Option<Ticket>,
}

/// How much of a followed repository's story is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What the stream brought since it is followed.
    #[default]
    Begun,
    /// All its records in scope are known.
    Whole,
    /// It was whole, and something was missed since.
    Broken,
}

/// A followed repository of which something is missing, and which is to be fetched.
#[derive(Debug)]
pub(super) struct Missing {
    /// It was never fetched.
    pub(super) first_sight: bool,
    /// What was made before this, in microseconds, is no news: the subscription began with what was live then.
    pub(super) silent_before: Option<u64>,
    /// When it is asked for, in microseconds.
    pub(super) due: u64,
    /// It is asked for.
    pub(super) asked: bool,
    /// The rev that it must have reached when it is fetched.
    pub(super) at_least: Option<Tid>,
    /// Something was missed since it was asked for.
    pub(super) again: bool,
    /// How often it could not be fetched.
    pub(super) attempts: u32,
    /// Its commits were held, and then not any more.
    pub(super) was_let_go: bool,
    /// Until when its commits are held, in microseconds.
    pub(super) holding: Option<u64>,
}

impl Missing {
    pub(super) fn new(due: u64) -> Self {
        Self {
            first_sight: false,
            silent_before: None,
            due,
            asked: false,
            at_least: None,
            again: false,
            attempts: 0,
            was_let_go: false,
            holding: None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    /// The newest commit that we verified ourselves.
    pub(super) head: Option<Head>,
    /// The newest rev that was delivered on a relay's word alone; only for dropping others like it.
    pub(super) relayed: Option<Tid>,
    /// The newest rev of which an operation was taken alone, on a word or with its proof; for the same.
    pub(super) heard: Option<Tid>,
    pub(super) key: Key,
    /// Where it is, as its author's identity says; known with the key.
    pub(super) host: Option<Arc<str>>,
    pub(super) held: VecDeque<Held>,
    /// Somebody said that its account is not active.
    pub(super) paused: bool,
    /// How much of its story is known; only of followed ones.
    pub(super) standing: Standing,
    /// Hints that nobody signed do not count before this, in microseconds.
    pub(super) no_hint_before: u64,
    /// What is missing of it, if anything is.
    pub(super) missing: Option<Box<Missing>>,
    /// The last place in the queue that a commit of this repository took.
    pub(super) last_ticket: Option<Ticket>,
}

/// All repositories that were in scope, those without anything waiting bounded in number.
#[derive(Debug, Default)]
pub(super) struct Repositories {
    followed: HashMap<Did, Repository>,
    young: HashMap<Did, Repository>,
    old: HashMap<Did, Repository>,
}

impl Repository {
    /// Whether its commits wait for it to be fetched.
    pub(super) fn is_fetched(&self) -> bool {
        let missing = self.missing.as_ref();
        missing.is_some_and(|missing| missing.holding.is_some())
    }
}

impl Repositories {
    /// The entry of a repository, made if there is none.
    pub(super) fn entry(&mut self, did: &Did, followed: bool) -> &mut Repository {
        if followed {
            return self.followed.entry(did.clone()).or_default();
        }
        if !self.young.contains_key(did) {
            let known = self.old.remove(did).unwrap_or_default();
            if self.young.len() >= STRANGERS_PER_GENERATION {
                self.age();
            }
            self.young.insert(did.clone(), known);
        }
        self.young.entry(did.clone()).or_default()
    }

    /// The entry of a repository, if there is one.
    pub(super) fn get_mut(&mut self, did: &Did) -> Option<&mut Repository> {
        self.followed
            .get_mut(did)
            .or_else(|| self.young.get_mut(did))
            .or_else(|| self.old.get_mut(did))
    }

    /// How many commits wait for a key.
    pub(super) fn held(&self) -> usize {
        let all = self
            .followed
            .values()
            .chain(self.young.values())
            .chain(self.old.values());
        all.map(|repository| repository.held.len()).sum()
    }

    /// Forgets the older generation, except for repositories with commits that wait.
    fn age(&mut self) {
        let busy: Vec<_> = self
            .old
            .drain()
            .filter(|(_, repository)| !repository.held.is_empty())
            .collect();
        self.old = std::mem::take(&mut self.young);
        self.young.extend(busy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(n: usize) -> Did {
        format!("did:web:n{n}.example").parse().unwrap()
    }

    #[test]
    fn strangers_are_bounded_and_followed_ones_stay() {
        let mut repositories = Repositories::default();
        repositories.entry(&did(0), true).key = Key::Asked {
            fresh: true,
            attempts: 7,
        };
        repositories.entry(&did(1), false).held.push_back(Held {
            source: 0,
            seq: 1,
            bytes: Bytes::new(),
            ticket: None,
        });
        for n in 2..3 * STRANGERS_PER_GENERATION {
            repositories.entry(&did(n), false);
        }
        assert!(
            repositories.young.len() + repositories.old.len() <= 2 * STRANGERS_PER_GENERATION + 1
        );
        assert!(matches!(
            repositories.get_mut(&did(0)).unwrap().key,
            Key::Asked { attempts: 7, .. }
        ));
        assert_eq!(
            repositories
                .get_mut(&did(1))
                .expect("it has a commit that waits")
                .held
                .len(),
            1
        );
        assert!(
            repositories.get_mut(&did(2)).is_none(),
            "an idle stranger of long ago is forgotten"
        );
    }
}
