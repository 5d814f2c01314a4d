//! An account of a devnet.

use atcomms_lexicon::{Did, Handle};
use serde::Serialize;

/// An account with all that is needed to log in to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Account {
    /// `NAME.test`.
    pub handle: Handle,
    /// Its did:plc.
    pub did: Did,
    /// Its password, in clear: a devnet protects nothing. Empty if the account was created without one.
    pub password: String,
    /// The address of its PDS, `http://localhost:PORT`.
    pub pds: String,
}
