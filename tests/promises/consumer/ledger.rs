//! What a consumer was told and what it said, over all of its processes, beside what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use atcomms::Store;
use atcomms::store::rusqlite::Connection;
use atcomms::subscribe::Leased;

use super::Network;

/// The consumer's own table, with an effect for each event that was acknowledged together with it.
pub(crate) const EFFECTS: &str = "promise_effects";

struct Known {
    writer: usize,
    commit: usize,
    seq: i64,
}

#[derive(Default)]
pub(crate) struct Ledger {
    written: BTreeMap<String, Known>,
    /// Handed out, at least once.
    pub(crate) handed: BTreeSet<String>,
    /// An acknowledgement was begun.
    begun: BTreeSet<String>,
    /// It was said to be acknowledged.
    acknowledged: BTreeSet<String>,
    /// It was said that its effect has happened.
    effects: BTreeSet<String>,
    /// Laid among the dead at some time: it may come late, and as if it were the first time.
    dead: BTreeSet<String>,
    /// The last commit of each writer that was handed out first.
    last: BTreeMap<usize, usize>,
}

impl Ledger {
    pub(crate) fn new(network: &Network) -> Self {
        let written = network.written.iter().map(|written| {
            let known = Known {
                writer: written.writer,
                commit: written.commit,
                seq: written.seq,
            };
            (written.key.clone(), known)
        });
        Self {
            written: written.collect(),
            ..Self::default()
        }
    }

    /// An event is handed out.
    pub(crate) fn hands_out(&mut self, leased: &Leased) -> String {
        let key = leased.item().expect("a message").rkey.to_string();
        let known = self.written.get(&key).expect("what was written");
        assert!(
            !self.acknowledged.contains(&key),
            "{key} was acknowledged, and comes again"
        );
        if leased.attempts() == 1 && !self.dead.contains(&key) {
            let last = self.last.entry(known.writer).or_default();
            assert!(
                known.commit >= *last,
                "{key} comes first after commit {last} of its writer"
            );
            *last = known.commit;
        }
        self.handed.insert(key.clone());
        key
    }

    pub(crate) fn begins(&mut self, key: &str) {
        self.begun.insert(key.to_owned());
    }

    pub(crate) fn acknowledges(&mut self, key: String, with_effect: bool) {
        if with_effect {
            self.effects.insert(key.clone());
        }
        self.acknowledged.insert(key);
    }

    pub(crate) fn lays_aside(&mut self, key: String) {
        self.dead.insert(key);
    }

    pub(crate) fn all_handed_out(&self) -> bool {
        self.handed.len() == self.written.len()
    }

    /// P5: all that the cursor has passed is in the inbox, unless it was acknowledged. Tells how much
    /// the cursor has passed, and whether all.
    pub(crate) async fn cursor_is_behind_the_data(&self, store: &Store) -> (usize, bool) {
        let consumer = store.consumer("promise", 0).await.expect("a consumer");
        let cursors = store.cursors(&consumer).await.expect("cursors");
        let cursor = cursors.first().map_or(0, |(_, seq)| *seq);
        let mut there = BTreeSet::new();
        for dead in [false, true] {
            let events = store.inbox(&consumer, dead, 0, 10_000).await;
            let events = events.expect("the inbox").into_iter();
            there.extend(events.map(|received| received.event.rkey.to_string()));
        }
        let passed = self.written.iter().filter(|(_, known)| known.seq <= cursor);
        let mut count = 0;
        for (key, known) in passed {
            count += 1;
            assert!(
                there.contains(key) || self.begun.contains(key),
                "the cursor is at {cursor}, and {key} (seq {}) is nowhere",
                known.seq
            );
        }
        (count, count == self.written.len())
    }

    /// At the end: everything was handed out, and each effect has happened once.
    pub(crate) fn judge(&self, path: &Path) {
        let missing = self
            .written
            .keys()
            .filter(|key| !self.handed.contains(*key));
        let missing: Vec<_> = missing.collect();
        assert!(
            !self.written.is_empty() && missing.is_empty(),
            "{missing:?}"
        );
        let store = Connection::open(path).expect("the store");
        let query = format!("SELECT key, count(*) FROM {EFFECTS} GROUP BY key");
        let mut statement = store.prepare(&query).expect("the consumer's table");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let effects: BTreeMap<String, u64> = rows
            .expect("its rows")
            .collect::<Result<_, _>>()
            .expect("its rows");
        for (key, count) in &effects {
            assert_eq!(*count, 1, "the effect of {key}");
            assert!(
                self.effects.contains(key) || !self.acknowledged.contains(key),
                "{key} was acknowledged without its effect, and it happened"
            );
        }
        for key in &self.effects {
            assert!(effects.contains_key(key), "the effect of {key} is missing");
        }
    }
}
