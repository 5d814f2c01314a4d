//! How many bytes may wait for a subscriber: a few deliveries of the largest records would else take as much
//! memory as all of the small ones that may wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of records that wait for the subscriber: eight of the largest, and more than the deliveries that may
/// wait have at most times. When they are there, reading pauses.
const BYTES_WAITING: usize = 8 * 1024 * 1024;
/// They are counted in blocks of so many.
const BLOCK: usize = 1024;

/// The room for records that wait.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// The place of one of them; there is room again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _blocks: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BYTES_WAITING / BLOCK)))
    }

    /// Waits for room; `None` if nobody wants anything any more. Cancel safe.
    pub(crate) async fn take(&self, bytes: usize) -> Option<Place> {
        let blocks = bytes.min(BYTES_WAITING) / BLOCK;
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        let taken = self.0.clone().acquire_many_owned(blocks).await;
        taken.ok().map(|_blocks| Place { _blocks })
    }

    /// Nobody wants anything any more.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}
