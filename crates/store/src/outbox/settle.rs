//! What became of what was sent.

use atcomms_lexicon::{Cid, Tid, fault};
use rusqlite::{Connection, params};

use super::{Action, Entry};
use crate::error::StoreError;
use crate::job::Durability;
use crate::store::Store;

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is in the repository, or a delete's record no longer is.
    Written {
        /// The rev of the commit, if the PDS told.
        rev: Option<Tid>,
        /// The commit, if the PDS told.
        commit: Option<Cid>,
    },
    /// It is not, and trying again will not help.
    Failed(Failed),
    /// It was certainly not carried out; it stays pending.
    NotDone {
        /// Why not.
        reason: String,
        /// When it may be sent again (milliseconds since 1970).
        not_before: i64,
    },
    /// Nobody knows; it stays pending, and is read back before it is sent again.
    InDoubt {
        /// Why not.
        reason: String,
        /// When it may be looked at again (milliseconds since 1970).
        not_before: i64,
    },
}

/// Why an entry has failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// A name that a program can tell apart, such as `KeyTaken`.
    pub failure: String,
    /// In words.
    pub reason: String,
    /// What is there instead.
    pub found: Option<Cid>,
}

/// The name of the failure of what depended on something that was not written.
const NOT_WRITTEN: &str = "NotWritten";

impl Store {
    /// Stores what became of entries, in one transaction, and returns the numbers of those that failed
    /// because what they were to change was never written. Survives a killed process, and where one of
    /// them changes what is there, or its attachments are needed no more, a power loss: a creation that
    /// was forgotten is found again by its key and its CID. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept: then they are in doubt.
    pub async fn settle(
        &self,
        outcomes: Vec<(Entry, Outcome)>,
        now: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let may_be_forgotten = |(entry, outcome): &(Entry, Outcome)| {
            let written = matches!(outcome, Outcome::Written { .. });
            entry.action == Action::Create && (entry.blobs.is_empty() || !written)
        };
        let durability = match outcomes.iter().all(may_be_forgotten) {
            true => Durability::Process,
            false => Durability::PowerLoss,
        };
        let attached: Vec<Cid> = outcomes
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Outcome::Written { .. }))
            .flat_map(|(entry, _)| entry.blobs.iter().map(|blob| blob.cid))
            .collect();
        let dependents = self
            .write("settle", durability, move |connection| {
                let mut dependents = Vec::new();
                for (entry, outcome) in &outcomes {
                    dependents.extend(settle(connection, entry, outcome, now)?);
                }
                Ok::<_, StoreError>(dependents)
            })
            .await?;
        self.let_go(attached).await;
        Ok(dependents)
    }
}

fn settle(
    connection: &Connection,
    entry: &Entry,
    outcome: &Outcome,
    now: i64,
) -> Result<Vec<i64>, StoreError> {
    let id = entry.id;
    match outcome {
        Outcome::Written { rev, commit } => {
            connection
                .prepare_cached(
                    "UPDATE outbox SET state = 'written', doubt_since = NULL, reason = NULL, settled_at = ?2,
                         rev = ?3, commit_cid = ?4
                     WHERE id = ?1 AND state = 'pending'",
                )?
                .execute(params![
                    id,
                    now,
                    rev.map(|rev| rev.to_string()),
                    commit.map(|cid| cid.to_string())
                ])?;
            connection
                .prepare_cached("DELETE FROM attachment WHERE outbox_id = ?1")?
                .execute([id])?;
        }
        Outcome::Failed(failed) => {
            fail(connection, id, failed, now)?;
            if entry.action == Action::Create && !fault::on("dependents") {
                return fail_dependents(connection, entry, failed, now);
            }
        }
        Outcome::NotDone { reason, not_before } => {
            connection
                .prepare_cached(
                    "UPDATE outbox SET doubt_since = NULL, reason = ?2, not_before = ?3
                     WHERE id = ?1 AND state = 'pending'",
                )?
                .execute(params![id, reason, not_before])?;
        }
        Outcome::InDoubt { reason, not_before } => {
            connection
                .prepare_cached(
                    "UPDATE outbox SET reason = ?2, not_before = ?3 WHERE id = ?1 AND state = 'pending'",
                )?
                .execute(params![id, reason, not_before])?;
        }
    }
    Ok(Vec::new())
}

fn fail(connection: &Connection, id: i64, failed: &Failed, now: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE outbox SET state = 'failed', doubt_since = NULL, failure = ?2, reason = ?3, found = ?4,
                 settled_at = ?5
             WHERE id = ?1 AND state = 'pending'",
        )?
        .execute(params![
            id,
            failed.failure,
            failed.reason,
            failed.found.map(|cid| cid.to_string()),
            now
        ])?;
    Ok(())
}

/// A change or a delete of a record that was never written would meet somebody else's. What was accepted
/// after another creation of the key depends on that one.
fn fail_dependents(
    connection: &Connection,
    entry: &Entry,
    failed: &Failed,
    now: i64,
) -> Result<Vec<i64>, StoreError> {
    let ids: Vec<i64> = connection
        .prepare_cached(
            "SELECT id FROM outbox WHERE did = ?1 AND collection = ?2 AND rkey = ?3 AND state = 'pending'
                 AND action <> 'create' AND id > ?4 AND id < coalesce((
                     SELECT min(id) FROM outbox WHERE did = ?1 AND collection = ?2 AND rkey = ?3
                         AND state = 'pending' AND action = 'create' AND id > ?4), id + 1)",
        )?
        .query_map(
            params![entry.did.as_str(), entry.collection.as_str(), entry.rkey.as_str(), entry.id],
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let failed = Failed {
        failure: NOT_WRITTEN.to_owned(),
        reason: format!("what it changes was not written: {}", failed.reason),
        found: None,
    };
    for id in &ids {
        fail(connection, *id, &failed, now)?;
    }
    Ok(ids)
}
