//! From the stream into the inbox: events, heads and cursor in one transaction (promise P5).

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::Event;
use crate::consumer::{Consumer, RepositoryHead};
use crate::error::StoreError;
use crate::job::Durability;
use crate::store::Store;

/// One commit, as it is taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Its repository's state after it; `None` if it was not verified: then it is dropped if a newer one
    /// is known, and makes only others like it be dropped.
    pub head: Option<RepositoryHead>,
    /// Its events, in their order.
    pub events: Vec<Event>,
}

/// What is taken in together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intake {
    /// Commits, in the order in which they are delivered.
    pub commits: Vec<Commit>,
    /// How far the hosts' streams are taken in with this.
    pub cursors: Vec<(String, i64)>,
}

impl Store {
    /// Takes commits in, all or none, and returns how many events are new: a commit that is not newer
    /// than its repository's head is dropped whole (promise P3). Survives a killed process; a power
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

fn take_in(
    connection: &Connection,
    consumer: i64,
    commit: &Commit,
    now: i64,
) -> Result<u64, StoreError> {
    let new = match (&commit.head, commit.events.first()) {
        (Some(head), _) => verified(connection, consumer, head, now)?,
        (None, Some(event)) => relayed(connection, consumer, event)?,
        (None, None) => false,
    };
    if !new {
        return Ok(0);
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO inbox (consumer_id, did, collection, rkey, action, rev, cid, commit_cid, record, trust,
             continuity, undecodable, live, source, seq, received_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    for event in &commit.events {
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
            now
        ])?;
    }
    Ok(u64::try_from(commit.events.len()).unwrap_or(u64::MAX))
}

/// Moves a repository's head; false if the commit is not newer.
fn verified(
    connection: &Connection,
    consumer: i64,
    head: &RepositoryHead,
    now: i64,
) -> Result<bool, StoreError> {
    // TIDs sort as text as they do as numbers.
    let moved = connection
        .prepare_cached(
            "INSERT INTO repository VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET rev = ?3, data = ?4, at = ?5 WHERE rev < ?3",
        )?
        .execute(params![
            consumer,
            head.did.as_str(),
            head.rev.to_string(),
            head.data.to_string(),
            now
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
