//! Why an identity was not resolved.

use atcomms_lexicon::{Did, Handle};

use crate::guard::Refused;

/// Why an identity was not resolved.
///
/// [`ResolveError::is_transient`] tells the errors that time may cure (a directory that is down)
/// from those that stay until somebody changes a name or a document. Cloned to every caller that
/// waited for the same answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResolveError {
    /// The directory or host says that there is no such DID.
    #[error("{did} does not exist: {from} knows no document for it; check the DID")]
    NoSuchDid {
        /// The DID.
        did: Did,
        /// Who was asked.
        from: String,
    },
    /// The DID was given up by its owner.
    #[error("{did} was deleted by its owner")]
    Tombstoned {
        /// The DID.
        did: Did,
    },
    /// The DID's method, or its form, is none that atproto uses.
    #[error("{did} can't be resolved: {reason}")]
    Unsupported {
        /// The DID.
        did: Did,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The DID's document lacks what atproto needs, or is another's.
    #[error("the document of {did} is unusable: {problem}")]
    Document {
        /// The DID.
        did: Did,
        /// What is wrong with the document.
        problem: DocumentProblem,
    },
    /// Every way to resolve the handle answered, and none knows it.
    #[error("the handle {handle} does not resolve ({tried}); check its spelling")]
    HandleNotFound {
        /// The handle.
        handle: Handle,
        /// What was tried, and what each said.
        tried: String,
    },
    /// The handle's DNS records name several DIDs.
    #[error(
        "the handle {handle} names several DIDs in its DNS records ({dids}); \
         its owner must remove all but one"
    )]
    HandleConflict {
        /// The handle.
        handle: Handle,
        /// The DIDs, joined by commas.
        dids: String,
    },
    /// The handle points to a DID whose document names another handle.
    #[error(
        "the handle {handle} points to {did}, whose document does not name it: \
         it is not (or no longer) that account's handle"
    )]
    HandleMismatch {
        /// The handle.
        handle: Handle,
        /// Where it points.
        did: Did,
    },
    /// No connection is made to where the name leads.
    #[error("{subject} can't be resolved: {why}")]
    Refused {
        /// The DID or handle.
        subject: String,
        /// The guard's reason.
        why: Refused,
    },
    /// The answer is one that another request will not change.
    #[error("{subject} can't be resolved: {reason}")]
    Rejected {
        /// The DID or handle.
        subject: String,
        /// Who answered, and what.
        reason: String,
    },
    /// The server in question is down, overloaded or out of reach: try again later. Transient.
    #[error("{subject} can't be resolved now: {reason}; try again later")]
    Unavailable {
        /// The DID or handle.
        subject: String,
        /// Who did not answer, and how.
        reason: String,
    },
}

impl ResolveError {
    /// Whether trying again later may succeed without anybody changing a name or a document.
    /// A bad signature is not proven by a transient error.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// What makes a DID document unusable.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentProblem {
    /// It is no JSON object with an `id`.
    #[error("it is not a DID document ({0})")]
    Malformed(String),
    /// It belongs to another DID.
    #[error("it says it is the document of {0}")]
    WrongId(String),
    /// It has no `#atproto` key.
    #[error("it has no signing key (#atproto)")]
    NoKey,
    /// Its `#atproto` key can't be read.
    #[error("its signing key can't be read ({0})")]
    BadKey(String),
    /// It has no `#atproto_pds` service.
    #[error("it names no PDS (#atproto_pds)")]
    NoPds,
    /// Its PDS is no plain https URL.
    #[error("its PDS is not a usable URL ({0})")]
    BadPds(String),
}
