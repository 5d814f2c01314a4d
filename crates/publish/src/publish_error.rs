//! Why a record was not published.

use atcomms_lexicon::{AtUri, Cid, Did, EncodeError, KeyType, SyntaxError};
use atcomms_store::{AcceptError, Entry, StoreError};

use crate::error_kind::ErrorKind;
use crate::record::RecordError;
use crate::upload::UploadError;

/// Why a record was not accepted, or not written after it was. An outage of the PDS is no error: what
/// was accepted waits for it.
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
        "{uri} is stored as {got}, and {expected} was sent: the PDS alters records; read it, delete it if it is wrong, and tell the PDS's operator"
    )]
    CidMismatch {
        /// The place.
        uri: AtUri,
        /// The CID of what was sent.
        expected: Box<Cid>,
        /// What the PDS says.
        got: Box<Cid>,
    },
    /// An attachment cannot be sent. Nothing was accepted.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The URI names no record of this account. Nothing was accepted.
    #[error(transparent)]
    Record(Box<RecordError>),
    /// The caller's own key cannot be one.
    #[error("a key for `once` has between 1 and {limit} bytes: give such a one")]
    Once {
        /// The longest, in bytes.
        limit: usize,
    },
    /// The store did not accept it.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// One of its attachments cannot be uploaded. Nothing was written.
    #[error("{uri} was not written: {reason}")]
    Attachment {
        /// The place.
        uri: AtUri,
        /// Why not.
        reason: String,
    },
    /// The PDS refused it for good. Nothing was written.
    #[error("{uri} was not written: {reason}")]
    Refused {
        /// The place.
        uri: AtUri,
        /// The error's name, such as `InvalidRequest`.
        name: String,
        /// What the PDS said.
        reason: String,
    },
    /// It is accepted and waits, and will wait until somebody does something.
    #[error("{uri} is accepted and waits: {reason}")]
    Stuck {
        /// The place.
        uri: AtUri,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// It was given up by somebody who edited the outbox.
    #[error("{uri} was given up: somebody took it out of the outbox")]
    GivenUp {
        /// The place.
        uri: AtUri,
    },
    /// The publisher is gone. What was accepted is written by the next one that uses the store.
    #[error("{uri} is accepted, and the publisher is gone: the next one of this store writes it")]
    Closed {
        /// The place.
        uri: AtUri,
    },
}

impl PublishError {
    /// What kind of failure it is, for exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Upload(error) => error.kind(),
            Self::Record(error) => error.kind(),
            Self::KeyTaken { .. } => ErrorKind::KeyTaken,
            Self::SwapFailed { .. } | Self::Refused { .. } | Self::Stuck { .. } => {
                ErrorKind::Refused
            }
            Self::CidMismatch { .. }
            | Self::GivenUp { .. }
            | Self::Closed { .. }
            | Self::Accept(AcceptError::Store(_)) => ErrorKind::Failed,
            _ => ErrorKind::Invalid,
        }
    }

    /// Why an entry of the outbox has failed.
    pub(crate) fn of(entry: &Entry) -> Self {
        let uri = entry.uri();
        let name = entry.failure.clone().unwrap_or_default();
        let found = entry.found.map(Box::new);
        match (name.as_str(), found, entry.swap, entry.cid) {
            (KEY_TAKEN, Some(found), ..) => Self::KeyTaken { uri, found },
            (SWAP_FAILED, found, Some(expected), _) => Self::SwapFailed {
                uri,
                expected: Box::new(expected),
                found,
            },
            (CID_MISMATCH, Some(got), _, Some(expected)) => Self::CidMismatch {
                uri,
                expected: Box::new(expected),
                got,
            },
            (ATTACHMENT, ..) => Self::Attachment {
                uri,
                reason: entry.reason.clone().unwrap_or_default(),
            },
            _ => Self::Refused {
                uri,
                name,
                reason: entry.reason.clone().unwrap_or_default(),
            },
        }
    }
}

impl From<RecordError> for PublishError {
    fn from(error: RecordError) -> Self {
        Self::Record(Box::new(error))
    }
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Accept(error.into())
    }
}

/// The failure of a creation whose key holds another record.
pub(crate) const KEY_TAKEN: &str = "KeyTaken";
/// The failure of a record whose attachment cannot be uploaded.
pub(crate) const ATTACHMENT: &str = "Attachment";
/// The failure of a change of what has changed.
pub(crate) const SWAP_FAILED: &str = "SwapFailed";
/// The failure of a write that the PDS altered.
pub(crate) const CID_MISMATCH: &str = "CidMismatch";

fn shown(found: Option<&Cid>) -> String {
    found.map_or_else(|| "gone".to_owned(), Cid::to_string)
}
