//! What nobody takes, and what is dead, within bounds: records are removed, and what is known stays.

use rusqlite::params;

use crate::consumer::Consumer;
use crate::error::StoreError;
use crate::job::Durability;
use crate::store::Store;

/// What is kept of a consumer's inbox; what is `None` is kept for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long an event may wait before it is dead, in milliseconds.
    pub waiting_for: Option<i64>,
    /// How long the record of a dead one is kept, in milliseconds.
    pub dead_for: Option<i64>,
    /// Of how many dead ones the records are kept, the newest.
    pub dead_count: Option<u64>,
    /// How many bytes these records may have together.
    pub dead_bytes: Option<u64>,
}

/// What retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retained {
    /// Events that waited for too long.
    pub laid_aside: usize,
    /// Records that were removed.
    pub removed: usize,
}

/// What a dead event says that nobody took.
const TOO_LONG: &str = "it waited for too long: nobody took it and acknowledged it in time";

impl Store {
    /// Lays aside what waited for too long, and removes records of what is dead for too long or too much.
    /// Events stay listed with their reasons until somebody [buries](Store::bury) them; what is known of
    /// repositories is not touched (promise P3). What is out now is left alone. Survives a killed process.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept: then nothing of it happened.
    pub async fn retain(
        &self,
        consumer: &Consumer,
        retention: Retention,
        now: i64,
    ) -> Result<Retained, StoreError> {
        let id = consumer.id;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.write("retain", Durability::Process, move |connection| {
            let mut retained = Retained::default();
            if let Some(time) = retention.waiting_for {
                retained.laid_aside = connection
                    .prepare_cached(
                        "UPDATE inbox SET state = 'dead', lease = NULL, reason = ?4, since = NULL
                         WHERE consumer_id = ?1 AND state = 'waiting' AND coalesce(since, received_at) <= ?3
                             AND (lease IS NULL OR visible_at <= ?2)",
                    )?
                    .execute(params![id, now, now.saturating_sub(time), TOO_LONG])?;
            }
            connection
                .prepare_cached(
                    "UPDATE inbox SET since = ?2
                     WHERE consumer_id = ?1 AND state = 'dead' AND since IS NULL",
                )?
                .execute([id, now])?;
            // The newest first, with how many and how much came before.
            retained.removed = connection
                .prepare_cached(
                    "UPDATE inbox SET record = NULL, removed_at = ?2 WHERE id IN (
                         SELECT id FROM (SELECT id, since,
                                 row_number() OVER newest AS count,
                                 sum(length(record)) OVER newest AS bytes
                             FROM inbox
                             WHERE consumer_id = ?1 AND state = 'dead' AND record IS NOT NULL
                             WINDOW newest AS (ORDER BY since DESC, id DESC ROWS UNBOUNDED PRECEDING))
                         WHERE since <= ?3 OR count > ?4 OR bytes > ?5)",
                )?
                .execute(params![
                    id,
                    now,
                    retention.dead_for.map(|time| now.saturating_sub(time)),
                    retention.dead_count.map(number),
                    retention.dead_bytes.map(number)
                ])?;
            Ok(retained)
        })
        .await
    }
}
