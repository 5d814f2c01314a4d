//! Records of one's own, by their URI, as the PDS has them.

use atcomms_lexicon::{
    Address, AtUri, Cid, Did, Nsid, Record, RecordKey, SyntaxError, Value, ValueError, cid_for_cbor,
};

use crate::error::XrpcError;
use crate::error_kind::ErrorKind;
use crate::pds::{self, Place};
use crate::publisher::Publisher;
use crate::receipt::Stored;

/// Why a record of one's own was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The URI is in another repository, which this account cannot change.
    #[error("{uri} is not in the repository of {own}: this account can only change its own")]
    NotOwn {
        /// The URI.
        uri: AtUri,
        /// The session's account.
        own: Did,
    },
    /// The record type's collection is no NSID.
    #[error("the record type has no records: {0}")]
    Collection(#[source] SyntaxError),
    /// The URI names no record.
    #[error("{uri} names no record: give one of the form at://DID/COLLECTION/KEY")]
    NotARecord {
        /// The URI.
        uri: AtUri,
    },
    /// What the PDS returned cannot be a record.
    #[error("{uri} holds what is no record: {source}")]
    Value {
        /// The URI.
        uri: AtUri,
        /// What is wrong with it.
        source: ValueError,
    },
    /// What the PDS returned does not have the CID that it says.
    #[error(
        "{uri} is {said} by the PDS's word and {got} by its bytes: the PDS alters records; tell its operator"
    )]
    CidMismatch {
        /// The URI.
        uri: AtUri,
        /// What the PDS says.
        said: Box<Cid>,
        /// The hash of what it returned.
        got: Box<Cid>,
    },
    /// The PDS did not list a collection.
    #[error("the records of {collection} were not listed: {source}")]
    Unlisted {
        /// The collection.
        collection: Nsid,
        /// Why.
        source: XrpcError,
    },
    /// The PDS gave no usable answer.
    #[error("{uri}: {source}")]
    Xrpc {
        /// The URI.
        uri: AtUri,
        /// Why.
        source: XrpcError,
    },
}

impl RecordError {
    /// What kind of failure it is, for exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Xrpc { source, .. } | Self::Unlisted { source, .. } => source.kind(),
            Self::NotOwn { .. } | Self::NotARecord { .. } | Self::Collection(_) => {
                ErrorKind::Invalid
            }
            _ => ErrorKind::Failed,
        }
    }
}

impl RecordError {
    /// Whether the same call may succeed later without the user doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Xrpc { source, .. } | Self::Unlisted { source, .. } if source.is_transient())
    }
}

impl Publisher {
    /// Reads a record of this account from its PDS, and checks its CID. `None` if it is not there.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`RecordError`] says why not.
    pub async fn get_record(&self, uri: &AtUri) -> Result<Option<Stored>, RecordError> {
        let place = self.place_of(uri)?;
        let uri = place.uri();
        let found = pds::get_record(self.session(), &place).await;
        let found = found.map_err(|source| RecordError::Xrpc {
            uri: uri.clone(),
            source,
        })?;
        let Some(found) = found else { return Ok(None) };
        let value = Value::from_json(found.value).map_err(|source| RecordError::Value {
            uri: uri.clone(),
            source,
        })?;
        let got = cid_for_cbor(&value.to_cbor());
        if got != found.cid {
            return Err(RecordError::CidMismatch {
                uri,
                said: Box::new(found.cid),
                got: Box::new(got),
            });
        }
        match value {
            Value::Map(value) => Ok(Some(Stored {
                uri,
                cid: got,
                value,
            })),
            _ => Err(RecordError::NotARecord { uri }),
        }
    }

    /// Whether this account has a record of type `R` with that key.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`RecordError`] if the PDS does not say.
    pub async fn exists<R: Record>(&self, key: &RecordKey) -> Result<bool, RecordError> {
        let collection: Nsid = R::NSID.parse().map_err(RecordError::Collection)?;
        let place = Place {
            repo: self.session().did().clone(),
            collection,
            rkey: key.clone(),
        };
        match pds::get_record(self.session(), &place).await {
            Ok(found) => Ok(found.is_some()),
            Err(source) => Err(RecordError::Xrpc {
                uri: place.uri(),
                source,
            }),
        }
    }

    /// The place that a URI of this account's repository names.
    pub(crate) fn place_of(&self, uri: &AtUri) -> Result<Place, RecordError> {
        let session = self.session();
        let own = match uri.authority() {
            Address::Did(did) => did == *session.did(),
            Address::Handle(handle) => handle == *session.handle(),
        };
        if !own {
            return Err(RecordError::NotOwn {
                uri: uri.clone(),
                own: session.did().clone(),
            });
        }
        match (uri.collection(), uri.rkey()) {
            (Some(collection), Some(rkey)) => Ok(Place {
                repo: session.did().clone(),
                collection,
                rkey,
            }),
            _ => Err(RecordError::NotARecord { uri: uri.clone() }),
        }
    }
}
