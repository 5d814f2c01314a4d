//! What is known on somebody's word: the events of a Jetstream, one operation each.
//!
//! A word never moves a repository's verified head, nor does a proof of one record, which says nothing of the
//! others. So what was taken of such events is remembered one by one: for dropping them when they come again,
//! and for dropping the same operation when it comes in a signed commit.

use std::collections::HashMap;

use atcomms_lexicon::{AtUri, Cid, Did, Map, Nsid, RecordKey, Tid};
use atcomms_repo::frame::Action;
use atcomms_repo::verify::Limits;
use bytes::Bytes;

use super::order::Ticket;
use super::said::{Unreadable, readable};
use super::{Engine, Outcome, Output, SourceIndex};
use crate::delivery::{Delivery, Undecodable};
use crate::jetstream::{self, Kind, Operation, Record};
use crate::snapshot::Path;
use crate::trust::{Continuity, Trust};

/// Operations that are remembered, in each of two generations; the older one is forgotten when the newer is
/// full. Far more than a reconnect goes back, at about 300 bytes each: 40 MB at most.
const OPERATIONS_PER_GENERATION: usize = 65_536;

/// One operation that somebody says has happened.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) source: SourceIndex,
    pub(super) seq: i64,
    pub(super) did: Did,
    pub(super) rev: Tid,
    pub(super) action: Action,
    pub(super) collection: Nsid,
    pub(super) rkey: RecordKey,
    /// The record, by hash; `None` for a delete.
    pub(super) cid: Option<Cid>,
    /// Its place in the queue, if it has one.
    pub(super) ticket: Option<Ticket>,
}

/// A record, as far as it was to be had.
pub(super) struct Text {
    pub(super) map: Result<Option<Map>, String>,
    pub(super) bytes: Option<Bytes>,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was delivered, with this record.
    Delivered(Option<Cid>),
    /// It was looked into, and not delivered.
    Dropped,
}

type Operations = HashMap<(Did, Tid, String), Fate>;

/// The operations that were taken on somebody's word, or proven one by one.
#[derive(Debug, Default)]
pub(super) struct Hearsay {
    young: Operations,
    old: Operations,
}

impl Hearsay {
    pub(super) fn note(&mut self, did: &Did, rev: Tid, path: String, fate: Fate) {
        if self.young.len() >= OPERATIONS_PER_GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert((did.clone(), rev, path), fate);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    pub(super) fn fate(&self, did: &Did, rev: Tid, path: &str) -> Option<Fate> {
        let key = (did.clone(), rev, path.to_owned());
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    /// Whether just this was delivered already. Of a false word nothing is dropped that is genuine, for that
    /// has another record.
    pub(super) fn delivered(&self, did: &Did, rev: Tid, path: &str, cid: Option<Cid>) -> bool {
        self.fate(did, rev, path) == Some(Fate::Delivered(cid))
    }
}

impl Word {
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection, self.rkey)
    }
}

impl Engine {
    /// Takes in one event of a Jetstream; gives its time, if it has one.
    pub(crate) fn word(&mut self, source: SourceIndex, text: &[u8], now: u64) -> Option<i64> {
        self.order.expire(now);
        let event = match jetstream::parse(text) {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(%error, "an event was skipped");
                self.counters.rejected(error.reason());
                return None;
            }
        };
        // As a cursor it would make us miss all until then.
        if is_ahead(u64::try_from(event.time_us).unwrap_or_default(), now) {
            self.counters.rejected("future_time");
            return None;
        }
        match event.kind {
            Kind::Commit(operation) => {
                self.operation(source, event.time_us, event.did, *operation, now);
            }
            Kind::Identity => self.forget(event.did),
            // An account's new state is one hop's word, and needs no action without a store.
            Kind::Account | Kind::Other => {}
        }
        Some(event.time_us)
    }

    fn operation(
        &mut self,
        source: SourceIndex,
        seq: i64,
        did: Did,
        operation: Operation,
        now: u64,
    ) {
        let Operation {
            rev,
            action,
            collection,
            rkey,
            content,
        } = operation;
        let path = [collection.as_str()];
        if !self.scope.wants_commit(did.as_str(), path.into_iter())
            || !self.scope.wants_operation(action, collection.as_str())
        {
            return;
        }
        if !self.lets_in(did.as_str(), path.into_iter(), now) || self.over_budget(&did, |_| 1, now)
        {
            return;
        }
        if is_ahead(rev.micros(), now) {
            self.counters.rejected("future_rev");
            return;
        }
        let mut word = Word {
            source,
            seq,
            did,
            rev,
            action,
            collection,
            rkey,
            cid: content.as_ref().map(|content| content.cid),
            ticket: None,
        };
        if self.is_known(&word) || self.raising.has(&word) {
            self.counters.duplicates(1);
            return;
        }
        self.pay(&word.did, 1, now);
        self.unsettled.add((source, seq));
        if self.required > Trust::Jetstream {
            word.ticket = self.place(&word.did, rev, now);
            self.raise(word);
            return;
        }
        // With nobody waiting, there is nothing to wait for.
        if !self.order.is_empty() {
            word.ticket = self.place(&word.did, rev, now);
        }
        let text = match content.map(|content| content.record) {
            None => Text {
                map: Ok(None),
                bytes: None,
            },
            Some(Record::Readable { map, bytes }) => Text {
                map: Ok(Some(map)),
                bytes: Some(bytes),
            },
            Some(Record::Undecidable { reason }) => Text {
                map: Err(reason),
                bytes: None,
            },
        };
        self.tell(&word, text, Trust::Jetstream, None);
        self.settle(&word);
    }

    /// Whether an event is not newer than what was taken already.
    pub(super) fn is_known(&mut self, word: &Word) -> bool {
        let Some(repository) = self.repositories.get_mut(&word.did) else {
            return false;
        };
        let head = repository.head.map(|head| head.rev);
        head.is_some_and(|rev| rev >= word.rev)
            || repository.relayed.is_some_and(|rev| rev >= word.rev)
            || repository.heard.is_some_and(|rev| rev > word.rev)
            || self
                .hearsay
                .fate(&word.did, word.rev, &word.path())
                .is_some()
    }

    /// Remembers what became of an event.
    pub(super) fn note(&mut self, word: &Word, fate: Fate) {
        let followed = self.scope.follows(word.did.as_str());
        let repository = self.repositories.entry(&word.did, followed);
        repository.heard = repository.heard.max(Some(word.rev));
        self.hearsay.note(&word.did, word.rev, word.path(), fate);
    }

    /// Delivers an event.
    pub(super) fn tell(&mut self, word: &Word, text: Text, trust: Trust, commit: Option<Cid>) {
        let source = self.name_of(word.source);
        let uri = AtUri::record(&word.did, &word.collection, &word.rkey);
        let map = text.map.map_err(Unreadable::Undecodable);
        let map = map.and_then(|map| match map {
            Some(map) => readable(&word.collection, map, &word.did).map(Some),
            None => Ok(None),
        });
        let output = match map {
            Ok(record) => Output::Deliver(Delivery {
                uri,
                cid: word.cid,
                rev: word.rev,
                commit,
                author: word.did.clone(),
                collection: word.collection.clone(),
                rkey: word.rkey.clone(),
                action: word.action,
                trust,
                continuity: Continuity::Linked,
                live: true,
                record,
                source,
                seq: word.seq,
                bytes: text.bytes,
            }),
            Err(Unreadable::OtherAuthor) => {
                self.counters.rejected("other_author");
                self.note(word, Fate::Dropped);
                return;
            }
            Err(Unreadable::Undecodable(reason)) => {
                self.counters.rejected("undecodable");
                Output::Undecodable(Undecodable {
                    uri,
                    cid: word.cid,
                    action: word.action,
                    rev: word.rev,
                    commit,
                    author: word.did.clone(),
                    reason,
                    bytes: text.bytes.unwrap_or_default(),
                    source,
                    live: true,
                    seq: word.seq,
                })
            }
        };
        self.note(word, Fate::Delivered(word.cid));
        self.order.put(word.ticket, output);
    }

    /// Says that nothing more comes of an event that is proven; of a followed repository, it is known then.
    pub(super) fn settle_proven(&mut self, word: &Word) {
        let followed = self.scope.follows(word.did.as_str());
        let known = followed.then(|| {
            let (collection, rkey) = (word.collection.clone(), word.rkey.clone());
            (word.did.clone(), Path { collection, rkey }, word.cid)
        });
        self.settle_as(word, known);
    }

    /// Says that nothing more comes of an event.
    pub(super) fn settle(&mut self, word: &Word) {
        self.settle_as(word, None);
    }

    fn settle_as(&mut self, word: &Word, known: Option<(Did, Path, Option<Cid>)>) {
        let settled = Output::Settled {
            source: word.source,
            seq: word.seq,
            outcome: Outcome::Alone(known),
        };
        self.order.put(word.ticket, settled);
        self.order.done(word.ticket);
    }
}

/// Whether a time is later than clocks can differ.
fn is_ahead(micros: u64, now: u64) -> bool {
    let future = Limits::default().future.as_micros();
    micros > now.saturating_add(u64::try_from(future).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_bounded_and_the_newest_is_kept() {
        let did: Did = "did:web:a.example".parse().unwrap();
        let rev = |n: usize| Tid::from_parts(n as u64 + 1, 0);
        let mut hearsay = Hearsay::default();
        let count = 3 * OPERATIONS_PER_GENERATION;
        for n in 0..count {
            hearsay.note(&did, rev(n), "a.b.c/x".to_owned(), Fate::Dropped);
        }
        assert!(hearsay.young.len() + hearsay.old.len() <= 2 * OPERATIONS_PER_GENERATION);
        let fate = |n: usize| hearsay.fate(&did, rev(n), "a.b.c/x");
        assert_eq!(fate(count - OPERATIONS_PER_GENERATION), Some(Fate::Dropped));
        assert_eq!(fate(0), None);
    }

    #[test]
    fn only_the_same_record_was_delivered() {
        let did: Did = "did:web:a.example".parse().unwrap();
        let (rev, cid) = (Tid::from_parts(7, 0), atcomms_lexicon::cid_for_cbor);
        let mut hearsay = Hearsay::default();
        hearsay.note(
            &did,
            rev,
            "a.b.c/x".to_owned(),
            Fate::Delivered(Some(cid(b"true"))),
        );
        assert!(hearsay.delivered(&did, rev, "a.b.c/x", Some(cid(b"true"))));
        for (path, record) in [
            ("a.b.c/x", Some(cid(b"false"))),
            ("a.b.c/x", None),
            ("a.b.c/y", Some(cid(b"true"))),
        ] {
            assert!(
                !hearsay.delivered(&did, rev, path, record),
                "{path} {record:?}"
            );
        }
    }
}
