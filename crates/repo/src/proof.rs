//! Proofs that travel: that a record is, or is not, in a repository at its latest commit, as
//! `com.atproto.sync.getRecord` gives them.

use atcomms_lexicon::{Did, Nsid, RecordKey};
use bytes::Bytes;
use cid::Cid;

use crate::car::{self, Block, Car};
use crate::commit::SignedCommit;
use crate::key::VerifyingKey;
use crate::mst::{MstError, Tree};
use crate::verify::{Limits, VerifiedHead, VerifyError};

/// Writes a CAR with the commit, the nodes on the way to the record, and the record if there is one.
///
/// # Errors
/// [`MstError::Missing`] if the tree is not loaded that far.
pub fn record_proof(
    commit: &SignedCommit,
    tree: &Tree,
    collection: &Nsid,
    rkey: &RecordKey,
    record: Option<&Block>,
) -> Result<Vec<u8>, MstError> {
    let nodes = tree.proof(&format!("{collection}/{rkey}"))?;
    let blocks = std::iter::once(commit.block()).chain(&nodes).chain(record);
    Ok(car::write(&commit.cid(), blocks))
}

/// A record that was proven to be in a repository at a commit, or not to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenRecord {
    head: VerifiedHead,
    record: Option<(Cid, Bytes)>,
}

impl ProvenRecord {
    /// The signed state of the repository in which the record is, or is not.
    #[must_use]
    pub fn head(&self) -> &VerifiedHead {
        &self.head
    }

    /// The CID of the record and its bytes; none if there is no such record.
    #[must_use]
    pub fn record(&self) -> Option<(Cid, &Bytes)> {
        self.record.as_ref().map(|(cid, bytes)| (*cid, bytes))
    }
}

/// Checks a proof of a record's presence or absence: hashes, signature, and the way from the
/// signed root to the record.
///
/// # Errors
/// [`VerifyError`]; `mst_incomplete` if the proof does not reach as far as the record.
pub fn verify_record_proof(
    bytes: &[u8],
    did: &Did,
    collection: &Nsid,
    rkey: &RecordKey,
    key: &VerifyingKey,
    now_micros: u64,
    limits: &Limits,
) -> Result<ProvenRecord, VerifyError> {
    if bytes.len() > limits.blocks_len {
        return Err(VerifyError::BlocksTooLarge {
            len: bytes.len(),
            max: limits.blocks_len,
        });
    }
    let car = Car::read(bytes)?;
    let head = VerifiedHead::verify(&car, did, key, now_micros, limits)?;
    let path = format!("{collection}/{rkey}");
    let record = match Tree::load(head.data(), &car)?.get(&path)? {
        None => None,
        Some(cid) => {
            let record = limits.record(&car, &cid, &path)?;
            Some((cid, Bytes::copy_from_slice(record)))
        }
    };
    Ok(ProvenRecord { head, record })
}
