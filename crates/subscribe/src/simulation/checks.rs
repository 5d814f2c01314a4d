//! What the oracle says of the store whenever a process dies, and of everything at the end.

use std::collections::{BTreeMap, BTreeSet};

use atcomms_store::Story;

use super::SECONDS;
use super::author::Status;
use super::life::{Checked, Simulation};
use super::oracle::Seen;

/// How long a subscription may take until it knows that the stream tells of the present.
const CATCHING_UP: u64 = 15 * SECONDS;

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
                    // A commit of before a rotation proves nothing, what is too much is lost, and no
                    // stranger is fetched.
                    true => ours && !author.replaced && !author.flooded,
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
            let there = host.log.iter().skip(host.first);
            let last = there.rev().find(|entry| !entry.cut);
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
                    if self.plan.is_reliable {
                        self.check_order(number)?;
                        self.check_sent(number)?;
                    }
                }
                false if self.anyone && !author.hidden && !author.replaced => {
                    self.check_sent(number)?;
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

    /// Where every fetch succeeds, what was missed before a commit comes before it: the commit is held meanwhile.
    fn check_order(&mut self, number: usize) -> Checked {
        let author = &self.authors[number];
        let (whole, _) = self.oracle.whole[&author.did];
        let began = self.oracle.began.unwrap_or_default() + CATCHING_UP;
        // Only of records that did not change again it is certain what is to be delivered.
        let mut last = BTreeMap::new();
        for (rev, ops) in &author.signed {
            last.extend(ops.iter().map(|op| (&op.path, (*rev, op.cid))));
        }
        last.retain(|_, (rev, _)| *rev > whole);
        let mut state = BTreeMap::new();
        let seen = self.oracle.first.iter();
        for seen in seen.filter(|seen| seen.author == number) {
            if seen.live && seen.rev > whole && seen.rev.micros() > began {
                let before = last.iter().filter(|(_, (rev, _))| *rev < seen.rev);
                for (path, (rev, cid)) in before {
                    // Who was never told of a record is not told that it is gone.
                    if state.get(*path).copied().unwrap_or(None) != *cid {
                        let (rkey, did) = (path.rkey.as_str(), &author.did);
                        let late = seen.rev;
                        return Err(format!(
                            "P4: {late} of {did} came before {rkey} of {rev}, which was missed"
                        ));
                    }
                }
                self.oracle.in_order += 1;
            }
            state.insert(&seen.op.path, seen.op.cid);
        }
        Ok(())
    }

    /// What came and was not older than what had come was delivered, live.
    fn check_sent(&mut self, number: usize) -> Checked {
        let author = &self.authors[number];
        let mut newest = None;
        let sent = self.oracle.sent_first.iter();
        for sent in sent.filter(|sent| sent.author == number) {
            let rev = sent.rev;
            let ops = &author.signed[&rev];
            if newest >= Some(rev) || ops.is_empty() && self.anyone {
                continue;
            }
            newest = Some(rev);
            for op in ops.iter().filter(|_| sent.is_new) {
                let is_it = |seen: &Seen| {
                    seen.author == number && seen.rev == rev && seen.op == *op && seen.live
                };
                if !self.oracle.first.iter().any(is_it) {
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
