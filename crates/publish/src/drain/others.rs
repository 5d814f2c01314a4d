//! Entries that somebody here waits for, and that others have settled: another publisher of the same
//! store, a person who edited the outbox, or this one, before the waiting began.

use atcomms_store::StoreError;
use tokio::time::Instant;

use super::{Drain, POLL, POLL_OTHERS};

/// How many entries are looked at in one go: the others come next time.
const AT_ONCE: usize = 256;

impl Drain {
    /// Waits while another publisher sends.
    pub(super) async fn follow_others(&mut self, asked: u64) {
        let idle = async {
            self.look(AT_ONCE).await?;
            self.store.next_due(self.session.did()).await
        };
        match idle.await {
            Ok(None) => {
                self.serve(asked);
                self.woken_within(POLL).await;
            }
            Ok(Some(_)) | Err(_) => self.woken_within(POLL_OTHERS).await,
        }
    }

    /// Looks at everything that somebody waits for, where nothing can be pending any more.
    pub(super) async fn look_at_all(&mut self) {
        self.looked_at = 0;
        if let Err(error) = self.look(usize::MAX).await {
            tracing::warn!(did = %self.session.did(), %error, "the outbox was not looked at");
        }
    }

    /// Looks at some of what is waited for if it was not looked at for a while; true if it did.
    pub(super) async fn look_now_and_then(&mut self) -> Result<bool, StoreError> {
        if Instant::now() < self.next_look {
            return Ok(false);
        }
        self.next_look = Instant::now() + POLL;
        self.look(AT_ONCE).await?;
        Ok(true)
    }

    async fn look(&mut self, most: usize) -> Result<(), StoreError> {
        let mut ids = self.waiters.ids(self.looked_at, most);
        if ids.is_empty() {
            ids = self.waiters.ids(0, most);
        }
        self.looked_at = ids.last().copied().unwrap_or(0);
        self.look_at(ids).await
    }

    /// Tells who waits for these entries what the store says of them.
    pub(super) async fn look_at(&self, ids: Vec<i64>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        for (id, entry) in self.store.settled(ids).await? {
            match entry.as_ref().and_then(|entry| entry.folded_into) {
                Some(newer) => self.waiters.follow(id, newer),
                None => self.waiters.settle(id, entry.as_ref()),
            }
        }
        Ok(())
    }
}
