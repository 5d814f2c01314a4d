//! A proof to keep ([`PortableProof`]), made of what the PDS and the DID's directory say now.

use atcomms_identity::{Identity, Resolver};
use atcomms_lexicon::{Datetime, Did, Nsid, RecordKey, Value};
use atcomms_repo::portable::{KeyDocument, PlcLog, PortableProof, PortableProofError};
use atcomms_repo::verify::Limits;

use crate::clock::micros;
use crate::proof::{ProofError, fetch};

/// Fetches a record with its proof, and makes a proof to keep of them and of the author's document, which is
/// resolved for it and never taken from a cache of long ago. The operations by which a did:plc vouches for its
/// key go with it, if the directory gives any that hold. Cancel safe.
///
/// # Errors
/// The owner or the PDS is not reached, what it gives proves nothing, or the record is not there
/// ([`ProofError::Absent`]).
pub async fn prove_to_keep(
    resolver: &Resolver,
    did: &Did,
    collection: &Nsid,
    rkey: &RecordKey,
) -> Result<PortableProof, ProofError> {
    let identity = resolver.refresh(did).await?;
    let mut document = document(&identity);
    document.log = log(resolver, &identity).await;
    let blocks = fetch(resolver, &identity, collection, rkey).await?;
    let (now, limits) = (micros(), Limits::default());
    PortableProof::new(&blocks, collection, rkey, document, now, &limits).map_err(|error| {
        let pds = identity.pds.to_string();
        match error {
            PortableProofError::Absent { uri, rev } => ProofError::Absent { uri, rev },
            PortableProofError::Signature => ProofError::OtherKey { pds },
            PortableProofError::Verify(source) => ProofError::Unproven { pds, source },
            source => ProofError::Unkept { pds, source },
        }
    })
}

/// The document as it was resolved just now.
fn document(identity: &Identity) -> KeyDocument {
    let (did, key) = (identity.did.clone(), identity.key.clone());
    let mut document = KeyDocument::new(did, key, Datetime::now());
    document.handle.clone_from(&identity.claimed_handle);
    document.pds = identity.pds.as_str().parse().ok();
    document
}

/// The operations that lead to the key. A proof is worth something without them, and says that it has none.
async fn log(resolver: &Resolver, identity: &Identity) -> Option<PlcLog> {
    let did = &identity.did;
    let operations = match resolver.operations(did).await {
        Ok(operations) if operations.is_empty() => return None,
        Ok(operations) => operations,
        Err(error) => {
            tracing::warn!(%did, %error, "the DID's operations could not be fetched, and are not in the proof");
            return None;
        }
    };
    let values: Result<_, _> = operations.into_iter().map(Value::from_json).collect();
    match values.map(|values| PlcLog::verify(did, values)) {
        Ok(Ok(log)) if *log.key() == identity.key => Some(log),
        other => {
            tracing::warn!(%did, found = ?other.map(|log| log.err()), "the DID's operations do not lead to its key, and are not in the proof");
            None
        }
    }
}
