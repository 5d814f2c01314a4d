//! One record by its proof: fetched from the PDS of its repository (`com.atproto.sync.getRecord`), and
//! believed for its signature, not for where it came from.

use std::time::Duration;

use atcomms_identity::{
    BodyError, Identity, Refused, RequestError, ResolveError, Resolver, read_body,
};
use atcomms_lexicon::{AtUri, Cid, Did, Nsid, RecordKey, SyntaxError, Tid};
use atcomms_repo::portable::PortableProofError;
use atcomms_repo::proof::verify_record_proof;
use atcomms_repo::verify::{Limits, VerifyError};
use bytes::Bytes;
use reqwest::StatusCode;

use crate::clock::micros;

/// A proof is small, and a caller waits for it.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A record has at most 1 MB, the nodes on the way to it a few kilobytes each.
const MAX_BYTES: usize = 2_000_000;

/// A record that is in its author's repository now, proven by the author's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proven {
    /// Where it is.
    pub uri: AtUri,
    /// Its content, by hash.
    pub cid: Cid,
    /// The revision of the repository in which it was found; it may have been written long before.
    pub rev: Tid,
    /// The signed commit of that revision, by hash.
    pub commit: Cid,
    /// The record as it was signed (DAG-CBOR).
    pub bytes: Bytes,
}

/// Why a record could not be proven.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The collection is no NSID.
    #[error(transparent)]
    Collection(#[from] SyntaxError),
    /// The repository's owner could not be found.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The PDS is at an address where no connection is made.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The PDS was not reached.
    #[error("the proof could not be fetched from {pds}: {source}")]
    Request {
        /// The PDS.
        pds: String,
        /// What the network said.
        source: RequestError,
    },
    /// The PDS answered with something else.
    #[error("{pds} answered with status {status} instead of a proof")]
    Status {
        /// The PDS.
        pds: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// The PDS's answer broke off, or does not end.
    #[error("the proof could not be read: {0}")]
    Body(#[from] BodyError),
    /// What came is no proof.
    #[error("{pds} gave a proof that does not hold: {source}")]
    Unproven {
        /// The PDS.
        pds: String,
        /// What is wrong with it.
        source: VerifyError,
    },
    /// The record is not there. Only for a proof to keep, of which there is none then.
    #[error("{uri} is not there: its repository proves that it has no such record at rev {rev}")]
    Absent {
        /// The record.
        uri: Box<AtUri>,
        /// The rev at which it is not there.
        rev: Tid,
    },
    /// The repository is signed by another key than that of the author's document of now. Only for a proof
    /// to keep, which must have the key that signed.
    #[error(
        "the repository at {pds} is not signed by the key that its owner's document names now; if the key was just changed, try again after the owner's next write"
    )]
    OtherKey {
        /// The PDS.
        pds: String,
    },
    /// A proof to keep cannot be made.
    #[error("what {pds} gave cannot be kept as a proof: {source}")]
    Unkept {
        /// The PDS.
        pds: String,
        /// Why not.
        source: PortableProofError,
    },
}

impl ProofError {
    /// Whether the same may succeed later, without anybody changing a name, a document or a repository.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Resolve(error) => error.is_transient(),
            Self::Request { source, .. } => !matches!(source, RequestError::Refused(_)),
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Body(error) => matches!(error, BodyError::Http(_)),
            _ => false,
        }
    }

    /// Whether it may come of a document that is out of date: the account moved, or its key was rotated.
    fn may_be_moved(&self) -> bool {
        match self {
            Self::Status { status, .. } => status.is_client_error() && !self.is_transient(),
            Self::Unproven { source, .. } => matches!(source, VerifyError::Signature),
            _ => false,
        }
    }
}

/// What a repository proves of one of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The revision of the repository in which it is so.
    pub(crate) rev: Tid,
    /// Its signed commit, by hash.
    pub(crate) commit: Cid,
    /// The record, if it is there.
    pub(crate) record: Option<(Cid, Bytes)>,
}

/// Fetches a record with its proof; `None` if the repository proves that it is not there. Cancel safe.
///
/// # Errors
/// The owner or the PDS is not reached, or what it gives proves nothing.
pub async fn prove(
    resolver: &Resolver,
    did: &Did,
    collection: &str,
    rkey: &RecordKey,
) -> Result<Option<Proven>, ProofError> {
    let collection: Nsid = collection.parse()?;
    let identity = resolver.resolve_did(did).await?;
    let proof = proof(resolver, &identity, &collection, rkey).await?;
    Ok(proof.record.map(|(cid, bytes)| Proven {
        uri: AtUri::record(did, &collection, rkey),
        cid,
        rev: proof.rev,
        commit: proof.commit,
        bytes,
    }))
}

/// Fetches what a repository proves of a record. The identity is looked up anew, once, where it may be that
/// the account has moved or has another key.
pub(crate) async fn proof(
    resolver: &Resolver,
    identity: &Identity,
    collection: &Nsid,
    rkey: &RecordKey,
) -> Result<Proof, ProofError> {
    match proof_of(resolver, identity, collection, rkey).await {
        Err(error) if error.may_be_moved() => {
            let fresh = resolver.refresh(&identity.did).await?;
            if (&fresh.pds, &fresh.key) == (&identity.pds, &identity.key) {
                return Err(error);
            }
            proof_of(resolver, &fresh, collection, rkey).await
        }
        proof => proof,
    }
}

async fn proof_of(
    resolver: &Resolver,
    identity: &Identity,
    collection: &Nsid,
    rkey: &RecordKey,
) -> Result<Proof, ProofError> {
    let car = fetch(resolver, identity, collection, rkey).await?;
    let (did, key, limits) = (&identity.did, &identity.key, Limits::default());
    let proof = verify_record_proof(&car, did, collection, rkey, key, micros(), &limits);
    let proof = proof.map_err(|source| ProofError::Unproven {
        pds: identity.pds.to_string(),
        source,
    })?;
    let head = proof.head();
    Ok(Proof {
        rev: head.rev(),
        commit: head.commit(),
        record: proof.record().map(|(cid, bytes)| (cid, bytes.clone())),
    })
}

/// The answer of `com.atproto.sync.getRecord`, unread.
pub(crate) async fn fetch(
    resolver: &Resolver,
    identity: &Identity,
    collection: &Nsid,
    rkey: &RecordKey,
) -> Result<Bytes, ProofError> {
    let pds = || identity.pds.to_string();
    let mut url = identity.pds.clone();
    url.set_path("/xrpc/com.atproto.sync.getRecord");
    url.query_pairs_mut()
        .append_pair("did", identity.did.as_str())
        .append_pair("collection", collection.as_str())
        .append_pair("rkey", rkey.as_str());
    let request = resolver.client().get(url)?.timeout(TIMEOUT);
    let sent = request.send().await;
    let response = sent.map_err(|error| ProofError::Request {
        pds: pds(),
        source: error.into(),
    })?;
    if !response.status().is_success() {
        return Err(ProofError::Status {
            pds: pds(),
            status: response.status(),
        });
    }
    Ok(read_body(response, MAX_BYTES).await?)
}
