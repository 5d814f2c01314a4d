//! Looking into the inbox, and what a person does with dead events.

use rusqlite::types::Type;
use rusqlite::{Row, params};

use super::{Change, Event, Received};
use crate::consumer::Consumer;
use crate::error::StoreError;
use crate::job::Durability;
use crate::row::{parsed, parsed_or_none};
use crate::store::Store;

impl Store {
    /// The events of a consumer that are not acknowledged yet, or with `dead` those that are dead, from
    /// `after` (the number of an event) on. Looking hands nothing out. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn inbox(
        &self,
        consumer: &Consumer,
        dead: bool,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Received>, StoreError> {
        let id = consumer.id;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let state = if dead { "dead" } else { "waiting" };
            let mut statement = connection.prepare_cached(&events(
                "WHERE consumer_id = ?1 AND state = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
            ))?;
            let rows = statement.query_map(params![id, state, after, limit], received)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// How many events of a consumer are not acknowledged and not dead. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    pub async fn inbox_len(&self, consumer: &Consumer) -> Result<u64, StoreError> {
        let id = consumer.id;
        self.read(move |connection| {
            let count = connection
                .prepare_cached(
                    "SELECT count(*) FROM inbox WHERE consumer_id = ?1 AND state = 'waiting'",
                )?
                .query_row([id], |row| row.get(0))?;
            Ok(count)
        })
        .await
    }

    /// Has a dead event delivered again, as if it had never been handed out. False if there is no such
    /// event, or its record was removed. Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn deliver_again(&self, event: i64, now: i64) -> Result<bool, StoreError> {
        self.write("deliver_again", Durability::Process, move |connection| {
            let changed = connection.execute(
                "UPDATE inbox SET state = 'waiting', attempts = 0, visible_at = 0, lease = NULL, reason = NULL,
                     since = ?2
                 WHERE id = ?1 AND state = 'dead' AND removed_at IS NULL",
                [event, now],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    /// Forgets a dead event. False if there is no such event. Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn bury(&self, event: i64) -> Result<bool, StoreError> {
        self.write("bury", Durability::Process, move |connection| {
            let deleted = connection.execute(
                "DELETE FROM inbox WHERE id = ?1 AND state = 'dead'",
                [event],
            )?;
            Ok(deleted > 0)
        })
        .await
    }
}

/// A query for the events that a clause picks, each as [`received`] reads it.
pub(super) fn events(clause: &str) -> String {
    format!(
        "SELECT id, received_at, attempts, state, reason, did, collection, rkey, action, rev, cid, commit_cid,
             record, trust, continuity, undecodable, live, source, seq, removed_at FROM inbox {clause}"
    )
}

/// An event as [`events`] selects it. Columns are read by their numbers: their names are looked for anew in
/// every row.
pub(super) fn received(row: &Row<'_>) -> rusqlite::Result<Received> {
    Ok(Received {
        id: row.get(0)?,
        received_at: row.get(1)?,
        attempts: row.get(2)?,
        dead: row.get_ref(3)?.as_str()? == "dead",
        reason: row.get(4)?,
        removed_at: row.get(19)?,
        event: Event {
            did: parsed(row, 5)?,
            collection: parsed(row, 6)?,
            rkey: parsed(row, 7)?,
            change: change(row, 8)?,
            rev: parsed(row, 9)?,
            cid: parsed_or_none(row, 10)?,
            commit: parsed_or_none(row, 11)?,
            record: row.get(12)?,
            trust: row.get(13)?,
            continuity: row.get(14)?,
            undecodable: row.get(15)?,
            live: row.get(16)?,
            source: row.get(17)?,
            seq: row.get(18)?,
        },
    })
}

fn change(row: &Row<'_>, index: usize) -> rusqlite::Result<Change> {
    match row.get_ref(index)?.as_str() {
        Ok("create") => Ok(Change::Create),
        Ok("update") => Ok(Change::Update),
        Ok("delete") => Ok(Change::Delete),
        // The table's own check lets nothing else in.
        _ => Err(rusqlite::Error::InvalidColumnType(
            index,
            "action".to_owned(),
            Type::Text,
        )),
    }
}
