//! What a person does with the outbox: send again, give up, forget.

use atcomms_lexicon::Did;
use rusqlite::params;

use super::State;
use super::read::{self, attached};
use crate::error::StoreError;
use crate::job::Durability;
use crate::store::Store;

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// How many entries.
    pub entries: u64,
}

impl Store {
    /// Has a failed entry sent again, under its old key and in its old place; or a pending one at once,
    /// whatever it waits for. False if there is no such entry. Survives a power loss. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept, or an attachment is gone.
    pub async fn send_again(&self, id: i64) -> Result<bool, StoreError> {
        let blobs = self.blobs().clone();
        self.write("send_again", Durability::PowerLoss, move |connection| {
            let Some(entry) = read::one(connection, id)? else {
                return Ok(false);
            };
            if entry.state == State::Failed {
                // With a pending entry that lacks its files, the store would not open.
                blobs.require(&entry.blobs)?;
            }
            // An attempt of before may have done more than it seemed: it is read back first.
            let changed = connection.execute(
                "UPDATE outbox SET doubt_since = CASE state WHEN 'failed' THEN settled_at ELSE doubt_since END,
                     state = 'pending', failure = NULL, found = NULL, settled_at = NULL, not_before = 0
                 WHERE id = ?1 AND state IN ('pending', 'failed')",
                [id],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// Gives an entry up that has failed, or that is certainly not written: it is as if it had never been
    /// accepted. False if there is no such entry, or it may be written: then delete the record instead.
    /// Survives a power loss. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn give_up(&self, id: i64) -> Result<bool, StoreError> {
        let given_up = self
            .write("give_up", Durability::PowerLoss, move |connection| {
                let cids = attached(connection, id)?;
                connection.execute(
                    "UPDATE outbox SET folded_into = NULL WHERE folded_into = ?1",
                    [id],
                )?;
                let deleted = connection.execute(
                    "DELETE FROM outbox WHERE id = ?1
                         AND (state = 'failed' OR (state = 'pending' AND doubt_since IS NULL))",
                    [id],
                )?;
                Ok::<_, StoreError>((deleted > 0).then_some(cids))
            })
            .await?;
        let Some(cids) = given_up else {
            return Ok(false);
        };
        self.let_go(cids).await;
        Ok(true)
    }

    /// Forgets what was written or folded before `before` (milliseconds since 1970): entries that have
    /// a `once` key keep the key, the place and the outcome, and lose only their content. Survives a
    /// killed process. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn forget_settled(&self, did: &Did, before: i64) -> Result<Forgotten, StoreError> {
        let did = did.clone();
        self.write("forget", Durability::Process, move |connection| {
            let old = "did = ?1 AND state IN ('written', 'folded') AND settled_at < ?2";
            let parameters = params![did.as_str(), before];
            connection.execute(
                &format!(
                    "UPDATE outbox SET folded_into = NULL WHERE folded_into IN
                         (SELECT id FROM outbox WHERE {old} AND once IS NULL)"
                ),
                parameters,
            )?;
            let stripped = connection.execute(
                &format!("UPDATE outbox SET record = NULL WHERE {old} AND once IS NOT NULL AND record IS NOT NULL"),
                parameters,
            )?;
            let deleted = connection.execute(
                &format!("DELETE FROM outbox WHERE {old} AND once IS NULL"),
                parameters,
            )?;
            let entries = u64::try_from(stripped + deleted).unwrap_or(0);
            Ok(Forgotten { entries })
        })
        .await
    }
}
