//! Events that were taken alone, and not with their commit: on a Jetstream's word, or with a proof of the one
//! record, which says nothing of the rest of its commit. So no head moves, and they are told apart one by one.
//!
//! An event is dropped that is older than the newest of them, or among them, or not newer than a commit that
//! was taken whole; and of a commit that comes whole, what was taken just so.

use rusqlite::{Connection, params};

use super::Event;
use crate::error::StoreError;

/// Operations of one repository that are remembered, the newest: more than a commit can have, for the events
/// of one may come one by one.
const REMEMBERED: usize = 256;

/// Remembers events that come alone; says which are not newer than what was taken before.
pub(super) fn hear(
    connection: &Connection,
    consumer: i64,
    events: &[Event],
) -> Result<Vec<bool>, StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO heard SELECT ?1, ?2, ?3, ?4, ?5, ?6
         WHERE NOT EXISTS (SELECT 1 FROM repository WHERE consumer_id = ?1 AND did = ?2 AND rev >= ?3)
         AND NOT EXISTS (SELECT 1 FROM relayed WHERE consumer_id = ?1 AND did = ?2 AND rev >= ?3)
         AND NOT EXISTS (SELECT 1 FROM heard WHERE consumer_id = ?1 AND did = ?2 AND rev > ?3)",
    )?;
    let mut forget = connection.prepare_cached(
        "DELETE FROM heard WHERE consumer_id = ?1 AND did = ?2 AND rev < (SELECT rev FROM heard
             WHERE consumer_id = ?1 AND did = ?2 ORDER BY rev DESC LIMIT 1 OFFSET ?3)",
    )?;
    let mut known = Vec::with_capacity(events.len());
    for event in events {
        let did = event.did.as_str();
        let new = insert.execute(params![
            consumer,
            did,
            event.rev.to_string(),
            event.collection.as_str(),
            event.rkey.as_str(),
            event.cid.map(|cid| cid.to_string())
        ])?;
        if new > 0 {
            forget.execute(params![consumer, did, REMEMBERED])?;
        }
        known.push(new == 0);
    }
    Ok(known)
}

/// Which events of a commit that is taken whole were taken before, just so. What is not newer than a verified
/// one is forgotten: its head drops it from here on.
pub(super) fn overheard(
    connection: &Connection,
    consumer: i64,
    events: &[Event],
    verified: bool,
) -> Result<Vec<bool>, StoreError> {
    let Some(first) = events.first() else {
        return Ok(Vec::new());
    };
    let (did, rev) = (first.did.as_str(), first.rev.to_string());
    let any = connection
        .prepare_cached("SELECT 1 FROM heard WHERE consumer_id = ?1 AND did = ?2 LIMIT 1")?
        .exists(params![consumer, did])?;
    if !any {
        return Ok(vec![false; events.len()]);
    }
    let mut same = connection.prepare_cached(
        "SELECT 1 FROM heard WHERE consumer_id = ?1 AND did = ?2 AND rev = ?3 AND collection = ?4 AND rkey = ?5
             AND cid IS ?6",
    )?;
    let mut known = Vec::with_capacity(events.len());
    for event in events {
        known.push(same.exists(params![
            consumer,
            did,
            rev,
            event.collection.as_str(),
            event.rkey.as_str(),
            event.cid.map(|cid| cid.to_string())
        ])?);
    }
    if verified {
        connection
            .prepare_cached("DELETE FROM heard WHERE consumer_id = ?1 AND did = ?2 AND rev <= ?3")?
            .execute(params![consumer, did, rev])?;
    }
    Ok(known)
}
