//! From a frame that somebody sent to a commit that its author signed.
//!
//! The order is that of Sync 1.1, cheap before dear: sizes; the rev; every block's hash; that the commit says
//! what its envelope says; the signature; the operations; that the signed tree holds them, and
//! that they are all that was done to the tree before ([`Tree::invert`]). What lies between two
//! commits (`since` and `prevData` against the known head) is for [`Head::relation`] to say.
//!
//! No network and no clock: the key and the time are passed in.

mod checked;
mod claim;
mod error;
mod head;

use std::collections::HashSet;
use std::time::Duration;

use atcomms_lexicon::{Did, Tid, fault};
use bytes::Bytes;
use cid::Cid;

pub use checked::{CheckedCommit, CheckedOp, VerifiedCommit};
pub use claim::{Claim, claim};
pub use error::VerifyError;
pub use head::{Head, Relation, VerifiedHead, verify_sync};

use crate::car::Car;
use crate::commit::CommitBlock;
use crate::digest;
use crate::frame::{Action, CommitFrame, RepoOp};
use crate::key::VerifyingKey;
use crate::mst::Tree;

/// What a commit may be at most. The defaults are those of Sync 1.1.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a frame's `blocks`: 2,000,000.
    pub blocks_len: usize,
    /// Operations of a commit: 200.
    pub ops: usize,
    /// Bytes of a record: 1,000,000.
    pub record_len: usize,
    /// How far a rev may be ahead of our clock: 5 minutes, as clocks differ.
    pub future: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blocks_len: 2_000_000,
            ops: 200,
            record_len: 1_000_000,
            future: Duration::from_secs(300),
        }
    }
}

impl Limits {
    /// A record's bytes, if they are there and not too long.
    pub(crate) fn record<'c>(
        &self,
        car: &Car<'c>,
        cid: &Cid,
        path: &str,
    ) -> Result<&'c [u8], VerifyError> {
        match car.get(cid) {
            None => Err(VerifyError::RecordMissing { path: shown(path) }),
            Some(record) if record.len() > self.record_len && !fault::on("record-length") => {
                Err(VerifyError::RecordTooLarge {
                    path: shown(path),
                    len: record.len(),
                    max: self.record_len,
                })
            }
            Some(record) => Ok(record),
        }
    }

    /// Reads a rev, and checks that it is not of the future.
    fn rev(&self, rev: &str, now_micros: u64) -> Result<Tid, VerifyError> {
        let tid: Tid = rev.parse().map_err(|_| VerifyError::RevSyntax)?;
        let future = u64::try_from(self.future.as_micros()).unwrap_or(u64::MAX);
        if tid.micros() > now_micros.saturating_add(future) && !fault::on("future-rev") {
            return Err(VerifyError::FutureRev { rev: tid });
        }
        Ok(tid)
    }
}

/// Verifies a commit in full. `now_micros` is the time in microseconds since 1970.
///
/// If the signature does not hold, the key may have changed: [`OpenCommit`] allows another try
/// without repeating the rest.
///
/// # Errors
/// [`VerifyError`], the first in the order of the checks.
pub fn verify_commit(
    frame: &CommitFrame<'_>,
    key: &VerifyingKey,
    now_micros: u64,
    limits: &Limits,
) -> Result<VerifiedCommit, VerifyError> {
    OpenCommit::open(frame, now_micros, limits)?.verify(key)
}

/// A commit whose sizes, rev and hashes are right and which says what its envelope says, but whose
/// signature was not checked: it may be anybody's.
pub struct OpenCommit<'f> {
    frame: &'f CommitFrame<'f>,
    car: Car<'f>,
    block: CommitBlock<'f>,
    did: Did,
    rev: Tid,
    since: Option<Tid>,
    limits: Limits,
}

impl<'f> OpenCommit<'f> {
    /// Checks everything that needs no key and no tree.
    ///
    /// # Errors
    /// [`VerifyError`], the first in the order of the checks.
    pub fn open(
        frame: &'f CommitFrame<'f>,
        now_micros: u64,
        limits: &Limits,
    ) -> Result<Self, VerifyError> {
        if frame.blocks.len() > limits.blocks_len {
            return Err(VerifyError::BlocksTooLarge {
                len: frame.blocks.len(),
                max: limits.blocks_len,
            });
        }
        if frame.ops.len() > limits.ops {
            return Err(VerifyError::TooManyOps {
                count: frame.ops.len(),
                max: limits.ops,
            });
        }
        let rev = limits.rev(frame.rev, now_micros)?;
        let since = frame
            .since
            .map(str::parse)
            .transpose()
            .map_err(|_| VerifyError::RevSyntax)?;
        let did = frame.repo.parse().map_err(|_| VerifyError::DidSyntax)?;
        let car = Car::read(frame.blocks)?;
        if car.root() != frame.commit && !fault::on("root-cid") {
            return Err(VerifyError::Root {
                root: Box::new(car.root()),
                commit: Box::new(frame.commit),
            });
        }
        let block = CommitBlock::parse(
            car.get_cbor(&frame.commit)
                .ok_or(VerifyError::CommitMissing)?,
        )?;
        if block.did != frame.repo && !fault::on("commit-did") {
            return Err(VerifyError::OtherDid);
        }
        if block.rev != frame.rev && !fault::on("commit-rev") {
            return Err(VerifyError::OtherRev);
        }
        Ok(Self {
            frame,
            car,
            block,
            did,
            rev,
            since,
            limits: limits.clone(),
        })
    }

    /// The repository whose key must have signed.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// Checks the signature, and then what it signs. After [`VerifyError::Signature`] it may be
    /// called again with a fresh key: nothing that was done is done again.
    ///
    /// # Errors
    /// [`VerifyError`], the first in the order of the checks.
    pub fn verify(&self, key: &VerifyingKey) -> Result<VerifiedCommit, VerifyError> {
        let signed = self.block.verify(key).is_ok() || fault::on("signature");
        if !signed {
            return Err(VerifyError::Signature);
        }
        self.check().map(VerifiedCommit)
    }

    /// Checks everything but the signature: that the tree holds the operations, and that they are
    /// all that was done. For readers who have no key, and take a relay's word.
    ///
    /// # Errors
    /// [`VerifyError`], the first in the order of the checks.
    pub fn check(&self) -> Result<CheckedCommit, VerifyError> {
        check_distinct(&self.frame.ops)?;
        let ops = self
            .frame
            .ops
            .iter()
            .map(|op| self.op(op))
            .collect::<Result<_, _>>()?;
        let data = digest::cbor_cid(self.block.data);
        // A commit without operations carries no node: the signed root says that nothing changed.
        let before = if self.frame.ops.is_empty() {
            data
        } else {
            Tree::load_to_invert(data, &self.car)?.invert(&self.frame.ops)?
        };
        match self.frame.prev_data {
            Some(prev_data) if prev_data == before || fault::on("inversion") => {}
            Some(prev_data) => {
                return Err(VerifyError::Inversion {
                    before: Box::new(before),
                    claimed: Box::new(prev_data),
                });
            }
            // The first commit comes after nothing.
            None if self.since.is_none() && before == Tree::new().root_cid() => {}
            None => return Err(VerifyError::NoPrevData),
        }
        Ok(CheckedCommit {
            did: self.did.clone(),
            rev: self.rev,
            since: self.since,
            commit: self.frame.commit,
            data,
            prev_data: self.frame.prev_data,
            ops,
        })
    }

    fn op(&self, op: &RepoOp<'_>) -> Result<CheckedOp, VerifyError> {
        let invalid = || VerifyError::OpInvalid {
            path: shown(op.path),
        };
        let (collection, rkey) = op.path.split_once('/').ok_or_else(invalid)?;
        let needs = match op.action {
            Action::Create => (true, false),
            Action::Update => (true, true),
            Action::Delete => (false, true),
        };
        if (op.cid.is_some(), op.prev.is_some()) != needs {
            return Err(invalid());
        }
        let record = match &op.cid {
            None => None,
            Some(cid) => Some(Bytes::copy_from_slice(
                self.limits.record(&self.car, cid, op.path)?,
            )),
        };
        Ok(CheckedOp {
            action: op.action,
            collection: collection.parse().map_err(|_| invalid())?,
            rkey: rkey.parse().map_err(|_| invalid())?,
            cid: op.cid,
            prev: op.prev,
            record,
        })
    }
}

/// As much of a hostile path as an error should carry.
fn shown(path: &str) -> String {
    path.chars().take(80).collect()
}

fn check_distinct(ops: &[RepoOp<'_>]) -> Result<(), VerifyError> {
    if ops.len() < 2 || fault::on("duplicate-path") {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(ops.len());
    match ops.iter().find(|op| !seen.insert(op.path)) {
        None => Ok(()),
        Some(op) => Err(VerifyError::DuplicatePath {
            path: shown(op.path),
        }),
    }
}
