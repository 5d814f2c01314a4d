//! What is written here, for subscribers in the same process.

use atcomms_store::Entry;
use tokio::sync::broadcast;

/// What a publisher writes, as it is written. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Own(broadcast::Sender<Entry>);

/// Entries that a slow subscriber may be behind; what it misses then comes with the stream, a moment
/// later.
const BEHIND: usize = 256;

impl Own {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(BEHIND).0)
    }

    /// Entries of the outbox that are written from here on, each with its CID, and with its rev and its
    /// commit where the PDS told.
    pub fn subscribe(&self) -> broadcast::Receiver<Entry> {
        self.0.subscribe()
    }

    pub(crate) fn written(&self, entry: &Entry) {
        if self.0.receiver_count() > 0 {
            // Without a receiver there is nobody to tell.
            drop(self.0.send(entry.clone()));
        }
    }
}
