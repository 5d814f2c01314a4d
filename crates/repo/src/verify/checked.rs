//! What has passed the checks, as types that nothing else makes.

use atcomms_lexicon::{Did, Nsid, RecordKey, Tid};
use bytes::Bytes;
use cid::Cid;

use super::Head;
use crate::frame::Action;

/// A commit that was verified in full: it is signed by the repository's key, and its operations are all
/// that it did. Only [`verify_commit`](super::verify_commit) and [`OpenCommit::verify`](super::OpenCommit::verify) make one. What it says is read as
/// that of a [`CheckedCommit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCommit(pub(super) CheckedCommit);

impl std::ops::Deref for VerifiedCommit {
    type Target = CheckedCommit;

    fn deref(&self) -> &CheckedCommit {
        &self.0
    }
}

impl From<VerifiedCommit> for CheckedCommit {
    fn from(commit: VerifiedCommit) -> Self {
        commit.0
    }
}

/// A commit that agrees with itself: hashes, tree and operations. Whether its repository's key signed it
/// is not said: that is what a [`VerifiedCommit`] is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCommit {
    pub(super) did: Did,
    pub(super) rev: Tid,
    pub(super) since: Option<Tid>,
    pub(super) commit: Cid,
    pub(super) data: Cid,
    pub(super) prev_data: Option<Cid>,
    pub(super) ops: Vec<CheckedOp>,
}

impl CheckedCommit {
    /// The repository.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The rev.
    #[must_use]
    pub fn rev(&self) -> Tid {
        self.rev
    }

    /// The rev of the commit before, as the envelope says; the signature does not cover it.
    #[must_use]
    pub fn since(&self) -> Option<Tid> {
        self.since
    }

    /// The commit's CID.
    #[must_use]
    pub fn commit(&self) -> Cid {
        self.commit
    }

    /// The root of the tree after the commit.
    #[must_use]
    pub fn data(&self) -> Cid {
        self.data
    }

    /// The root of the tree before the commit; none for the first one.
    #[must_use]
    pub fn prev_data(&self) -> Option<Cid> {
        self.prev_data
    }

    /// What the commit did, in the envelope's order.
    #[must_use]
    pub fn ops(&self) -> &[CheckedOp] {
        &self.ops
    }

    /// Takes the operations out.
    #[must_use]
    pub fn into_ops(self) -> Vec<CheckedOp> {
        self.ops
    }

    /// The repository's state after the commit.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            rev: self.rev,
            data: self.data,
        }
    }
}

/// An operation of a checked commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedOp {
    pub(super) action: Action,
    pub(super) collection: Nsid,
    pub(super) rkey: RecordKey,
    pub(super) cid: Option<Cid>,
    pub(super) prev: Option<Cid>,
    pub(super) record: Option<Bytes>,
}

impl CheckedOp {
    /// What was done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The collection of the record.
    #[must_use]
    pub fn collection(&self) -> &Nsid {
        &self.collection
    }

    /// The key of the record.
    #[must_use]
    pub fn rkey(&self) -> &RecordKey {
        &self.rkey
    }

    /// The CID of the record; none if it was deleted.
    #[must_use]
    pub fn cid(&self) -> Option<Cid> {
        self.cid
    }

    /// The CID of the record before; none if it was created.
    #[must_use]
    pub fn prev(&self) -> Option<Cid> {
        self.prev
    }

    /// The record's bytes, which hash to the CID; none if it was deleted. They may still not be a
    /// record that anyone can read.
    #[must_use]
    pub fn record(&self) -> Option<&Bytes> {
        self.record.as_ref()
    }
}
