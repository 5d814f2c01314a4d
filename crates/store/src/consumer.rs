//! Durable consumers: named subscriptions that go on where they were.

use atcomms_lexicon::{Cid, Did, Tid};
use rusqlite::{Row, params};

use crate::error::StoreError;
use crate::job::Durability;
use crate::lock::{Lock, Purpose};
use crate::row::parsed;
use crate::store::Store;

/// A consumer of this store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    pub(crate) id: i64,
    /// Its name.
    pub name: String,
    /// When it was made (milliseconds since 1970), if it was made to begin with what was live then.
    pub began_live: Option<i64>,
}

/// The newest commit of a repository that a consumer has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryHead {
    /// The repository.
    pub did: Did,
    /// The commit's rev.
    pub rev: Tid,
    /// The root of its tree.
    pub data: Cid,
}

/// How much of a followed repository's story is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Story {
    /// What the stream brought since it is followed.
    Begun,
    /// All its records in scope are known.
    Whole,
    /// It was whole, and something was missed since: it must be fetched.
    Broken,
}

impl Story {
    /// As it stands in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Whole => "whole",
            Self::Broken => "broken",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "whole" => Self::Whole,
            "broken" => Self::Broken,
            _ => Self::Begun,
        }
    }
}

impl Store {
    /// The consumer of this name, made if there is none. Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn consumer(&self, name: &str, now: i64) -> Result<Consumer, StoreError> {
        self.find_or_make(name, false, now).await
    }

    /// The same, but if it is made now, it begins with what is live. Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn live_consumer(&self, name: &str, now: i64) -> Result<Consumer, StoreError> {
        self.find_or_make(name, true, now).await
    }

    async fn find_or_make(&self, name: &str, live: bool, now: i64) -> Result<Consumer, StoreError> {
        let name = name.to_owned();
        self.write("consumer", Durability::Process, move |connection| {
            connection.execute(
                "INSERT OR IGNORE INTO consumer (name, created_at, began_live) VALUES (?1, ?2, ?3)",
                params![name, now, live],
            )?;
            let found = connection.query_row(
                "SELECT id, name, created_at, began_live FROM consumer WHERE name = ?1",
                [&name],
                consumer,
            )?;
            Ok(found)
        })
        .await
    }

    /// The consumers of this store, by name. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn consumers(&self) -> Result<Vec<Consumer>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, created_at, began_live FROM consumer ORDER BY name",
            )?;
            let rows = statement.query_map([], consumer)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Takes the right to feed a consumer, if no other process has it.
    ///
    /// # Errors
    /// The lock's file cannot be made.
    pub fn try_feed(&self, consumer: &Consumer) -> Result<Option<Lock>, StoreError> {
        self.try_lock_named(Purpose::Feed, &consumer.id.to_string())
    }

    /// How far a consumer has taken in a host's stream; `None` if it has seen nothing of it.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn cursors(&self, consumer: &Consumer) -> Result<Vec<(String, i64)>, StoreError> {
        let id = consumer.id;
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT host, seq FROM cursor WHERE consumer_id = ?1 ORDER BY host",
            )?;
            let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The heads of the repositories that a consumer has verified, and how much of their story is known, the
    /// most recent first. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn heads(
        &self,
        consumer: &Consumer,
        limit: usize,
    ) -> Result<Vec<(RepositoryHead, Story)>, StoreError> {
        let id = consumer.id;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT did, rev, data, story FROM repository WHERE consumer_id = ?1 ORDER BY at DESC LIMIT ?2",
            )?;
            let rows = statement.query_map(params![id, limit], |row| {
                let head = RepositoryHead {
                    did: parsed(row, "did")?,
                    rev: parsed(row, "rev")?,
                    data: parsed(row, "data")?,
                };
                Ok((head, Story::of(&row.get::<_, String>("story")?)))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn consumer(row: &Row<'_>) -> rusqlite::Result<Consumer> {
    Ok(Consumer {
        id: row.get("id")?,
        name: row.get("name")?,
        began_live: match row.get("began_live")? {
            true => Some(row.get("created_at")?),
            false => None,
        },
    })
}
