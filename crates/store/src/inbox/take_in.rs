//! From the stream into the inbox: events, heads and cursor in one transaction (promise P5).

use std::sync::Arc;

use rusqlite::{Connection, params};

use atcomms_lexicon::Did;

use super::{Event, heard};
use crate::consumer::{Consumer, RepositoryHead, Story};
use crate::error::StoreError;
use crate::job::Durability;
use crate::known::{self, Known};
use crate::row::parsed;
use crate::store::Store;

/// One commit, as it is taken in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// Its repository's state after it; `None` if it was not verified, or not all of it: then it is dropped if
    /// a newer one is known, and makes only others like it be dropped.
    pub head: Option<RepositoryHead>,
    /// Whether its events came alone: others of the same commit may come after them.
    pub alone: bool,
    /// Its events, in their order.
    pub events: Vec<Event>,
    /// What it changes of the records that are known of its repository: those with a CID are there, those
    /// without are gone. Only of repositories that are followed.
    pub known: Vec<Known>,
    /// The story of the repository after it, if it changes: whole after a resync, broken if something was
    /// missed before this commit. A resync counts also at the head that is known.
    pub story: Option<Story>,
}

/// What becomes of the events of an account that are not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountChange {
    /// They are not handed out until it is active again.
    Pause,
    /// It is active again.
    Resume,
    /// It was deleted, and its events go with it. What is known of its repository stays.
    Purge,
}

/// What is taken in together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intake {
    /// Commits, in the order in which they are delivered.
    pub commits: Vec<Commit>,
    /// Repositories of which commits were dropped: their story is broken.
    pub broken: Vec<Did>,
    /// Accounts that are active no more, or again.
    pub accounts: Vec<(Did, AccountChange)>,
    /// How far the hosts' streams are taken in with this.
    pub cursors: Vec<(String, i64)>,
}

impl Store {
    /// The accounts whose events are paused. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn paused(&self, consumer: &Consumer) -> Result<Vec<Did>, StoreError> {
        let id = consumer.id;
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT did FROM inbox WHERE consumer_id = ?1 AND state = 'paused'",
            )?;
            let rows = statement.query_map([id], |row| parsed(row, "did"))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Takes commits in, all or none, and returns how many events are new: a commit that is not newer
    /// than its repository's head is dropped whole, and an event that was taken alone does not come again
    /// with its commit (promise P3). Survives a killed process; a power
    /// loss takes back events, heads and cursor together. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept: then nothing of it is.
    pub async fn take_in(
        &self,
        consumer: &Consumer,
        intake: impl Into<Arc<Intake>>,
        now: i64,
    ) -> Result<u64, StoreError> {
        let (id, intake) = (consumer.id, intake.into());
        self.write("take_in", Durability::Process, move |connection| {
            let mut new = 0;
            for commit in &intake.commits {
                if atcomms_lexicon::fault::on("cursor-without-events") {
                    break;
                }
                new += take_in(connection, id, commit, now)?;
            }
            for (did, change) in &intake.accounts {
                account(connection, id, did, *change)?;
            }
            // After the commits: at worst, a repository that was just fetched is fetched again.
            for did in &intake.broken {
                connection
                    .prepare_cached(
                        "UPDATE repository SET story = 'broken'
                         WHERE consumer_id = ?1 AND did = ?2 AND story = 'whole'",
                    )?
                    .execute(params![id, did.as_str()])?;
            }
            for (host, seq) in &intake.cursors {
                connection
                    .prepare_cached(
                        "INSERT INTO cursor VALUES (?1, ?2, ?3)
                         ON CONFLICT DO UPDATE SET seq = max(seq, ?3)",
                    )?
                    .execute(params![id, host, seq])?;
            }
            Ok(new)
        })
        .await
    }
}

fn account(
    connection: &Connection,
    consumer: i64,
    did: &Did,
    change: AccountChange,
) -> Result<(), StoreError> {
    let statement = match change {
        AccountChange::Pause => {
            "UPDATE inbox SET state = 'paused' WHERE consumer_id = ?1 AND did = ?2 AND state = 'waiting'
                 AND lease IS NULL"
        }
        AccountChange::Resume => {
            "UPDATE inbox SET state = 'waiting' WHERE consumer_id = ?1 AND did = ?2 AND state = 'paused'"
        }
        AccountChange::Purge => "DELETE FROM inbox WHERE consumer_id = ?1 AND did = ?2",
    };
    connection
        .prepare_cached(statement)?
        .execute(params![consumer, did.as_str()])?;
    Ok(())
}

fn take_in(
    connection: &Connection,
    consumer: i64,
    commit: &Commit,
    now: i64,
) -> Result<u64, StoreError> {
    let new = match (&commit.head, commit.events.first()) {
        _ if commit.alone => true,
        (Some(head), _) => verified(connection, consumer, head, commit.story, now)?,
        (None, Some(event)) => relayed(connection, consumer, event)?,
        (None, None) => false,
    };
    if !new {
        return Ok(0);
    }
    let known = match commit.alone {
        true => heard::hear(connection, consumer, &commit.events)?,
        false => {
            let verified = commit.head.is_some();
            heard::overheard(connection, consumer, &commit.events, verified)?
        }
    };
    let did = match (&commit.head, commit.events.first()) {
        (Some(head), _) => Some(&head.did),
        (None, event) => event.map(|event| &event.did),
    };
    if let Some(did) = did {
        known::learn(connection, consumer, did, &commit.known)?;
    }
    let Some(first) = commit.events.first() else {
        return Ok(0);
    };
    // What comes after events that are paused waits behind them (promise P4).
    let paused: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM inbox WHERE consumer_id = ?1 AND did = ?2 AND state = 'paused')",
        )?
        .query_row(params![consumer, first.did.as_str()], |row| row.get(0))?;
    let state = if paused { "paused" } else { "waiting" };
    let mut new = 0;
    let mut statement = connection.prepare_cached(
        "INSERT INTO inbox (consumer_id, did, collection, rkey, action, rev, cid, commit_cid, record, trust,
             continuity, undecodable, live, source, seq, received_at, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?;
    for (event, _) in commit.events.iter().zip(known).filter(|(_, known)| !known) {
        new += 1;
        statement.execute(params![
            consumer,
            event.did.as_str(),
            event.collection.as_str(),
            event.rkey.as_str(),
            event.change.as_str(),
            event.rev.to_string(),
            event.cid.map(|cid| cid.to_string()),
            event.commit.map(|cid| cid.to_string()),
            event.record,
            event.trust,
            event.continuity,
            event.undecodable,
            event.live,
            event.source,
            event.seq,
            now,
            state
        ])?;
    }
    Ok(new)
}

/// Moves a repository's head; false if the commit is not newer.
fn verified(
    connection: &Connection,
    consumer: i64,
    head: &RepositoryHead,
    story: Option<Story>,
    now: i64,
) -> Result<bool, StoreError> {
    // TIDs sort as text as they do as numbers.
    let moved = connection
        .prepare_cached(
            "INSERT INTO repository (consumer_id, did, rev, data, at, story)
             VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, 'begun'))
             ON CONFLICT DO UPDATE SET rev = ?3, data = ?4, at = ?5, story =
                 -- What was never whole cannot be broken.
                 CASE WHEN ?6 IS NULL OR (?6 = 'broken' AND story = 'begun') THEN story ELSE ?6 END
             WHERE rev < ?3 OR (rev = ?3 AND ?6 = 'whole')",
        )?
        .execute(params![
            consumer,
            head.did.as_str(),
            head.rev.to_string(),
            head.data.to_string(),
            now,
            story.map(Story::as_str)
        ])?;
    Ok(moved > 0 || atcomms_lexicon::fault::on("not-newer"))
}

/// The same for a commit that a relay vouches for: its word never makes a verified one be dropped.
fn relayed(connection: &Connection, consumer: i64, event: &Event) -> Result<bool, StoreError> {
    let (did, rev) = (event.did.as_str(), event.rev.to_string());
    let moved = connection
        .prepare_cached(
            "INSERT INTO relayed SELECT ?1, ?2, ?3
             WHERE NOT EXISTS (SELECT 1 FROM repository WHERE consumer_id = ?1 AND did = ?2 AND rev >= ?3)
             ON CONFLICT DO UPDATE SET rev = ?3 WHERE rev < ?3",
        )?
        .execute(params![consumer, did, rev])?;
    Ok(moved > 0)
}
