//! A delivery of lesser trust, raised by its proof when somebody asks for it.

use atcomms_identity::Resolver;
use atcomms_lexicon::Tid;
use atcomms_repo::frame::Action;

use crate::delivery::Delivery;
use crate::proof::{ProofError, proof};
use crate::trust::Trust;

/// Why a delivery is not raised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RaiseError {
    /// No proof could be had.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The repository is another by now: the record was changed, deleted or written again since. Or it never
    /// was as it was said to be; that cannot be told.
    #[error(
        "{uri} is not, or not any more, as it was said to be: its repository proves otherwise at rev {rev}"
    )]
    Superseded {
        /// The record.
        uri: String,
        /// The rev of the proof.
        rev: Tid,
    },
    /// The PDS has not come as far as the delivery: try again later.
    #[error(
        "the PDS of {uri} is at rev {rev}, and not yet at that of the delivery: try again later"
    )]
    Behind {
        /// The record.
        uri: String,
        /// The rev of the proof.
        rev: Tid,
    },
}

impl<T> Delivery<T> {
    /// Proves this delivery by what its author's PDS has now, and makes it [`Trust::Verified`]: the record is
    /// there as it was delivered, or for a delete is not there, at the signed commit that then stands in
    /// `commit`. The `rev`, and whether the record was made or changed, stay the word of the source. One that
    /// is verified already is given back as it is. Cancel safe.
    ///
    /// # Errors
    /// [`RaiseError`]: no proof could be had, or it says something else.
    pub async fn raise(mut self, resolver: &Resolver) -> Result<Self, RaiseError> {
        if self.trust == Trust::Verified {
            return Ok(self);
        }
        let identity = resolver.resolve_did(&self.author).await;
        let identity = identity.map_err(ProofError::from)?;
        let proof = proof(resolver, &identity, &self.collection, &self.rkey).await?;
        let (uri, rev) = (self.uri.to_string(), proof.rev);
        if rev < self.rev {
            return Err(RaiseError::Behind { uri, rev });
        }
        let found = proof.record.map(|(cid, _)| cid);
        if found != self.cid || found.is_some() != (self.action != Action::Delete) {
            return Err(RaiseError::Superseded { uri, rev });
        }
        self.trust = Trust::Verified;
        self.commit = Some(proof.commit);
        Ok(self)
    }
}
