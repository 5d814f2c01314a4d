//! Into the outbox: from here on, a message is accepted.

use atcomms_lexicon::{Cid, Did, Nsid, RecordKey, Tid, fault};
use rusqlite::{Connection, OptionalExtension, params};

use super::read::attached;
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
        let copied: Vec<Cid> = draft.copied.iter().map(|blob| blob.cid).collect();
        let accepted = self
            .write("accept", Durability::PowerLoss, move |connection| {
                let mut draft = draft;
                if let Some(known) = known(connection, &draft)? {
                    return Ok((known, Vec::new()));
                }
                // Their names are theirs before the commit is, so that no commit refers to nothing.
                blobs.keep(std::mem::take(&mut draft.copied))?;
                blobs.require(&draft.blobs)?;
                insert(connection, draft, now)
            })
            .await;
        match accepted {
            Ok((accepted, unneeded)) => {
                self.let_go(unneeded).await;
                Ok(accepted)
            }
            Err(error) => {
                self.let_go(copied).await;
                Err(error)
            }
        }
    }
}

/// The entry that has the draft's `once` key.
fn known(connection: &Connection, draft: &Draft) -> Result<Option<Accepted>, AcceptError> {
    let Some(once) = draft.once.as_ref().filter(|_| !fault::on("once")) else {
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

/// A new entry, and the blobs of those that it replaces.
fn insert(
    connection: &Connection,
    draft: Draft,
    now: i64,
) -> Result<(Accepted, Vec<Cid>), AcceptError> {
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
    let mut entry = Entry {
        id: 0,
        did: draft.did,
        collection: draft.collection,
        rkey,
        action: draft.action,
        swap: draft.swap,
        record: draft.record,
        cid: draft.cid,
        blobs: draft.blobs,
        once: draft.once,
        priority: draft.priority.min(MAX_PRIORITY),
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
    // As they are read back.
    entry.blobs.sort_by_cached_key(|blob| blob.cid.to_string());
    entry.blobs.dedup_by_key(|blob| blob.cid);
    let older = replaced(connection, &entry)?;
    let priority = if fault::on("priority") {
        0
    } else {
        entry.priority
    };
    let worth = i64::from(priority).saturating_mul(PRIORITY_STEP);
    let rank = time.saturating_sub(worth);
    // It takes the place of what it replaces: what is updated all the time would else never be sent.
    let rank = older.map_or(rank, |older| rank.min(older.rank));
    connection
        .prepare_cached(
            "INSERT INTO outbox (did, collection, rkey, action, swap, record, cid, once, priority, rank, accepted_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            entry.did.as_str(),
            entry.collection.as_str(),
            entry.rkey.as_str(),
            entry.action.as_str(),
            entry.swap.map(|cid| cid.to_string()),
            entry.record,
            entry.cid.map(|cid| cid.to_string()),
            entry.once,
            entry.priority,
            rank,
            now
        ])?;
    entry.id = connection.last_insert_rowid();
    for blob in &entry.blobs {
        connection
            .prepare_cached("INSERT INTO attachment VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                entry.id,
                blob.cid.to_string(),
                blob.size,
                blob.mime_type
            ])?;
    }
    let mut accepted = Accepted {
        entry,
        fresh: true,
        folded: Vec::new(),
    };
    let mut unneeded = Vec::new();
    if let Some(older) = older {
        unneeded = fold(connection, older.id, accepted.entry.id, now)?;
        accepted.folded.push(older.id);
    }
    Ok((accepted, unneeded))
}

/// A pending update that a newer one replaces.
#[derive(Clone, Copy)]
struct Replaced {
    id: i64,
    rank: i64,
}

/// An update that is certainly not written gives way to a newer one of the same key, unless one of the two
/// depends on what is there, or has a key of the caller's, which stands for it alone.
fn replaced(connection: &Connection, newer: &Entry) -> rusqlite::Result<Option<Replaced>> {
    if newer.action != Action::Put || newer.swap.is_some() {
        return Ok(None);
    }
    // Only what directly precedes it: a delete between the two keeps its place.
    let last: Option<(Replaced, bool)> = connection
        .prepare_cached(
            "SELECT id, rank, action = 'put' AND swap IS NULL AND once IS NULL AND doubt_since IS NULL FROM outbox
             WHERE did = ?1 AND collection = ?2 AND rkey = ?3 AND state = 'pending'
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(
            [newer.did.as_str(), newer.collection.as_str(), newer.rkey.as_str()],
            |row| {
                let (id, rank) = (row.get(0)?, row.get(1)?);
                Ok((Replaced { id, rank }, row.get(2)?))
            },
        )
        .optional()?;
    Ok(last.and_then(|(last, gives_way)| gives_way.then_some(last)))
}

/// The blobs of the older one are returned.
fn fold(connection: &Connection, older: i64, newer: i64, now: i64) -> rusqlite::Result<Vec<Cid>> {
    connection
        .prepare_cached(
            "UPDATE outbox SET state = 'folded', folded_into = ?2, settled_at = ?3 WHERE id = ?1",
        )?
        .execute(if fault::on("fold") {
            [newer, older, now]
        } else {
            [older, newer, now]
        })?;
    attached(connection, older)
}

fn tid_key(micros: i64, clock_id: u16) -> Result<RecordKey, StoreError> {
    let tid = Tid::from_parts(u64::try_from(micros).unwrap_or(0), clock_id);
    let damaged = |error: atcomms_lexicon::SyntaxError| StoreError::Damaged(error.to_string());
    tid.to_string().parse().map_err(damaged)
}
