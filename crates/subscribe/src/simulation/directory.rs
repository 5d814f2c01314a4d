//! Who signs with which key and is on which PDS, as the directory knows it; and what a process remembers of it.

use std::collections::BTreeMap;

use atcomms_lexicon::Did;
use atcomms_repo::VerifyingKey;

use super::SECONDS;

/// How long a process believes what it was told: as the resolver by default.
const TTL: u64 = 3_600 * SECONDS;

/// What stands in a DID document.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) key: VerifyingKey,
    pub(super) pds: usize,
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: BTreeMap<Did, Vec<Owner>>,
    pub(super) down_until: u64,
    /// Until when a replica answers that is behind.
    pub(super) stale_until: u64,
}

impl Directory {
    pub(super) fn publish(&mut self, did: &Did, owner: Owner) {
        self.entries.entry(did.clone()).or_default().push(owner);
    }

    /// Asks it; `None` if it is down. The second says whether it was behind.
    fn ask(&self, did: &Did, now: u64) -> Option<(&Owner, bool)> {
        if now < self.down_until {
            return None;
        }
        let entries = self.entries.get(did)?;
        let behind = now < self.stale_until && entries.len() > 1;
        let from_end = if behind { 2 } else { 1 };
        Some((entries.get(entries.len() - from_end)?, behind))
    }
}

/// A process's cache of the directory.
#[derive(Debug, Default)]
pub(super) struct Cache(BTreeMap<Did, (u64, Owner)>);

impl Cache {
    pub(super) fn forget(&mut self, did: &Did) {
        self.0.remove(did);
    }

    /// Resolves, past what is remembered if `fresh`. The second says whether the directory was behind.
    pub(super) fn resolve(
        &mut self,
        directory: &Directory,
        did: &Did,
        fresh: bool,
        now: u64,
    ) -> Option<(Owner, bool)> {
        if !fresh
            && let Some((until, owner)) = self.0.get(did)
            && now < *until
        {
            return Some((owner.clone(), false));
        }
        let (owner, behind) = directory.ask(did, now)?;
        self.0.insert(did.clone(), (now + TTL, owner.clone()));
        Some((owner.clone(), behind))
    }
}
