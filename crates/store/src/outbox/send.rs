//! What the one who sends does before it sends.

use atcomms_lexicon::{Cid, Did, fault};
use rusqlite::{Connection, params};

use super::{Action, Entry, read};
use crate::error::StoreError;
use crate::job::Durability;
use crate::store::Store;

/// Nothing else waits for its key that was accepted earlier.
const FIRST_OF_KEY: &str = "NOT EXISTS (SELECT 1 FROM outbox AS earlier
    WHERE earlier.did = entry.did AND earlier.collection = entry.collection
        AND earlier.rkey = entry.rkey AND earlier.state = 'pending' AND earlier.id < entry.id)";

impl Store {
    /// What is to be sent next, in its order: by rank, and a key's later writes only after its earlier
    /// ones are settled. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn next(&self, did: &Did, now: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let did = did.clone();
        self.read(move |connection| next(connection, &did, now, limit))
            .await
    }

    /// When [`next`](Self::next) has something to give, as things stand (milliseconds since 1970, and in
    /// the past if it has something now); `None` if nothing is pending. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn next_due(&self, did: &Did) -> Result<Option<i64>, StoreError> {
        let did = did.clone();
        self.read(move |connection| next_due(connection, &did))
            .await
    }

    /// Fixes what is written, now that the attachments are uploaded. Survives a power loss: if they were
    /// uploaded once more, the PDS might say something else of them, and what was written would not be
    /// known again by its CID. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn fix(&self, records: Vec<(i64, Vec<u8>, Cid)>) -> Result<(), StoreError> {
        self.write("fix", Durability::PowerLoss, move |connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE outbox SET record = ?2, cid = ?3 WHERE id = ?1 AND state = 'pending'",
            )?;
            for (id, record, cid) in records {
                statement.execute(params![id, record, cid.to_string()])?;
            }
            Ok(())
        })
        .await
    }

    /// Notes that these entries are about to be sent: until [`settle`](Self::settle) says otherwise,
    /// nobody knows what became of them. Returns the numbers of those that are still to be sent: others
    /// were given up, or gave way to a later write, since they were read. Survives a killed process, and
    /// where one of them changes what is there, a power loss: a creation that was forgotten is found by
    /// its key and its CID. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept: then do not send.
    pub async fn mark_sent(&self, entries: &[Entry], now: i64) -> Result<Vec<i64>, StoreError> {
        let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        let durability = match entries.iter().all(|entry| entry.action == Action::Create) {
            true => Durability::Process,
            false => Durability::PowerLoss,
        };
        self.write("sent", durability, move |connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE outbox SET attempts = attempts + 1, doubt_since = ?2
                 WHERE id = ?1 AND state = 'pending'",
            )?;
            let mut sent = Vec::new();
            for id in ids {
                if statement.execute([id, now])? > 0 || fault::on("sent-although-given-up") {
                    sent.push(id);
                }
            }
            Ok(sent)
        })
        .await
    }
}

pub(crate) fn next(
    connection: &Connection,
    did: &Did,
    now: i64,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let first_of_key = if fault::on("key-order") {
        "TRUE"
    } else {
        FIRST_OF_KEY
    };
    read::many(
        connection,
        &format!(
            "SELECT * FROM outbox AS entry
             WHERE did = ?1 AND state = 'pending' AND not_before <= ?2 AND {first_of_key}
             ORDER BY rank, id LIMIT ?3"
        ),
        params![did.as_str(), now, limit],
    )
}

pub(crate) fn next_due(connection: &Connection, did: &Did) -> Result<Option<i64>, StoreError> {
    let due = connection
        .prepare_cached(&format!(
            "SELECT min(not_before) FROM outbox AS entry
             WHERE did = ?1 AND state = 'pending' AND {FIRST_OF_KEY}"
        ))?
        .query_row([did.as_str()], |row| row.get(0))?;
    Ok(due)
}
