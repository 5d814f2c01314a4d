//! The records that are known of followed repositories, for a subscription that keeps nothing on disk.

use std::collections::HashMap;

use atcomms_lexicon::Did;

use crate::engine::Outcome;
use crate::snapshot::KnownRecords;

/// In memory: some hundred bytes for each record in scope of a followed repository.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<Did, KnownRecords>);

impl Known {
    pub(crate) fn of(&self, did: &Did) -> KnownRecords {
        self.0.get(did).cloned().unwrap_or_default()
    }

    pub(crate) fn learn(&mut self, outcome: Outcome) {
        let (did, known) = match outcome {
            Outcome::Verified(verified) => (verified.did, verified.known),
            Outcome::Alone(Some((did, path, cid))) => (did, vec![(path, cid)]),
            Outcome::Alone(None) | Outcome::Unverified => return,
        };
        if known.is_empty() {
            return;
        }
        let records = self.0.entry(did).or_default();
        for (path, cid) in known {
            match cid {
                Some(cid) => drop(records.insert(path, cid)),
                None => drop(records.remove(&path)),
            }
        }
    }
}
