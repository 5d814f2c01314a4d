//! From an operation to what the subscriber is told of it: a delivery, or a value that says what is wrong.

use std::sync::Arc;

use atcomms_lexicon::{AtUri, Cid, Did, Map, Nsid, RecordKey, Tid, Value, claimed_author, fault};
use atcomms_repo::frame::Action;
use atcomms_repo::verify::CheckedCommit;
use bytes::Bytes;

use super::order::Ticket;
use super::repository::Held;
use super::{Engine, Output};
use crate::delivery::{Delivery, Undecodable};
use crate::trust::{Continuity, Trust};

/// Bytes of the records of one commit, each counted for every operation that names it: what a commit
/// with a record for each operation can have at most.
const MAX_RECORDS: usize = 2_000_000;

/// One operation, with all that is known of it.
pub(super) struct Said {
    pub(super) did: Did,
    pub(super) collection: Nsid,
    pub(super) rkey: RecordKey,
    pub(super) action: Action,
    pub(super) cid: Option<Cid>,
    pub(super) bytes: Option<Bytes>,
    pub(super) rev: Tid,
    pub(super) commit: Option<Cid>,
    pub(super) trust: Trust,
    pub(super) continuity: Continuity,
    pub(super) live: bool,
    pub(super) source: Arc<str>,
    pub(super) seq: i64,
}

impl Engine {
    /// Tells of all operations of a commit that are wanted.
    pub(super) fn say_commit(
        &mut self,
        held: &Held,
        ticket: Option<Ticket>,
        commit: CheckedCommit,
        trust: Trust,
        continuity: Continuity,
    ) {
        // Many operations may name one record: what is small on the wire must not become large here.
        let records = commit.ops().iter().filter_map(|op| op.record());
        if records.map(|record| record.len()).sum::<usize>() > MAX_RECORDS {
            self.counters.rejected("records_too_large");
            return;
        }
        let source = self.name_of(held.source);
        let (did, rev, cid) = (commit.did().clone(), commit.rev(), commit.commit());
        for op in commit.into_ops() {
            if !self.hearsay.is_empty()
                && let path = format!("{}/{}", op.collection(), op.rkey())
                && self.hearsay.delivered(&did, rev, &path, op.cid())
            {
                self.counters.duplicates(1);
                continue;
            }
            self.say(
                ticket,
                Said {
                    did: did.clone(),
                    collection: op.collection().clone(),
                    rkey: op.rkey().clone(),
                    action: op.action(),
                    cid: op.cid(),
                    bytes: op.record().cloned(),
                    rev,
                    commit: Some(cid),
                    trust,
                    continuity,
                    live: true,
                    source: source.clone(),
                    seq: held.seq,
                },
            );
        }
    }

    /// Tells of one operation, if it is wanted.
    pub(super) fn say(&mut self, ticket: Option<Ticket>, said: Said) {
        let (action, collection) = (said.action, said.collection.as_str());
        if !self.scope.wants_operation(action, collection)
            || self.scope.leaves_out(said.did.as_str())
        {
            return;
        }
        let uri = AtUri::record(&said.did, &said.collection, &said.rkey);
        let output = match read(&said) {
            Ok(record) => Output::Deliver(Delivery {
                uri,
                cid: said.cid,
                rev: said.rev,
                commit: said.commit,
                author: said.did,
                collection: said.collection,
                rkey: said.rkey,
                action: said.action,
                trust: said.trust,
                continuity: said.continuity,
                live: said.live,
                record,
                source: said.source,
                seq: said.seq,
                bytes: said.bytes,
            }),
            Err(Unreadable::OtherAuthor) => {
                self.counters.rejected("other_author");
                return;
            }
            Err(Unreadable::Undecodable(reason)) => {
                self.counters.rejected("undecodable");
                Output::Undecodable(Undecodable {
                    uri,
                    cid: said.cid,
                    action: said.action,
                    rev: said.rev,
                    commit: said.commit,
                    author: said.did,
                    live: said.live,
                    reason,
                    bytes: said.bytes.unwrap_or_default(),
                    source: said.source,
                    seq: said.seq,
                })
            }
        };
        self.order.put(ticket, output);
    }
}

pub(super) enum Unreadable {
    OtherAuthor,
    Undecodable(String),
}

/// The record of an operation, if it can be read and does not claim another author (P6).
fn read(said: &Said) -> Result<Option<Map>, Unreadable> {
    let Some(bytes) = &said.bytes else {
        return Ok(None);
    };
    match Value::from_cbor(bytes) {
        Ok(Value::Map(map)) => readable(&said.collection, map, &said.did).map(Some),
        Ok(_) => Err(Unreadable::Undecodable("a record must be a map".to_owned())),
        Err(error) => Err(Unreadable::Undecodable(error.to_string())),
    }
}

/// A record that does not claim another author.
pub(super) fn readable(collection: &Nsid, map: Map, did: &Did) -> Result<Map, Unreadable> {
    match claimed_author(collection.as_str(), &map) {
        _ if fault::on("sender") => Ok(map),
        Some(claimed) if claimed != did.as_str() => Err(Unreadable::OtherAuthor),
        _ => Ok(map),
    }
}
