//! What a subscriber wants to see: whose repositories, which collections, which actions.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use atcomms_lexicon::{Did, Nsid};
use atcomms_repo::frame::Action;

/// Whose repositories are in scope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who {
    /// Everybody who writes a record under the collections of the scope.
    Anyone,
    /// Everybody, and of these repositories every commit, as if only they were named.
    AnyoneAnd(HashSet<Did>),
    /// These repositories only; each of their commits is verified, also those without a record for us,
    /// so that a commit that was hidden is noticed.
    Peers(HashSet<Did>),
}

impl Who {
    /// The repositories that are followed by name.
    pub(crate) fn followed(&self) -> Option<&HashSet<Did>> {
        match self {
            Who::Peers(peers) | Who::AnyoneAnd(peers) => Some(peers),
            Who::Anyone => None,
        }
    }

    /// The same without those that `blocks` names.
    pub(crate) fn without(mut self, blocks: impl Fn(&str) -> bool) -> Self {
        if let Who::Peers(peers) | Who::AnyoneAnd(peers) = &mut self {
            peers.retain(|did| !blocks(did.as_str()));
        }
        self
    }
}

/// A collection by name (`agent.comms.message`) or all below a prefix (`agent.comms.*`, or `*`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CollectionPattern {
    /// One collection.
    Exact(Nsid),
    /// Every collection that starts with this; it ends with a dot, or is empty for all.
    Prefix(String),
}

/// A collection pattern that is neither an NSID nor a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a collection: write an NSID such as agent.comms.message, or a prefix such as agent.comms.*"
)]
pub struct PatternError(String);

impl CollectionPattern {
    /// Takes a collection, or a path that begins with one: no pattern has a slash.
    fn matches(&self, path: &str) -> bool {
        match self {
            CollectionPattern::Exact(nsid) => path
                .strip_prefix(nsid.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            CollectionPattern::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for CollectionPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let fail = || PatternError(text.to_owned());
        let Some(prefix) = text.strip_suffix('*') else {
            return text
                .parse()
                .map(CollectionPattern::Exact)
                .map_err(|_| fail());
        };
        if prefix.is_empty() {
            return Ok(CollectionPattern::Prefix(String::new()));
        }
        // A prefix is right when any name below it would be an NSID.
        match prefix.ends_with('.') && format!("{prefix}any.name").parse::<Nsid>().is_ok() {
            true => Ok(CollectionPattern::Prefix(prefix.to_owned())),
            false => Err(fail()),
        }
    }
}

impl fmt::Display for CollectionPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CollectionPattern::Exact(nsid) => write!(out, "{nsid}"),
            CollectionPattern::Prefix(prefix) => write!(out, "{prefix}*"),
        }
    }
}

/// What a subscriber wants to see. No collection means all below `agent.comms.*`; no action means all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    who: Who,
    collections: Vec<CollectionPattern>,
    actions: Vec<Action>,
    left_out: HashSet<Did>,
}

impl Scope {
    /// The scope of these repositories, collections and actions.
    pub fn new(who: Who, mut collections: Vec<CollectionPattern>, actions: Vec<Action>) -> Self {
        if collections.is_empty() {
            collections.push(CollectionPattern::Prefix("agent.comms.".to_owned()));
        }
        Scope {
            who,
            collections,
            actions,
            left_out: HashSet::new(),
        }
    }

    /// The same, of which nothing that these repositories write is delivered.
    #[must_use]
    pub fn leave_out(mut self, authors: impl IntoIterator<Item = Did>) -> Self {
        self.left_out.extend(authors);
        self
    }

    /// Whether nothing of this repository is delivered.
    pub fn leaves_out(&self, did: &str) -> bool {
        self.left_out.contains(did)
    }

    /// Whose repositories are in scope.
    pub(crate) fn who(&self) -> &Who {
        &self.who
    }

    /// Which collections are in scope; at least one.
    pub(crate) fn collections(&self) -> &[CollectionPattern] {
        &self.collections
    }

    /// Whether this repository is followed by name.
    pub fn follows(&self, did: &str) -> bool {
        let followed = self.who.followed();
        followed.is_some_and(|followed| followed.contains(did))
    }

    /// The repositories that are followed by name.
    pub(crate) fn followed(&self) -> Vec<Did> {
        let followed = self.who.followed();
        followed.into_iter().flatten().cloned().collect()
    }

    /// Whether a commit with these paths needs a look: it is of a followed repository, or anyone may
    /// write to us and it touches our collections.
    pub fn wants_commit<'a>(&self, did: &str, mut paths: impl Iterator<Item = &'a str>) -> bool {
        self.follows(did)
            || !matches!(self.who, Who::Peers(_))
                && paths.any(|path| self.wants_collection(path))
                && !self.leaves_out(did)
    }

    /// Whether records of this collection, or of this path's collection, are in scope.
    pub fn wants_collection(&self, collection: &str) -> bool {
        self.collections
            .iter()
            .any(|pattern| pattern.matches(collection))
    }

    /// Whether an operation of a commit in scope is to be delivered.
    pub fn wants_operation(&self, action: Action, collection: &str) -> bool {
        (self.actions.is_empty() || self.actions.contains(&action))
            && self.wants_collection(collection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_below_it_and_not_beside_it() {
        let pattern: CollectionPattern = "agent.comms.*".parse().unwrap();
        assert!(pattern.matches("agent.comms.message"));
        assert!(!pattern.matches("agent.commsother.message"));
        let exact: CollectionPattern = "agent.comms.message".parse().unwrap();
        assert!(exact.matches("agent.comms.message") && exact.matches("agent.comms.message/1"));
        assert!(!exact.matches("agent.comms.messages/1") && !exact.matches("agent.comms/message"));
        assert_eq!(pattern.to_string(), "agent.comms.*");
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_an_example() {
        for wrong in ["", "agent", "agent.comms*", ".*", "agent..*", "a b.c.*"] {
            let error = wrong.parse::<CollectionPattern>().unwrap_err();
            assert!(
                error.to_string().contains("agent.comms.*"),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn peers_are_wanted_whole_and_strangers_by_their_paths() {
        let did: Did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
        let peers = Scope::new(Who::Peers([did.clone()].into()), vec![], vec![]);
        assert!(peers.wants_commit(did.as_str(), ["app.bsky.feed.post/1"].into_iter()));
        assert!(!peers.wants_commit("did:plc:b", ["agent.comms.message/1"].into_iter()));
        let anyone = Scope::new(Who::Anyone, vec![], vec![Action::Create]);
        assert!(anyone.wants_commit(
            "did:plc:b",
            ["a.b.c/1", "agent.comms.message/1"].into_iter()
        ));
        assert!(!anyone.wants_commit("did:plc:b", ["app.bsky.feed.post/1"].into_iter()));
        let both = Scope::new(Who::AnyoneAnd([did.clone()].into()), vec![], vec![]);
        assert!(both.wants_commit(did.as_str(), ["app.bsky.feed.post/1"].into_iter()));
        assert!(both.wants_commit("did:plc:b", ["agent.comms.message/1"].into_iter()));
        assert!(!both.wants_commit("did:plc:b", ["app.bsky.feed.post/1"].into_iter()));
        assert!(!anyone.wants_operation(Action::Delete, "agent.comms.message"));
    }
}
