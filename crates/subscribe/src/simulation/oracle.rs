//! What must hold, whatever went wrong: each delivery as it comes, the store whenever a process dies, and all of it
//! at the end. Everything is compared with what the world knows, and nothing with what the engine believes.

use std::collections::{BTreeMap, BTreeSet};

use atcomms_lexicon::{Did, Tid};
use atcomms_repo::Cid;
use atcomms_store::{Change, Intake, Received, Story};

use super::author::{Author, Op, Status};
use super::host::Entry;
use super::{Checked, Simulation};
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
    author: usize,
    op: Op,
    rev: Tid,
    live: bool,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// When it is over.
    pub(super) end: u64,
    /// In the order in which they came first.
    pub(super) first: Vec<Seen>,
    /// Commits of which it was checked that they came exactly once.
    pub(super) exactly_once: u64,
    keys: BTreeMap<Key, i64>,
    acknowledged: BTreeSet<Key>,
    /// The newest live event of each author.
    newest: BTreeMap<usize, Tid>,
    /// Each record, as it was delivered last.
    state: BTreeMap<(usize, Path), (Option<Cid>, Tid)>,
    /// Genuine commits that came over the wire, in the order of their numbers there.
    sent: BTreeMap<(usize, i64), (usize, Tid)>,
    /// The same in the order of time.
    sent_first: Vec<(usize, Tid)>,
    /// At which rev it was first stored that a repository's story is whole, and at which last.
    whole: BTreeMap<Did, (Tid, Tid)>,
}

impl Oracle {
    /// A frame came over the wire as it was sent, and the stored cursor is not beyond it.
    pub(super) fn sent(&mut self, host: usize, entry: &Entry) {
        if let Some(rev) = entry.item.genuine() {
            self.sent
                .insert((host, entry.seq), (entry.item.author, rev));
            self.sent_first.push((entry.item.author, rev));
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

impl Simulation {
    /// P5: no stored cursor has passed an event whose effect is not stored.
    pub(super) async fn check_durable(&mut self) -> Checked {
        let heads = self.store.heads(&self.consumer, usize::MAX).await.unwrap();
        let cursors = self.store.cursors(&self.consumer).await.unwrap();
        for (name, cursor) in cursors {
            let host = self
                .hosts
                .iter()
                .position(|host| *host.name == *name)
                .unwrap();
            let passed = self.oracle.sent.range((host, i64::MIN)..=(host, cursor));
            let log = &self.hosts[host].log;
            let first = log
                .get(self.hosts[host].first)
                .map_or(i64::MAX, |entry| entry.seq);
            // What is gone from the host's log shows in the chain, or in the rev that the PDS has.
            for ((_, seq), (author, rev)) in passed.filter(|((_, seq), _)| *seq >= first) {
                let author = &self.authors[*author];
                let ours = !author.signed[rev].is_empty();
                let in_scope = match self.anyone {
                    // A commit of before a rotation proves nothing, and a stranger is not fetched.
                    true => ours && !author.replaced,
                    false => self.scope.follows(author.did.as_str()),
                };
                if !in_scope || author.status == Status::Deleted {
                    continue;
                }
                let known = heads.iter().find(|(head, _)| head.did == author.did);
                let is_stored = known.is_some_and(|(head, _)| head.rev >= *rev);
                // What was not seen whole yet will be fetched. (To who begins live, what was missed before this
                // first sight counts as what was there.)
                let is_whole = known.is_some_and(|(_, story)| *story == Story::Whole);
                let is_fetched = !self.anyone && !is_whole;
                if !(is_stored || is_fetched) {
                    return Err(format!(
                        "P5: the cursor of {name} is {cursor}, and {seq} ({rev} of {}) is not stored: {known:?}",
                        author.did
                    ));
                }
            }
        }
        Ok(())
    }

    /// P2, and that nothing is left over.
    pub(super) async fn check_final(&mut self) -> Checked {
        let Some(process) = self.process.take() else {
            return Err("the process did not come back".to_owned());
        };
        self.count(&process);
        for (index, link) in process.links.iter().enumerate() {
            let host = &self.hosts[link.host];
            if let Some(seq) = process.engine.first_unsettled(index) {
                return Err(format!("{} {seq} is never settled", host.name));
            }
            let last = host.log.iter().rev().find(|entry| !entry.cut);
            let last = last.map(|entry| entry.seq);
            // Who begins live may have come after the last one.
            let begun = link.progress.is_some() || !self.live;
            if begun && link.progress < last {
                return Err(format!("{} is not read to its end: {last:?}", host.name));
            }
        }
        let waiting = self.store.inbox_len(&self.consumer).await.unwrap();
        if waiting > 0 {
            return Err(format!("{waiting} events were not handed out"));
        }
        for did in self.store.paused(&self.consumer).await.unwrap() {
            let author = self.author(&did);
            if self.authors[author].status == Status::Active {
                return Err(format!("P2: {did} is active, and its events are paused"));
            }
        }
        for number in 0..self.authors.len() {
            let author = &self.authors[number];
            if author.status != Status::Active {
                continue;
            }
            match self.scope.follows(author.did.as_str()) {
                true => {
                    self.check_state(number)?;
                    if !self.authors[number].hidden {
                        self.check_exactly_once(number)?;
                    }
                }
                false if self.anyone && !author.hidden && !author.replaced => {
                    self.check_stranger(number)?;
                }
                false => {}
            }
        }
        Ok(())
    }

    /// What was delivered of a followed repository leads to what is in it.
    fn check_state(&self, number: usize) -> Checked {
        let author = &self.authors[number];
        let Some((first, _)) = self.oracle.whole.get(&author.did) else {
            return Err(format!("P2: {} was never fetched", author.did));
        };
        let mut state = BTreeMap::new();
        if self.live {
            let first = author
                .state_at(*first)
                .expect("it was fetched as it was once");
            state.extend(first.records.iter().map(|(path, (cid, _))| (path, *cid)));
        }
        let delivered = self.oracle.state.iter();
        for ((_, path), (cid, rev)) in delivered.filter(|((of, _), _)| *of == number) {
            match cid {
                Some(cid) => drop(state.insert(path, *cid)),
                // What was gone before the first sight may have come again until then.
                None if self.live && rev <= first => {}
                None => drop(state.remove(path)),
            }
        }
        let last = author.states.last().unwrap();
        let expected: BTreeMap<_, _> = last
            .records
            .iter()
            .map(|(path, (cid, _))| (path, *cid))
            .collect();
        if state == expected {
            return Ok(());
        }
        let paths: BTreeSet<_> = state.keys().chain(expected.keys()).collect();
        let wrong = paths
            .into_iter()
            .filter(|path| state.get(*path) != expected.get(*path));
        let wrong: Vec<_> = wrong
            .map(|path| (path.rkey.as_str(), state.get(path), expected.get(path)))
            .collect();
        Err(format!(
            "P2: {} was delivered otherwise than it is (delivered, is): {wrong:?}",
            author.did
        ))
    }

    /// Of whom nothing was hidden, all that came after it was fetched last came live, once and in its order.
    fn check_exactly_once(&mut self, number: usize) -> Checked {
        let author = &self.authors[number];
        let (_, fetched) = self.oracle.whole[&author.did];
        let seen = self
            .oracle
            .first
            .iter()
            .filter(|seen| seen.author == number && seen.live && seen.rev > fetched);
        let seen: Vec<_> = seen.map(|seen| (seen.rev, &seen.op)).collect();
        let signed = author.signed.iter().filter(|(rev, _)| **rev > fetched);
        let signed: Vec<_> = signed
            .flat_map(|(rev, ops)| ops.iter().map(|op| (*rev, op)))
            .collect();
        if seen != signed {
            return Err(format!(
                "P2: of {} after {fetched} came {seen:?}, and not {signed:?}",
                author.did
            ));
        }
        self.oracle.exactly_once += signed.len() as u64;
        Ok(())
    }

    /// What came of a stranger and was not older than what had come was delivered.
    fn check_stranger(&mut self, number: usize) -> Checked {
        let author = &self.authors[number];
        let mut newest = None;
        for (_, rev) in self
            .oracle
            .sent_first
            .iter()
            .filter(|(of, _)| *of == number)
        {
            let ops = &author.signed[rev];
            if newest >= Some(*rev) || ops.is_empty() {
                continue;
            }
            newest = Some(*rev);
            for op in ops {
                let is_it = |seen: &&super::oracle::Seen| {
                    seen.author == number && seen.rev == *rev && seen.op == *op
                };
                if !self.oracle.first.iter().any(|seen| is_it(&seen)) {
                    return Err(format!(
                        "P2: {op:?} of {} at {rev} came and was not delivered",
                        author.did
                    ));
                }
                self.oracle.exactly_once += 1;
            }
        }
        Ok(())
    }
}
