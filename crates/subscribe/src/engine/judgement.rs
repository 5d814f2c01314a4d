//! One commit, from its frame to its deliveries.

use std::sync::Arc;

use atcomms_lexicon::{AtUri, Did, Value, claimed_author, fault};
use atcomms_repo::VerifyingKey;
use atcomms_repo::frame::{self, CommitFrame, Frame};
use atcomms_repo::verify::{CheckedCommit, CheckedOp, Limits, OpenCommit, Relation, VerifyError};

use super::repository::Held;
use super::{Engine, Output};
use crate::delivery::{Delivery, Undecodable};
use crate::trust::{Continuity, Trust};

/// Bytes of the records of one commit, each counted for every operation that names it: what a commit
/// with a record for each operation can have at most.
const MAX_RECORDS: usize = 2_000_000;

/// What became of a commit.
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart on the same stack"
)]
enum Verdict {
    Believed(CheckedCommit, Trust),
    /// Its events were seen already, this many.
    Duplicate(u64),
    /// It may be believed under a fresh key.
    Doubted,
    Refused(&'static str),
}

impl Engine {
    /// Judges a commit under its author's key, or without one. `last` says that no fresher key can be had.
    pub(super) fn judge(
        &mut self,
        held: Held,
        did: &Did,
        key: Option<&VerifyingKey>,
        last: bool,
        now: u64,
    ) {
        let frame = match frame::decode(&held.bytes) {
            Ok(Frame::Commit(frame)) => frame,
            other => {
                let reason = other
                    .err()
                    .map_or("frame_malformed", |error| error.reason());
                self.counters.rejected(reason);
                self.settled(&held, None);
                return;
            }
        };
        let mut head = None;
        match self.verdict(&frame, did, key, last, now) {
            Verdict::Believed(commit, trust) => {
                head = (trust == Trust::Verified).then(|| (did.clone(), commit.head()));
                self.believe(&held, &frame, commit, trust);
            }
            Verdict::Duplicate(events) => self.counters.duplicates(events),
            Verdict::Doubted => {
                self.hold_again(held, did);
                return;
            }
            Verdict::Refused(reason) => {
                tracing::debug!(%did, rev = frame.rev, reason, "a commit was refused");
                self.counters.rejected(reason);
            }
        }
        self.settled(&held, head);
    }

    fn verdict(
        &mut self,
        frame: &CommitFrame<'_>,
        did: &Did,
        key: Option<&VerifyingKey>,
        last: bool,
        now: u64,
    ) -> Verdict {
        let head = self
            .repositories
            .get_mut(did)
            .and_then(|repository| repository.head);
        // Only a commit that we verified moves the head, so no claim can make us drop a genuine one.
        if let (Some(head), Ok(rev)) = (head, frame.rev.parse())
            && head.rev >= rev
        {
            return Verdict::Duplicate(self.wanted(frame));
        }
        let relayed = self
            .repositories
            .get_mut(did)
            .and_then(|repository| repository.relayed);
        if key.is_none()
            && let (Some(relayed), Ok(rev)) = (relayed, frame.rev.parse())
            && relayed >= rev
        {
            return Verdict::Duplicate(self.wanted(frame));
        }
        let open = match OpenCommit::open(frame, now, &Limits::default()) {
            Ok(open) => open,
            Err(error) => return Verdict::Refused(error.reason()),
        };
        match key {
            Some(key) => match open.verify(key) {
                Ok(commit) => Verdict::Believed(commit.into(), Trust::Verified),
                Err(VerifyError::Signature) if !last => Verdict::Doubted,
                Err(error) => Verdict::Refused(error.reason()),
            },
            None if self.required > Trust::Relayed => Verdict::Refused("no_key"),
            None => match open.check() {
                Ok(commit) => Verdict::Believed(commit, Trust::Relayed),
                Err(error) => Verdict::Refused(error.reason()),
            },
        }
    }

    fn believe(
        &mut self,
        held: &Held,
        frame: &CommitFrame<'_>,
        commit: CheckedCommit,
        trust: Trust,
    ) {
        let Some(repository) = self.repositories.get_mut(commit.did()) else {
            return;
        };
        // `since` is not signed, but a first commit has no tree before it, which the inversion proves.
        let first = commit.since().is_none() && commit.prev_data().is_none();
        let continuity = match repository.head.map(|head| head.relation(&commit)) {
            _ if trust != Trust::Verified => Continuity::Linked,
            Some(Relation::Next) => Continuity::Proven,
            None if first => Continuity::Proven,
            _ => Continuity::Linked,
        };
        match trust {
            _ if fault::on("relayed-head") => repository.head = Some(commit.head()),
            Trust::Verified => repository.head = Some(commit.head()),
            _ => repository.relayed = Some(commit.rev()),
        }
        // Many operations may name one record: what is small on the wire must not become large here.
        let records = commit.ops().iter().filter_map(|op| op.record());
        if records.map(|record| record.len()).sum::<usize>() > MAX_RECORDS {
            self.counters.rejected("records_too_large");
            return;
        }
        let source: Arc<str> = self.hosts.get(held.source).cloned().unwrap_or_default();
        let (did, rev, cid) = (commit.did().clone(), commit.rev(), Some(commit.commit()));
        for op in commit.into_ops() {
            if !self
                .scope
                .wants_operation(op.action(), op.collection().as_str())
            {
                continue;
            }
            let uri = AtUri::record(&did, op.collection(), op.rkey());
            let record = match read(&op, &did) {
                Ok(record) => record,
                Err(Unreadable::OtherAuthor) => {
                    self.counters.rejected("other_author");
                    continue;
                }
                Err(Unreadable::Undecodable(reason)) => {
                    self.counters.rejected("undecodable");
                    let bytes = op.record().cloned().unwrap_or_default();
                    self.order.put(
                        held.ticket,
                        Output::Undecodable(Undecodable {
                            uri,
                            cid: op.cid(),
                            action: op.action(),
                            rev,
                            commit: cid,
                            author: did.clone(),
                            reason,
                            bytes,
                            source: source.clone(),
                            seq: frame.seq,
                        }),
                    );
                    continue;
                }
            };
            self.order.put(
                held.ticket,
                Output::Deliver(Delivery {
                    uri,
                    cid: op.cid(),
                    rev,
                    commit: cid,
                    author: did.clone(),
                    collection: op.collection().clone(),
                    rkey: op.rkey().clone(),
                    action: op.action(),
                    trust,
                    continuity,
                    live: true,
                    record,
                    source: source.clone(),
                    seq: frame.seq,
                    bytes: op.record().cloned(),
                }),
            );
        }
    }

    /// How many of a commit's operations would be delivered.
    fn wanted(&self, frame: &CommitFrame<'_>) -> u64 {
        let wanted = frame
            .ops
            .iter()
            .filter(|op| self.wants(op.action, op.path))
            .count();
        u64::try_from(wanted).unwrap_or(u64::MAX)
    }

    fn wants(&self, action: frame::Action, path: &str) -> bool {
        path.split_once('/')
            .is_some_and(|(collection, _)| self.scope.wants_operation(action, collection))
    }
}

enum Unreadable {
    OtherAuthor,
    Undecodable(String),
}

/// The record of an operation, if it can be read and does not claim another author (P6).
fn read(op: &CheckedOp, did: &Did) -> Result<Option<atcomms_lexicon::Map>, Unreadable> {
    let Some(bytes) = op.record() else {
        return Ok(None);
    };
    let map = match Value::from_cbor(bytes) {
        Ok(Value::Map(map)) => map,
        Ok(_) => return Err(Unreadable::Undecodable("a record must be a map".to_owned())),
        Err(error) => return Err(Unreadable::Undecodable(error.to_string())),
    };
    match claimed_author(op.collection().as_str(), &map) {
        _ if fault::on("sender") => Ok(Some(map)),
        Some(claimed) if claimed != did.as_str() => Err(Unreadable::OtherAuthor),
        _ => Ok(Some(map)),
    }
}
