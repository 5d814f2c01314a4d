//! What must hold, whatever went wrong: each delivery as it comes, the store whenever a process dies, and all of it
//! at the end. Everything is compared with what the world knows, and nothing with what the engine believes.

use std::collections::{BTreeMap, BTreeSet};

use atcomms_lexicon::{Did, Tid};
use atcomms_repo::Cid;
use atcomms_store::{Change, Intake, Received, Story};

use super::author::{Author, Op};
use super::host::Entry;
use crate::Action;
use crate::snapshot::Path;

/// What an event is about: the same one is never delivered again once it was acknowledged (P3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) uri: String,
    pub(super) rev: Tid,
    pub(super) change: Change,
}

/// A delivery, when it came first.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) author: usize,
    pub(super) op: Op,
    pub(super) rev: Tid,
    pub(super) live: bool,
}

/// A commit that came over the wire.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) author: usize,
    pub(super) rev: Tid,
    /// No fetch had brought it before.
    pub(super) is_new: bool,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// When it is over.
    pub(super) end: u64,
    /// In the order in which they came first.
    pub(super) first: Vec<Seen>,
    /// Commits of which it was checked that they came exactly once.
    pub(super) exactly_once: u64,
    /// Live events of which it was checked that what was missed before had come before.
    pub(super) in_order: u64,
    /// When the subscription began.
    pub(super) began: Option<u64>,
    keys: BTreeMap<Key, i64>,
    acknowledged: BTreeSet<Key>,
    /// The newest live event of each author.
    newest: BTreeMap<usize, Tid>,
    /// Each record, as it was delivered last.
    pub(super) state: BTreeMap<(usize, Path), (Option<Cid>, Tid)>,
    /// Genuine commits that came over the wire, in the order of their numbers there.
    pub(super) sent: BTreeMap<(usize, i64), (usize, Tid)>,
    /// The same in the order of time.
    pub(super) sent_first: Vec<Sent>,
    /// At which rev a repository was fetched last.
    pub(super) fetched: BTreeMap<usize, Tid>,
    /// At which rev it was first stored that a repository's story is whole, and at which last.
    pub(super) whole: BTreeMap<Did, (Tid, Tid)>,
}

impl Oracle {
    /// A frame came over the wire as it was sent, and the stored cursor is not beyond it.
    pub(super) fn sent(&mut self, host: usize, entry: &Entry) {
        if let Some(rev) = entry.item.genuine() {
            self.sent
                .insert((host, entry.seq), (entry.item.author, rev));
            let author = entry.item.author;
            let is_new = self
                .fetched
                .get(&author)
                .is_none_or(|fetched| *fetched < rev);
            self.sent_first.push(Sent {
                author,
                rev,
                is_new,
            });
        }
    }

    /// This is about to be stored.
    pub(super) fn stored(&mut self, intake: &Intake) {
        for commit in &intake.commits {
            if let Some(head) = &commit.head
                && commit.story == Some(Story::Whole)
            {
                let whole = self
                    .whole
                    .entry(head.did.clone())
                    .or_insert((head.rev, head.rev));
                whole.1 = head.rev;
            }
        }
    }

    pub(super) fn acknowledged(&mut self, key: Key) {
        self.acknowledged.insert(key);
    }

    /// Something is handed out.
    pub(super) fn delivered(
        &mut self,
        received: &Received,
        authors: &[Author],
    ) -> Result<Key, String> {
        let event = &received.event;
        let key = Key {
            uri: event.uri().to_string(),
            rev: event.rev,
            change: event.change,
        };
        let told = format!("{} of {} at {}", event.change.as_str(), key.uri, key.rev);
        if self.acknowledged.contains(&key) {
            return Err(format!(
                "P3: the {told} comes again after it was acknowledged"
            ));
        }
        match self.keys.insert(key.clone(), received.id) {
            Some(id) if id == received.id => return Ok(key),
            Some(_) => return Err(format!("P3: the {told} is in the inbox twice")),
            None => {}
        }
        let author = authors.iter().position(|author| author.did == event.did);
        let author = author.ok_or_else(|| format!("P6: nobody wrote the {told}"))?;
        let op = Op {
            path: Path {
                collection: event.collection.clone(),
                rkey: event.rkey.clone(),
            },
            action: match event.change {
                Change::Create => Action::Create,
                Change::Update => Action::Update,
                _ => Action::Delete,
            },
            cid: event.cid,
        };
        let signed = match event.live {
            true => authors[author]
                .signed
                .get(&event.rev)
                .is_some_and(|ops| ops.contains(&op)),
            false => authors[author]
                .state_at(event.rev)
                .is_some_and(|state| state.records.get(&op.path).map(|(cid, _)| *cid) == op.cid),
        };
        if !signed {
            return Err(format!(
                "P6: its author did not sign the {told}, live={}",
                event.live
            ));
        }
        if event.live {
            let newest = self.newest.entry(author).or_insert(event.rev);
            if *newest > event.rev {
                return Err(format!("P4: the {told} comes after that of {newest}"));
            }
            *newest = event.rev;
        }
        let before = self
            .state
            .insert((author, op.path.clone()), (op.cid, event.rev));
        if !event.live && before.is_some_and(|(cid, _)| cid == op.cid) {
            return Err(format!(
                "P3: the {told} is no difference from what was delivered before"
            ));
        }
        let (rev, live) = (event.rev, event.live);
        self.first.push(Seen {
            author,
            op,
            rev,
            live,
        });
        Ok(key)
    }
}
