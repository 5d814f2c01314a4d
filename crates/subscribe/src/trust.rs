//! How far an event can be believed, and how much of its repository's story we have seen.

use serde::Serialize;

/// Why an event can be believed. Ordered: a later one is worth more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Trust {
    /// A Jetstream server's word: no more can be checked than that the record is the one that its CID names.
    Jetstream,
    /// A relay's word: hashes, tree and operations agree with each other, but no key of the author
    /// was at hand to check the signature with.
    Relayed,
    /// The author's signature, every hash, the record's place in the signed tree, and that undoing
    /// the commit's operations leads to the tree before it.
    ///
    /// Of what came from a Jetstream and was raised by a proof: the author's signature, every hash, and that
    /// the record is in the signed tree, or for a delete is not. That it was there before, its rev, and
    /// whether it was made or changed are the Jetstream's word: one that lies can have a record delivered
    /// again as if it were new, and none that is not there.
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
