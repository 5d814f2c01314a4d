//! Who is let in, asked at two places: of every commit in scope before anything else is done about it, and
//! before a key is looked up or a signature checked. What is believed pays.

use atcomms_lexicon::Did;
use atcomms_repo::frame::{self, Frame};

use super::Engine;
use crate::admission::{Admission, Refusal, Spending};

/// An admission policy, and what was spent under it.
#[derive(Debug)]
pub(super) struct Gate {
    policy: Admission,
    authors: Spending,
    hosts: Spending,
}

impl Gate {
    pub(super) fn new(policy: Admission) -> Self {
        Self {
            authors: Spending::new(policy.per_author),
            hosts: Spending::new(policy.per_host),
            policy,
        }
    }
}

impl Engine {
    /// Whether somebody may write to us at all; if not, that much is counted. Allocates nothing for who may.
    pub(super) fn lets_in<'a>(
        &mut self,
        did: &str,
        paths: impl Iterator<Item = &'a str>,
        now: u64,
    ) -> bool {
        let policy = &self.gate.policy;
        let refusal = if policy.blocks.contains(did) {
            Refusal::Blocked
        } else if policy.contacts_only && !self.vouched_for(did) {
            Refusal::NotAContact
        } else {
            return true;
        };
        let events = paths.filter(|path| self.scope.wants_collection(path));
        let events = u64::try_from(events.count()).unwrap_or(u64::MAX);
        self.counters.refused(refusal, did, events.max(1), now);
        false
    }

    /// Whether the subscriber named this author: then it has no budget.
    pub(crate) fn vouched_for(&self, did: &str) -> bool {
        self.scope.follows(did) || self.gate.policy.contacts.contains(did)
    }

    /// Whether a budget forbids a commit; if so, that much is counted.
    pub(super) fn over_budget(
        &mut self,
        did: &Did,
        events: impl FnOnce(&Self) -> u64,
        now: u64,
    ) -> bool {
        if self.vouched_for(did.as_str()) {
            return false;
        }
        let repository = self.repositories.get_mut(did);
        let host = repository.and_then(|known| known.host.clone());
        let (refusal, who) = match &host {
            _ if !self.gate.authors.affords(did.as_str(), now) => {
                (Refusal::OverBudgetAuthor, did.as_str())
            }
            Some(host) if !self.gate.hosts.affords(host, now) => (Refusal::OverBudgetHost, &**host),
            _ => return false,
        };
        let events = events(self).max(1);
        self.counters.refused(refusal, who, events, now);
        true
    }

    /// A commit with so many events is believed: its author and its host have that much less, and one at
    /// least, for it had to be verified.
    pub(super) fn pay(&mut self, did: &Did, events: u64, now: u64) {
        if self.vouched_for(did.as_str()) {
            return;
        }
        let events = events.max(1);
        self.gate.authors.spend(did.as_str(), events, now);
        let repository = self.repositories.get_mut(did);
        if let Some(host) = repository.and_then(|known| known.host.clone()) {
            self.gate.hosts.spend(&host, events, now);
        }
    }

    /// How many events of a commit would be delivered.
    pub(super) fn events(&self, bytes: &[u8]) -> u64 {
        match frame::decode(bytes) {
            Ok(Frame::Commit(commit)) => self.wanted(&commit),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests;
