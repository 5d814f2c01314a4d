//! How far an event can be believed, and how much of its repository's story we have seen.

use serde::Serialize;

/// Why an event can be believed. Ordered: a later one is worth more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Trust {
    /// A Jetstream server's word: nothing can be checked.
    Jetstream,
    /// A relay's word: hashes, tree and operations agree with each other, but no key of the author
    /// was at hand to check the signature with.
    Relayed,
    /// The author's signature, every hash, the record's place in the signed tree, and that undoing
    /// the commit's operations leads to the tree before it.
    Verified,
}

impl Trust {
    /// The word that stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Trust::Jetstream => "jetstream",
            Trust::Relayed => "relayed",
            Trust::Verified => "verified",
        }
    }
}

/// What is known of the commits of the same repository before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Continuity {
    /// The commit follows directly on one that we verified, or is the repository's first: nothing
    /// of this repository was hidden from us in between.
    Proven,
    /// The commit itself is verified, but not all of those before it were seen by us.
    Linked,
}

impl Continuity {
    /// The word that stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Continuity::Proven => "proven",
            Continuity::Linked => "linked",
        }
    }
}
