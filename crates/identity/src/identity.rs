//! What is known of an account once it is resolved.

use atcomms_lexicon::{Did, Handle};
use atcomms_repo::VerifyingKey;
use url::Url;

/// An account: who it is, which key signs its repository, and where its PDS is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The permanent name.
    pub did: Did,
    /// The handle that the document claims **and** that resolves back to this DID. Only
    /// [`Resolver::resolve`](crate::Resolver::resolve) looks; `None` if it did not, could not, or
    /// found otherwise.
    pub handle: Option<Handle>,
    /// The handle that the document claims, which may be anybody's.
    pub claimed_handle: Option<Handle>,
    /// The key that signs the repository's commits.
    pub key: VerifyingKey,
    /// The PDS: scheme, host and port, without a path.
    pub pds: Url,
}
