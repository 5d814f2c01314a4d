//! How many authors are looked up at once, so that nobody's look-ups hold up everybody's.

use std::sync::Arc;

use atcomms_lexicon::Did;
use tokio::sync::Semaphore;

/// Look-ups at once: authors are strangers, and must not make us flood a directory or their hosts.
const LOOKUPS_AT_ONCE: usize = 32;

/// The turns of look-ups. Strangers can be as many as they like, and a did:web's own host can take its time
/// with the answer: whoever the subscriber named does not wait for any of them, and a did:plc for no did:web.
pub(crate) struct LookupsAtOnce {
    named: Arc<Semaphore>,
    plc: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl LookupsAtOnce {
    pub(crate) fn new() -> Self {
        let turns = || Arc::new(Semaphore::new(LOOKUPS_AT_ONCE));
        Self {
            named: turns(),
            plc: turns(),
            others: turns(),
        }
    }

    /// Where this one waits for its turn.
    pub(crate) fn of(&self, did: &Did, named: bool) -> Arc<Semaphore> {
        match did.method() {
            _ if named => self.named.clone(),
            "plc" => self.plc.clone(),
            _ => self.others.clone(),
        }
    }
}
