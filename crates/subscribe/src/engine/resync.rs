//! A fetched repository: what differs from what was known is delivered, together with the commits that were
//! held for it, in an order in which it may have happened.

use std::collections::{BTreeMap, VecDeque};

use atcomms_lexicon::{Cid, Datetime, Did, Tid};
use atcomms_repo::frame::{self, Frame};
use atcomms_repo::verify::{Limits, VerifiedCommit, verify_commit};

use super::difference::{Difference, differences, made_at};
use super::order::Ticket;
use super::repository::{Held, Key, Standing};
use super::said::Said;
use super::{Engine, Outcome, Output, Verified};
use crate::snapshot::{KnownRecords, Path, Snapshot};
use crate::trust::{Continuity, Trust};

impl Engine {
    /// Delivers what differs from what was known, and the commits that were held, in an order in which they
    /// may have happened: first what was missed before them, then they, then what was missed after.
    pub(super) fn resync(
        &mut self,
        did: &Did,
        snapshot: &Snapshot,
        known: &KnownRecords,
        now: u64,
    ) {
        let Some(repository) = self.repositories.get_mut(did) else {
            return;
        };
        let silent_before = repository.missing.take().and_then(|missing| {
            if let Some(until) = missing.holding {
                self.backlog.no_hold(until, did);
            }
            missing.silent_before
        });
        // In the place of the first that was held, so that none of them overtakes it.
        let ticket = repository.held.iter().find_map(|held| held.ticket);
        let (covered, later) = split(&mut repository.held, snapshot.head.rev);
        repository.held = later;
        repository.key = Key::Known {
            key: snapshot.key.clone(),
            since: now,
            fresh: None,
        };
        let covered = self.verify_covered(did, covered, snapshot, now);

        let mut touched: BTreeMap<Path, Option<Cid>> = BTreeMap::new();
        for (_, commit) in &covered {
            for op in commit.iter().flat_map(|commit| commit.ops()) {
                let (collection, rkey) = (op.collection().clone(), op.rkey().clone());
                touched.insert(Path { collection, rkey }, op.cid());
            }
        }
        let all = differences(snapshot, known);
        // What was there when we first looked is not news for who begins with what is live; by its author's word,
        // which is good enough for what is the author's own.
        let began = silent_before.and_then(|at| i64::try_from(at / 1000).ok());
        let began = began.map(Datetime::from_unix_millis);
        let is_news = |difference: &&Difference| {
            difference.action != frame::Action::Create
                || began.is_none()
                || difference.made >= began
        };
        let untouched = |difference: &&Difference| !touched.contains_key(&difference.path);
        let mut missed = all.iter().filter(is_news).filter(untouched).peekable();
        let mut latest = None;
        for (held, commit) in &covered {
            let Some(commit) = commit else { continue };
            latest = latest.max(written_at(commit));
            // What was deleted has no time, and is taken for missed before.
            while let Some(difference) = missed.next_if(|difference| difference.made <= latest) {
                self.say_difference(did, snapshot, ticket, difference.clone());
            }
            let commit = commit.clone().into();
            let (trust, continuity) = (Trust::Verified, Continuity::Linked);
            self.say_commit(held, ticket, commit, trust, continuity);
        }
        for difference in missed {
            self.say_difference(did, snapshot, ticket, difference.clone());
        }
        let after: KnownRecords = touched
            .iter()
            .filter_map(|(path, cid)| Some((path.clone(), (*cid)?)))
            .collect();
        for (path, _) in touched {
            if !self.scope.wants_collection(path.collection.as_str()) {
                continue;
            }
            let now = snapshot.records.get(&path).cloned();
            let action = match (&now, after.get(&path)) {
                (Some((cid, _)), Some(before)) if cid == before => continue,
                (None, None) => continue,
                (Some(_), Some(_)) => frame::Action::Update,
                (Some(_), None) => frame::Action::Create,
                (None, Some(_)) => frame::Action::Delete,
            };
            self.say_difference(
                did,
                snapshot,
                ticket,
                Difference {
                    path,
                    action,
                    made: None,
                    now,
                },
            );
        }

        if let Some(repository) = self.repositories.get_mut(did) {
            repository.head = Some(snapshot.head);
            repository.standing = Standing::Whole;
        }
        let known = all.into_iter().map(|difference| {
            let cid = difference.now.map(|(cid, _)| cid);
            (difference.path, cid)
        });
        self.order.put(
            ticket,
            Output::Resynced(Box::new(Verified {
                did: did.clone(),
                head: snapshot.head,
                known: known.collect(),
                standing: Some(Standing::Whole),
            })),
        );
        for (held, _) in covered {
            let (source, seq) = (held.source, held.seq);
            let outcome = Outcome::Unverified;
            self.order.put(
                ticket,
                Output::Settled {
                    source,
                    seq,
                    outcome,
                },
            );
            self.order.done(held.ticket);
        }
        self.order.done(ticket);
        self.counters.resynced();
        tracing::info!(%did, rev = %snapshot.head.rev, "its repository was fetched");
    }

    /// The held commits that a snapshot covers, those that are believed with what they say.
    fn verify_covered(
        &mut self,
        did: &Did,
        covered: VecDeque<Held>,
        snapshot: &Snapshot,
        now: u64,
    ) -> Vec<(Held, Option<VerifiedCommit>)> {
        let mut head = self.repositories.get_mut(did).and_then(|known| known.head);
        let mut verified = Vec::with_capacity(covered.len());
        for held in covered {
            self.held_bytes = self.held_bytes.saturating_sub(held.bytes.len());
            let Ok(Frame::Commit(frame)) = frame::decode(&held.bytes) else {
                verified.push((held, None));
                continue;
            };
            let commit = match verify_commit(&frame, &snapshot.key, now, &Limits::default()) {
                Ok(commit) if head.is_some_and(|head| head.rev >= commit.rev()) => {
                    self.counters.duplicates(self.wanted(&frame));
                    None
                }
                Ok(commit) => {
                    head = Some(commit.head());
                    Some(commit)
                }
                Err(error) => {
                    self.counters.rejected(error.reason());
                    None
                }
            };
            verified.push((held, commit));
        }
        verified
    }

    fn say_difference(
        &mut self,
        did: &Did,
        snapshot: &Snapshot,
        ticket: Option<Ticket>,
        difference: Difference,
    ) {
        let (cid, bytes) = difference.now.unzip();
        self.say(
            ticket,
            Said {
                did: did.clone(),
                collection: difference.path.collection,
                rkey: difference.path.rkey,
                action: difference.action,
                cid,
                bytes,
                rev: snapshot.head.rev,
                commit: Some(snapshot.commit),
                trust: Trust::Verified,
                continuity: Continuity::Linked,
                live: false,
                source: snapshot.host.clone(),
                seq: 0,
            },
        );
    }
}

/// When a commit's newest record says that it was made, by the clock that the other records of its author go by;
/// else the time of its rev.
fn written_at(commit: &VerifiedCommit) -> Option<Datetime> {
    let records = commit.ops().iter().filter_map(|op| op.record());
    let made = records.filter_map(|record| made_at(record)).max();
    made.or_else(|| {
        let millis = i64::try_from(commit.rev().micros() / 1000).ok()?;
        Some(Datetime::from_unix_millis(millis))
    })
}

/// Those commits that are not newer than a rev, and the others.
fn split(held: &mut VecDeque<Held>, rev: Tid) -> (VecDeque<Held>, VecDeque<Held>) {
    std::mem::take(held).into_iter().partition(|held| {
        matches!(frame::decode(&held.bytes), Ok(Frame::Commit(frame))
            if frame.rev.parse::<Tid>().is_ok_and(|of| of <= rev))
    })
}
