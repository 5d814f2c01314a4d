//! One commit, from its frame to its deliveries.

use atcomms_lexicon::{Did, fault};
use atcomms_repo::VerifyingKey;
use atcomms_repo::frame::{self, CommitFrame, Frame};
use atcomms_repo::verify::{CheckedCommit, Limits, OpenCommit, Relation, VerifyError};

use super::missing::CHAIN_BROKEN;
use super::repository::{Held, Standing};
use super::{Engine, Verified};
use crate::snapshot::Path;
use crate::trust::{Continuity, Trust};

/// What became of a commit.
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart on the same stack"
)]
enum Verdict {
    Believed(CheckedCommit, Trust),
    /// Its author is not let in any more; that is counted.
    TurnedAway,
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
        if key.is_some() && self.is_stray(held.source, did) && !fault::on("stray") {
            // The document may have changed since it was read.
            if !last {
                self.hold_again(held, did);
                return;
            }
            self.counters.rejected("other_host");
            self.settled(&held, None);
            return;
        }
        let mut verified = None;
        match self.verdict(&frame, did, key, last, now) {
            Verdict::Believed(commit, trust) => {
                if trust == Trust::Verified && self.breaks_the_chain(did, &commit) {
                    if self.waits_for_fetch(did, commit.rev(), now) {
                        self.hold_first(held, did);
                        return;
                    }
                    self.miss(did, Some(commit.rev()), CHAIN_BROKEN, now);
                }
                self.pay(did, self.wanted(&frame), now);
                verified = self.believe(&held, commit, trust);
            }
            Verdict::TurnedAway => {}
            Verdict::Duplicate(events) => self.counters.duplicates(events),
            Verdict::Doubted => {
                self.hold_again(held, did);
                return;
            }
            Verdict::Refused(reason) => {
                tracing::debug!(%did, rev = frame.rev, reason, "a commit was refused");
                self.counters.rejected(reason);
                if reason == VerifyError::Signature.reason() {
                    // It may be from before a rotation of the key: what it did is in the repository then.
                    self.miss(did, None, "a commit is not signed by its author's key", now);
                }
            }
        }
        self.settled(&held, verified);
    }

    fn breaks_the_chain(&mut self, did: &Did, commit: &CheckedCommit) -> bool {
        let head = self.repositories.get_mut(did).and_then(|known| known.head);
        head.is_some_and(|head| head.relation(commit) == Relation::Gap) && !fault::on("gap")
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
        if self.over_budget(did, |engine| engine.wanted(frame), now) {
            return Verdict::TurnedAway;
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

    /// Tells of a commit, and takes it for its repository's head if it is verified.
    fn believe(
        &mut self,
        held: &Held,
        commit: CheckedCommit,
        trust: Trust,
    ) -> Option<Box<Verified>> {
        let did = commit.did().clone();
        let followed = self.scope.follows(did.as_str());
        let repository = self.repositories.get_mut(&did)?;
        // `since` is not signed, but a first commit has no tree before it, which the inversion proves.
        let first = commit.since().is_none() && commit.prev_data().is_none();
        let relation = repository.head.map(|head| head.relation(&commit));
        let continuity = match relation {
            _ if trust != Trust::Verified => Continuity::Linked,
            Some(Relation::Next) => Continuity::Proven,
            None if first => Continuity::Proven,
            _ => Continuity::Linked,
        };
        if trust != Trust::Verified && !fault::on("relayed-head") {
            repository.relayed = Some(commit.rev());
            self.say_commit(held, held.ticket, commit, trust, continuity);
            return None;
        }
        let head = commit.head();
        repository.head = Some(head);
        let paused = repository.paused;
        let mut standing = None;
        let mut known = Vec::new();
        if followed {
            if relation.is_none() && first && self.whole_from_birth(&did) {
                standing = Some(Standing::Whole);
            } else if relation == Some(Relation::Gap) {
                standing = Some(Standing::Broken);
            }
            let ops = commit.ops().iter();
            let in_scope = ops.filter(|op| self.scope.wants_collection(op.collection().as_str()));
            known.extend(in_scope.map(|op| {
                let (collection, rkey) = (op.collection().clone(), op.rkey().clone());
                (Path { collection, rkey }, op.cid())
            }));
        }
        if paused {
            self.resume(&did);
        }
        self.say_commit(held, held.ticket, commit, trust, continuity);
        Some(Box::new(Verified {
            did,
            head,
            known,
            standing,
        }))
    }

    /// How many of a commit's operations would be delivered.
    pub(super) fn wanted(&self, frame: &CommitFrame<'_>) -> u64 {
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
