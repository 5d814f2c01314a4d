//! A repository's state, and how commits follow one another.

use atcomms_lexicon::{Did, Tid, fault};
use cid::Cid;

use super::{CheckedCommit, Limits, VerifyError};
use crate::car::Car;
use crate::commit::CommitBlock;
use crate::digest;
use crate::frame::SyncFrame;
use crate::key::VerifyingKey;

/// The state of a repository: its latest rev and the root of its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The rev of the latest commit.
    pub rev: Tid,
    /// The root of its tree.
    pub data: Cid,
}

impl Head {
    /// How a commit relates to this state.
    #[must_use]
    pub fn relation(&self, commit: &CheckedCommit) -> Relation {
        Relation::between(self, commit.rev, commit.since, commit.prev_data)
    }
}

/// How a commit relates to the state that was known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is not newer: it was seen already, or is from before.
    NotNewer,
    /// It comes right after it.
    Next,
    /// It is newer, and comes after another state: something was not seen.
    Gap,
}

impl Relation {
    pub(super) fn between(
        known: &Head,
        rev: Tid,
        since: Option<Tid>,
        prev_data: Option<Cid>,
    ) -> Self {
        if rev <= known.rev && !fault::on("rev-not-newer") {
            Self::NotNewer
        } else if (since == Some(known.rev) || fault::on("since"))
            && (prev_data == Some(known.data) || fault::on("prev-data"))
        {
            Self::Next
        } else {
            Self::Gap
        }
    }
}

/// A repository's state whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHead {
    did: Did,
    rev: Tid,
    commit: Cid,
    data: Cid,
}

impl VerifiedHead {
    /// The repository, whose key signed.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The rev.
    #[must_use]
    pub fn rev(&self) -> Tid {
        self.rev
    }

    /// The commit's CID.
    #[must_use]
    pub fn commit(&self) -> Cid {
        self.commit
    }

    /// The root of the tree.
    #[must_use]
    pub fn data(&self) -> Cid {
        self.data
    }

    /// The state, for comparing.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            rev: self.rev,
            data: self.data,
        }
    }

    /// Checks the commit that is a CAR's root: its repository, its rev and its signature.
    pub(crate) fn verify(
        car: &Car<'_>,
        did: &Did,
        key: &VerifyingKey,
        now_micros: u64,
        limits: &Limits,
    ) -> Result<Self, VerifyError> {
        let commit = car.root();
        let block = CommitBlock::parse(car.get_cbor(&commit).ok_or(VerifyError::CommitMissing)?)?;
        let rev = limits.rev(block.rev, now_micros)?;
        if block.did != did.as_str() {
            return Err(VerifyError::OtherDid);
        }
        block.verify(key).map_err(|_| VerifyError::Signature)?;
        Ok(Self {
            did: did.clone(),
            rev,
            commit,
            data: digest::cbor_cid(block.data),
        })
    }
}

/// Verifies a `#sync` frame: the state of a repository, signed.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_sync(
    frame: &SyncFrame<'_>,
    key: &VerifyingKey,
    now_micros: u64,
    limits: &Limits,
) -> Result<VerifiedHead, VerifyError> {
    if frame.blocks.len() > limits.blocks_len {
        return Err(VerifyError::BlocksTooLarge {
            len: frame.blocks.len(),
            max: limits.blocks_len,
        });
    }
    let did = frame.did.parse().map_err(|_| VerifyError::DidSyntax)?;
    let head = VerifiedHead::verify(&Car::read(frame.blocks)?, &did, key, now_micros, limits)?;
    if frame.rev.parse() != Ok(head.rev) {
        return Err(VerifyError::OtherRev);
    }
    Ok(head)
}
