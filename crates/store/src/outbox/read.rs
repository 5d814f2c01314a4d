//! Looking into the outbox.

use atcomms_lexicon::{Cid, Did};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Action, Blob, Entry, State};
use crate::error::StoreError;
use crate::row::{parsed, parsed_or_none};
use crate::store::Store;

/// What waits in an account's outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// How many entries are pending.
    pub entries: u64,
    /// When the first of them was accepted (milliseconds since 1970).
    pub oldest: Option<i64>,
}

impl Store {
    /// The entries of an account, or of all, in the order of acceptance; with `settled`, those too that
    /// are written or folded. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn entries(
        &self,
        did: Option<&Did>,
        settled: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let did = did.map(|did| did.as_str().to_owned());
        self.read(move |connection| {
            let states = match settled {
                true => "",
                false => "AND state IN ('pending', 'failed')",
            };
            let query =
                format!("SELECT * FROM outbox WHERE (?1 IS NULL OR did = ?1) {states} ORDER BY id");
            many(connection, &query, params![did])
        })
        .await
    }

    /// One entry, by its number. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn entry(&self, id: i64) -> Result<Option<Entry>, StoreError> {
        self.read(move |connection| Ok(one(connection, id)?)).await
    }

    /// Those of these entries that are not pending any more, by their numbers; `None` for one that is
    /// gone. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn settled(&self, ids: Vec<i64>) -> Result<Vec<(i64, Option<Entry>)>, StoreError> {
        self.read(move |connection| {
            let mut settled = Vec::new();
            let mut state = connection.prepare_cached("SELECT state FROM outbox WHERE id = ?1")?;
            for id in ids {
                let found: Option<String> = state.query_row([id], |row| row.get(0)).optional()?;
                if found.as_deref() != Some(State::Pending.as_str()) {
                    settled.push((id, one(connection, id)?));
                }
            }
            Ok(settled)
        })
        .await
    }

    /// How much waits in an account's outbox. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn waiting(&self, did: &Did) -> Result<Waiting, StoreError> {
        let did = did.clone();
        self.read(move |connection| {
            let waiting = connection
                .prepare_cached(
                    "SELECT count(*), min(accepted_at) FROM outbox WHERE did = ?1 AND state = 'pending'",
                )?
                .query_row([did.as_str()], |row| {
                    Ok(Waiting {
                        entries: row.get(0)?,
                        oldest: row.get(1)?,
                    })
                })?;
            Ok(waiting)
        })
        .await
    }
}

pub(super) fn one(connection: &Connection, id: i64) -> rusqlite::Result<Option<Entry>> {
    let entry = connection
        .prepare_cached("SELECT * FROM outbox WHERE id = ?1")?
        .query_row([id], entry)
        .optional()?;
    entry.map(|entry| with_blobs(connection, entry)).transpose()
}

pub(super) fn many(
    connection: &Connection,
    query: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Entry>, StoreError> {
    let mut statement = connection.prepare_cached(query)?;
    let entries = statement.query_map(parameters, entry)?;
    let entries = entries.map(|entry| with_blobs(connection, entry?));
    Ok(entries.collect::<rusqlite::Result<_>>()?)
}

/// What is attached to an entry.
pub(super) fn attached(connection: &Connection, id: i64) -> rusqlite::Result<Vec<Cid>> {
    connection
        .prepare_cached("SELECT cid FROM attachment WHERE outbox_id = ?1")?
        .query_map([id], |row| parsed(row, "cid"))?
        .collect()
}

fn with_blobs(connection: &Connection, mut entry: Entry) -> rusqlite::Result<Entry> {
    let mut statement = connection.prepare_cached(
        "SELECT cid, size, mime_type FROM attachment WHERE outbox_id = ?1 ORDER BY cid",
    )?;
    let blobs = statement.query_map([entry.id], |row| {
        Ok(Blob {
            cid: parsed(row, "cid")?,
            size: row.get("size")?,
            mime_type: row.get("mime_type")?,
        })
    })?;
    entry.blobs = blobs.collect::<rusqlite::Result<_>>()?;
    Ok(entry)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get("id")?,
        did: parsed(row, "did")?,
        collection: parsed(row, "collection")?,
        rkey: parsed(row, "rkey")?,
        action: action(row)?,
        swap: parsed_or_none(row, "swap")?,
        record: row.get("record")?,
        cid: parsed_or_none(row, "cid")?,
        blobs: Vec::new(),
        once: row.get("once")?,
        priority: row.get("priority")?,
        state: state(row)?,
        attempts: row.get("attempts")?,
        doubt_since: row.get("doubt_since")?,
        not_before: row.get("not_before")?,
        failure: row.get("failure")?,
        reason: row.get("reason")?,
        found: parsed_or_none(row, "found")?,
        folded_into: row.get("folded_into")?,
        accepted_at: row.get("accepted_at")?,
        settled_at: row.get("settled_at")?,
        rev: parsed_or_none(row, "rev")?,
        commit: parsed_or_none(row, "commit_cid")?,
    })
}

fn action(row: &Row<'_>) -> rusqlite::Result<Action> {
    match row.get_ref("action")?.as_str() {
        Ok("create") => Ok(Action::Create),
        Ok("put") => Ok(Action::Put),
        Ok("delete") => Ok(Action::Delete),
        _ => Err(unknown(row, "action")),
    }
}

fn state(row: &Row<'_>) -> rusqlite::Result<State> {
    match row.get_ref("state")?.as_str() {
        Ok("pending") => Ok(State::Pending),
        Ok("written") => Ok(State::Written),
        Ok("failed") => Ok(State::Failed),
        Ok("folded") => Ok(State::Folded),
        _ => Err(unknown(row, "state")),
    }
}

/// The tables' own checks let nothing else in.
fn unknown(row: &Row<'_>, column: &str) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or(0);
    rusqlite::Error::InvalidColumnType(index, column.to_owned(), Type::Text)
}
