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
    let car = fetch(resolver, &identity, &collection, rkey).await?;
    let proven = match check(&identity, &collection, rkey, &car) {
        // The key may have been rotated since it was resolved.
        Err(VerifyError::Signature) => {
            check(&resolver.refresh(did).await?, &collection, rkey, &car)
        }
        proven => proven,
    };
    proven.map_err(|source| ProofError::Unproven {
        pds: identity.pds.to_string(),
        source,
    })
}

fn check(
    identity: &Identity,
    collection: &Nsid,
    rkey: &RecordKey,
    car: &[u8],
) -> Result<Option<Proven>, VerifyError> {
    let (did, key, limits) = (&identity.did, &identity.key, Limits::default());
    let proof = verify_record_proof(car, did, collection, rkey, key, micros(), &limits)?;
    let head = proof.head();
    Ok(proof.record().map(|(cid, bytes)| Proven {
        uri: AtUri::record(did, collection, rkey),
        cid,
        rev: head.rev(),
        commit: head.commit(),
        bytes: bytes.clone(),
    }))
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
