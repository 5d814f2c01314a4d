//! Into the outbox: from here on, a message is accepted.

use atcomms_lexicon::{Cid, Did, Nsid, RecordKey, Tid};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Action, Blob, Entry, MAX_PRIORITY, PRIORITY_STEP, State, read};
use crate::blobs::CopiedBlob;
use crate::error::StoreError;
use crate::job::{Cause, Durability};
use crate::store::Store;

/// The key of a record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// This one.
    Is(RecordKey),
    /// A new TID, greater than all that this store has given before, whatever the clock does.
    NextTid {
        /// Tells apart what several processes name in the same microsecond; the low 10 bits count.
        clock_id: u16,
    },
}

/// What is to be written.
#[derive(Debug)]
pub struct Draft {
    /// The account that writes it.
    pub did: Did,
    /// The record's collection.
    pub collection: Nsid,
    /// The record's key.
    pub key: Key,
    /// What is done.
    pub action: Action,
    /// What has to be there for a put or a delete to happen.
    pub swap: Option<Cid>,
    /// The record as DAG-CBOR; `None` for a delete.
    pub record: Option<Vec<u8>>,
    /// The record's CID, unless the upload of its attachments may still change it.
    pub cid: Option<Cid>,
    /// What is to be uploaded for it.
    pub blobs: Vec<Blob>,
    /// The files of these, where they are not in the folder yet.
    pub copied: Vec<CopiedBlob>,
    /// The caller's own key.
    pub once: Option<String>,
    /// From 0 to [`MAX_PRIORITY`].
    pub priority: u8,
}

/// What an accepted draft has become.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Accepted {
    /// The entry: a new one, or the one that has the same `once` key.
    pub entry: Entry,
    /// Whether it is new.
    pub fresh: bool,
    /// Earlier entries that it replaces.
    pub folded: Vec<i64>,
}

/// Why a draft was not accepted. Nothing of it was kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The caller's key stands for something else.
    #[error(
        "the key {once:?} was used for another record ({uri}): use the key again only for the same one"
    )]
    OnceTaken {
        /// The caller's key.
        once: String,
        /// What it stands for.
        uri: atcomms_lexicon::AtUri,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AcceptError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Cause for AcceptError {
    fn cause(&self) -> StoreError {
        match self {
            Self::Store(error) => error.clone(),
            Self::OnceTaken { .. } => StoreError::Sqlite(self.to_string()),
        }
    }
}

impl Store {
    /// Accepts a record for writing, in one transaction with its attachments. When this returns, it
    /// survives a power loss. Cancel safe in the sense that it is accepted whole or not at all; with a
    /// `once` key, it can be accepted again to find out.
    ///
    /// # Errors
    /// [`AcceptError`] says why it was not accepted.
    pub async fn accept(&self, draft: Draft, now: i64) -> Result<Accepted, AcceptError> {
        let blobs = self.blobs().clone();
        self.write("accept", Durability::PowerLoss, move |connection| {
            let mut draft = draft;
            if let Some(known) = known(connection, &draft)? {
                return Ok(known);
            }
            // Their names are theirs before the commit is, so that no commit refers to nothing.
            blobs.keep(std::mem::take(&mut draft.copied))?;
            insert(connection, draft, now)
        })
        .await
    }
}

/// The entry that has the draft's `once` key.
fn known(connection: &Connection, draft: &Draft) -> Result<Option<Accepted>, AcceptError> {
    let Some(once) = &draft.once else {
        return Ok(None);
    };
    let id: Option<i64> = connection
        .prepare_cached("SELECT id FROM outbox WHERE did = ?1 AND once = ?2")?
        .query_row([draft.did.as_str(), once], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(None) };
    let entry = read::one(connection, id)?.ok_or(StoreError::Closed)?;
    let same_key = match &draft.key {
        Key::Is(key) => *key == entry.rkey,
        Key::NextTid { .. } => true,
    };
    if entry.collection != draft.collection || entry.action != draft.action || !same_key {
        return Err(AcceptError::OnceTaken {
            once: once.clone(),
            uri: entry.uri(),
        });
    }
    Ok(Some(Accepted {
        entry,
        fresh: false,
        folded: Vec::new(),
    }))
}

fn insert(connection: &Connection, draft: Draft, now: i64) -> Result<Accepted, AcceptError> {
    let (tid_micros, millis): (i64, i64) = connection
        .prepare_cached("SELECT tid_micros, millis FROM clock WHERE id = 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // A clock that was set back neither reorders what was accepted nor reuses a key.
    let time = now.max(millis);
    let mut micros = tid_micros;
    let rkey = match draft.key {
        Key::Is(key) => key,
        Key::NextTid { clock_id } => {
            micros = now.saturating_mul(1000).max(tid_micros.saturating_add(1));
            tid_key(micros, clock_id)?
        }
    };
    connection
        .prepare_cached("UPDATE clock SET tid_micros = ?1, millis = ?2 WHERE id = 1")?
        .execute([micros, time])?;
    let priority = draft.priority.min(MAX_PRIORITY);
    let rank = time.saturating_sub(i64::from(priority).saturating_mul(PRIORITY_STEP));
    connection
        .prepare_cached(
            "INSERT INTO outbox (did, collection, rkey, action, swap, record, cid, once, priority, rank, accepted_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            draft.did.as_str(),
            draft.collection.as_str(),
            rkey.as_str(),
            draft.action.as_str(),
            draft.swap.map(|cid| cid.to_string()),
            draft.record,
            draft.cid.map(|cid| cid.to_string()),
            draft.once,
            priority,
            rank,
            now
        ])?;
    let id = connection.last_insert_rowid();
    for blob in &draft.blobs {
        connection
            .prepare_cached("INSERT OR IGNORE INTO attachment VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![id, blob.cid.to_string(), blob.size, blob.mime_type])?;
    }
    let mut entry = Entry {
        id,
        did: draft.did,
        collection: draft.collection,
        rkey,
        action: draft.action,
        swap: draft.swap,
        record: draft.record,
        cid: draft.cid,
        blobs: draft.blobs,
        once: draft.once,
        priority,
        state: State::Pending,
        attempts: 0,
        doubt_since: None,
        not_before: 0,
        failure: None,
        reason: None,
        found: None,
        folded_into: None,
        accepted_at: now,
        settled_at: None,
        rev: None,
        commit: None,
    };
    let folded = fold(connection, &mut entry, now)?;
    Ok(Accepted {
        entry,
        fresh: true,
        folded,
    })
}

/// An update that was never sent gives way to a newer one of the same key, unless one of the two
/// depends on what is there, or has a key of the caller's, which stands for it alone.
fn fold(connection: &Connection, entry: &mut Entry, now: i64) -> Result<Vec<i64>, AcceptError> {
    if entry.action != Action::Put || entry.swap.is_some() {
        return Ok(Vec::new());
    }
    // Only what directly precedes it: a delete between the two keeps its place.
    let last: Option<(i64, bool)> = connection
        .prepare_cached(
            "SELECT id, action = 'put' AND swap IS NULL AND once IS NULL AND attempts = 0 FROM outbox
             WHERE did = ?1 AND collection = ?2 AND rkey = ?3 AND state = 'pending' AND id < ?4
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(
            params![entry.did.as_str(), entry.collection.as_str(), entry.rkey.as_str(), entry.id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((older, true)) = last else {
        return Ok(Vec::new());
    };
    connection
        .prepare_cached(
            "UPDATE outbox SET state = 'folded', folded_into = ?2, settled_at = ?3 WHERE id = ?1",
        )?
        .execute(params![older, entry.id, now])?;
    Ok(vec![older])
}

fn tid_key(micros: i64, clock_id: u16) -> Result<RecordKey, StoreError> {
    let tid = Tid::from_parts(u64::try_from(micros).unwrap_or(0), clock_id);
    let damaged = |error: atcomms_lexicon::SyntaxError| StoreError::Damaged(error.to_string());
    tid.to_string().parse().map_err(damaged)
}
