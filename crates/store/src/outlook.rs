//! All that the one who sends looks at before it sends, in one look.

use atcomms_lexicon::Did;

use crate::bucket::{self, Bucket};
use crate::error::StoreError;
use crate::outbox::{self, Entry};
use crate::server::{self, Server};
use crate::store::Store;

/// What is to be sent for an account, and what it may send.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outlook {
    /// What is to be sent next, in its order: as [`Store::next`].
    pub entries: Vec<Entry>,
    /// When the first of those that wait may be sent: as [`Store::next_due`].
    pub due: Option<i64>,
    /// What is known of the account's PDS.
    pub server: Server,
    /// The account's rate limits.
    pub buckets: Vec<Bucket>,
}

impl Store {
    /// Looks at everything at once. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn outlook(
        &self,
        did: &Did,
        pds: &str,
        now: i64,
        limit: usize,
    ) -> Result<Outlook, StoreError> {
        let (did, pds) = (did.clone(), pds.to_owned());
        self.read(move |connection| {
            Ok(Outlook {
                entries: outbox::next(connection, &did, now, limit)?,
                due: outbox::next_due(connection, &did)?,
                server: server::load(connection, &pds)?,
                buckets: bucket::load(connection, &did)?,
            })
        })
        .await
    }
}
