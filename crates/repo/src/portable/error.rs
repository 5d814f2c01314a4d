//! Why a proof does not hold.

use atcomms_lexicon::{AtUri, Tid, ValueError};
use thiserror::Error;

use super::plc::PlcLogError;
use crate::car::CarError;
use crate::key::KeyError;
use crate::verify::VerifyError;

/// A proof is not made, or not believed. [`PortableProofError::reason`] is for counting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PortableProofError {
    /// The CAR does not have two roots.
    #[error(
        "the CAR has no second root that says what it proves: it is no proof to keep, but perhaps the answer of com.atproto.sync.getRecord, which lacks the key"
    )]
    NoStatement,
    /// The second root's block is not there.
    #[error("the statement, which is the CAR's second root, is not among its blocks")]
    StatementMissing,
    /// The second root is not a statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The commit was not signed by the key of the document.
    #[error("the commit is not signed by the key of the document that the proof carries")]
    Signature,
    /// The tree holds no such record: what is proven is that it is absent.
    #[error("{uri} is proven to be absent at rev {rev}; absence is no proof of a record")]
    Absent {
        /// The record that is not there.
        uri: Box<AtUri>,
        /// The rev at which it is not there.
        rev: Tid,
    },
    /// There are blocks that prove nothing.
    #[error("the proof holds blocks that do not belong to it")]
    Surplus,
    /// The commit, the tree, the record or the CAR is not believed.
    #[error(transparent)]
    Verify(VerifyError),
}

impl From<VerifyError> for PortableProofError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Signature => Self::Signature,
            error => Self::Verify(error),
        }
    }
}

impl From<CarError> for PortableProofError {
    fn from(error: CarError) -> Self {
        Self::Verify(error.into())
    }
}

impl PortableProofError {
    /// A stable name for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoStatement => "no_statement",
            Self::StatementMissing => "statement_missing",
            Self::Statement(_) => "statement",
            Self::Signature => "signature",
            Self::Absent { .. } => "absent",
            Self::Surplus => "surplus",
            Self::Verify(error) => error.reason(),
        }
    }
}

/// A block is not a statement that is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The block is not DAG-CBOR.
    #[error("the proof's statement cannot be read: {0}")]
    Malformed(#[from] ValueError),
    /// A field is not there, or does not have its syntax.
    #[error("the proof's statement has no `{0}`, or not of the syntax that it has")]
    Field(&'static str),
    /// It is of another version.
    #[error("the proof is of version {0}; only version 1 is known: use a newer atcomms")]
    Version(i64),
    /// The document is of another DID than the record.
    #[error("the proof's document is of another DID than its record")]
    OtherDid,
    /// The document's key cannot be used.
    #[error("the key of the proof's document cannot be used: {0}")]
    Key(#[from] KeyError),
    /// The operations do not lead from the DID to the document's key.
    #[error("the proof's log does not lead from the DID to the document's key: {0}")]
    Log(#[from] PlcLogError),
}
