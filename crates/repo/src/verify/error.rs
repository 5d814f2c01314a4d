//! Why something is not believed.

use atcomms_lexicon::Tid;
use cid::Cid;
use thiserror::Error;

use crate::car::CarError;
use crate::commit::CommitError;
use crate::mst::{InvertError, MstError};

/// A commit, a head or a proof is not believed. [`VerifyError::reason`] is for counting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The blocks are larger than allowed.
    #[error("the blocks have {len} bytes; at most {max} are allowed")]
    BlocksTooLarge {
        /// Their length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// There are more operations than allowed.
    #[error("the commit has {count} operations; at most {max} are allowed")]
    TooManyOps {
        /// Their number.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A record is larger than allowed.
    #[error("the record at `{path}` has {len} bytes; at most {max} are allowed")]
    RecordTooLarge {
        /// Its path.
        path: String,
        /// Its length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// `rev` or `since` is not a TID.
    #[error("the rev, or the rev before it, is not a TID")]
    RevSyntax,
    /// The rev is of the future.
    #[error("rev {rev} is further ahead of our clock than clocks differ; check that ours is right")]
    FutureRev {
        /// The rev.
        rev: Tid,
    },
    /// The repository is not a DID.
    #[error("the repository is not a DID")]
    DidSyntax,
    /// The blocks cannot be read, or one does not hash to its CID.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The blocks are those of another commit.
    #[error("the blocks' root is {root}, and the envelope's commit {commit}")]
    Root {
        /// The root of the CAR.
        root: Box<Cid>,
        /// The commit of the envelope.
        commit: Box<Cid>,
    },
    /// The commit's block is not among the blocks.
    #[error("the commit's own block is missing")]
    CommitMissing,
    /// The commit's block is not a commit, or carries no signature.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The commit is of another repository than asked or said.
    #[error("the signed commit is of another repository than its envelope says")]
    OtherDid,
    /// The commit has another rev than its envelope.
    #[error("the signed commit has another rev than its envelope says")]
    OtherRev,
    /// The signature is not the key's.
    #[error(
        "the signature is not one of the repository's key; resolve the identity again, in case the key has changed"
    )]
    Signature,
    /// An operation has no valid path, or not the CIDs that its action has.
    #[error(
        "the operation on `{path}` has no valid path, or lacks or exceeds the CIDs of its action"
    )]
    OpInvalid {
        /// Its path, shortened.
        path: String,
    },
    /// Two operations are on one path.
    #[error("two operations are on `{path}`")]
    DuplicatePath {
        /// The path, shortened.
        path: String,
    },
    /// The record of an operation is not among the blocks.
    #[error("the record at `{path}` is not among the blocks")]
    RecordMissing {
        /// The path.
        path: String,
    },
    /// The tree cannot be read, or is not there as far as needed.
    #[error(transparent)]
    Tree(#[from] MstError),
    /// The signed tree is not one that the operations lead to.
    #[error(transparent)]
    Ops(InvertError),
    /// The operations are not all that was done.
    #[error(
        "undone, the operations lead to {before}, and not to {claimed}: operations were hidden or invented"
    )]
    Inversion {
        /// Where they lead to.
        before: Box<Cid>,
        /// The `prevData` of the envelope.
        claimed: Box<Cid>,
    },
    /// `prevData` is not there, and this is not a repository's first commit.
    #[error(
        "the envelope has no prevData, without which it cannot be shown that no operation is hidden"
    )]
    NoPrevData,
}

impl From<InvertError> for VerifyError {
    fn from(error: InvertError) -> Self {
        match error {
            InvertError::Tree(error) => Self::Tree(error),
            error => Self::Ops(error),
        }
    }
}

impl VerifyError {
    /// A stable name for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BlocksTooLarge { .. } => "blocks_too_large",
            Self::TooManyOps { .. } => "too_many_ops",
            Self::RecordTooLarge { .. } => "record_too_large",
            Self::RevSyntax => "rev_syntax",
            Self::FutureRev { .. } => "future_rev",
            Self::DidSyntax => "did_syntax",
            Self::Car(error) => error.reason(),
            Self::Root { .. } => "other_commit",
            Self::CommitMissing => "commit_missing",
            Self::Commit(CommitError::Missing("sig")) => "unsigned",
            Self::Commit(_) => "commit_malformed",
            Self::OtherDid => "other_did",
            Self::OtherRev => "other_rev",
            Self::Signature => "signature",
            Self::OpInvalid { .. } => "op_invalid",
            Self::DuplicatePath { .. } => "duplicate_path",
            Self::RecordMissing { .. } => "record_missing",
            Self::Tree(MstError::Missing(_)) => "mst_incomplete",
            Self::Tree(_) => "mst_malformed",
            Self::Ops(InvertError::StillInTree(_)) => "not_deleted",
            Self::Ops(_) => "op_not_in_tree",
            Self::Inversion { .. } => "inversion",
            Self::NoPrevData => "no_prev_data",
        }
    }
}
