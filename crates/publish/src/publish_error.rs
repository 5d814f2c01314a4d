//! Why a record was not published.

use atcomms_lexicon::{AtUri, Cid, Did, EncodeError, KeyType, SyntaxError};

use crate::error::XrpcError;
use crate::error_kind::ErrorKind;
use crate::record::RecordError;
use crate::upload::UploadError;

/// Why a record was not published, or not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The record breaks a limit of its lexicon or of the data model. Nothing was sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The record names another author than the account that signs it. Readers would refuse it.
    #[error(
        "the record names {claimed} as its author, and would be signed by {own}: name {own}, or publish it as {claimed}"
    )]
    ForeignSender {
        /// Whom the record names.
        claimed: String,
        /// The session's account.
        own: Did,
    },
    /// The record type's collection is no NSID.
    #[error("the record type cannot be published: {0}")]
    Collection(#[source] SyntaxError),
    /// The key is not of the kind that the collection has.
    #[error(
        "{key:?} cannot be the key of a {nsid}, whose keys are {expected}: leave it out, or give such a one"
    )]
    Key {
        /// The key that was given.
        key: String,
        /// The collection.
        nsid: &'static str,
        /// The collection's kind of key.
        expected: KeyType,
    },
    /// An update must say which record it updates.
    #[error("which {nsid} is to be updated? Give its key")]
    KeyNeeded {
        /// The collection.
        nsid: &'static str,
    },
    /// The key holds another record. Nothing was written.
    #[error(
        "{uri} holds another record already ({found}): to replace it, put instead of publish; to keep both, use another key"
    )]
    KeyTaken {
        /// The place.
        uri: AtUri,
        /// What is there.
        found: Box<Cid>,
    },
    /// The record to be replaced is not the one that was expected. Nothing was written.
    #[error("{uri} has changed: it is {} instead of {expected}; read it again and decide anew", shown(.found.as_deref()))]
    SwapFailed {
        /// The place.
        uri: AtUri,
        /// What should have been there.
        expected: Box<Cid>,
        /// What is there, if anything.
        found: Option<Box<Cid>>,
    },
    /// The PDS stored other bytes than it was sent.
    #[error(
        "{pds} stored {uri} as {got}, and {expected} was sent: the PDS alters records; read it, delete it if it is wrong, and tell the PDS's operator"
    )]
    CidMismatch {
        /// The PDS.
        pds: String,
        /// The place.
        uri: AtUri,
        /// The CID of what was sent.
        expected: Box<Cid>,
        /// What the PDS says.
        got: Box<Cid>,
    },
    /// An attachment was not uploaded. The record was not written.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A record that was to be looked at first was not read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The answer was lost, and whether the record was written could not be found out.
    #[error(
        "whether {uri} was written is not known ({source}): publish it again with the same key, which writes it at most once"
    )]
    Unconfirmed {
        /// The place. Its record key is the key to use again.
        uri: AtUri,
        /// What went wrong last.
        source: XrpcError,
    },
    /// The PDS gave no usable answer, and nothing was written.
    #[error("{uri} was not written: {source}")]
    Xrpc {
        /// The place.
        uri: AtUri,
        /// Why.
        source: XrpcError,
    },
}

impl PublishError {
    /// What kind of failure it is, for exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Xrpc { source, .. } | Self::Unconfirmed { source, .. } => source.kind(),
            Self::Upload(error) => error.kind(),
            Self::Record(error) => error.kind(),
            Self::KeyTaken { .. } => ErrorKind::KeyTaken,
            Self::SwapFailed { .. } => ErrorKind::Refused,
            Self::CidMismatch { .. } => ErrorKind::Failed,
            _ => ErrorKind::Invalid,
        }
    }

    /// Whether the same call, with the same key, may succeed later without the user doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Xrpc { source, .. } | Self::Unconfirmed { source, .. } => source.is_transient(),
            Self::Upload(error) => error.is_transient(),
            Self::Record(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether the PDS has lost a blob that was uploaded before.
    pub(crate) fn is_blob_missing(&self) -> bool {
        matches!(self, Self::Xrpc { source, .. } if source.name() == Some("BlobNotFound"))
    }
}

fn shown(found: Option<&Cid>) -> String {
    found.map_or_else(|| "gone".to_owned(), Cid::to_string)
}
