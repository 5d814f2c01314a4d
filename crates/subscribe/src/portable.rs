//! A proof to keep ([`PortableProof`]), made of what the PDS and the DID's directory say now.

use atcomms_identity::{Identity, Resolver};
use atcomms_lexicon::{Datetime, Did, Nsid, RecordKey};
use atcomms_repo::portable::{KeyDocument, PortableProof, PortableProofError};
use atcomms_repo::verify::Limits;

use crate::clock::micros;
use crate::proof::{ProofError, fetch};

/// Fetches a record with its proof, and makes a proof to keep of them and of the author's document, which is
/// resolved for it and never taken from a cache of long ago. Cancel safe.
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
    let document = document(&identity);
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
