//! What the caller of one run knows, over the deaths of its processes, as if it had written it down.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use atcomms::lexicon::{AtUri, Cid, Datetime, Did, Message, RecordKey, Tid, encode};
use atcomms::publish::Receipt;
use atcomms::store::{Entry, State};

use super::script::{FILES, Target};

pub(crate) const COLLECTION: &str = "agent.comms.message";

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) did: Did,
    /// The operations that are done, or accepted.
    pub(crate) done: BTreeSet<usize>,
    /// How often each was begun, by processes that then died.
    pub(crate) tries: BTreeMap<usize, i64>,
    /// The entries that each operation has become.
    pub(crate) ids: BTreeMap<usize, Vec<i64>>,
    /// Where each operation's record is.
    pub(crate) uris: BTreeMap<usize, AtUri>,
    pub(crate) given_up: BTreeSet<usize>,
    pub(crate) receipts: BTreeMap<usize, Receipt>,
    /// What became of entries.
    pub(crate) settled: BTreeMap<i64, Settled>,
}

#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) state: State,
    pub(crate) cid: Option<Cid>,
    pub(crate) failure: Option<String>,
}

impl Ledger {
    pub(crate) fn new(did: Did) -> Self {
        Ledger {
            did,
            done: BTreeSet::new(),
            tries: BTreeMap::new(),
            ids: BTreeMap::new(),
            uris: BTreeMap::new(),
            given_up: BTreeSet::new(),
            receipts: BTreeMap::new(),
            settled: BTreeMap::new(),
        }
    }

    /// Notes that an operation begins; gives how often it was begun before.
    pub(crate) fn begin(&mut self, number: usize) -> i64 {
        let tries = self.tries.entry(number).or_default();
        *tries += 1;
        *tries - 1
    }

    /// Notes that an operation has become an entry.
    pub(crate) fn accepted(&mut self, number: usize, id: i64, uri: &AtUri) -> Result<()> {
        let ids = self.ids.entry(number).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
        let before = self.uris.insert(number, uri.clone());
        ensure!(
            before.as_ref().is_none_or(|before| before == uri),
            "operation {number} is at {uri}, and was at {before:?}"
        );
        self.done.insert(number);
        Ok(())
    }

    /// Notes what became of the entries that are settled.
    pub(crate) fn harvest(&mut self, entries: &[Entry]) -> Result<()> {
        for entry in entries.iter().filter(|entry| entry.state != State::Pending) {
            let settled = Settled {
                state: entry.state,
                cid: entry.cid,
                failure: entry.failure.clone(),
            };
            self.settled.insert(entry.id, settled);
            // An entry whose acceptance was never answered is known by what it says.
            if let Some(record) = &entry.record {
                let message: Message = atcomms::lexicon::decode(record)?;
                let text = message.content.text.context("a text")?;
                let number = number_in(&text)?;
                let ids = self.ids.entry(number).or_default();
                if !ids.contains(&entry.id) {
                    ids.push(entry.id);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn outcomes(&self, number: usize) -> Result<Vec<&Settled>> {
        let ids = self.ids.get(&number).map_or(&[][..], Vec::as_slice);
        let settled = ids.iter().map(|id| {
            let settled = self.settled.get(id);
            settled.with_context(|| format!("entry {id} of operation {number} is not settled"))
        });
        settled.collect()
    }

    /// The message of an operation. Its time is that of the try.
    pub(crate) fn message(&self, number: usize, tries: i64) -> Message {
        let time = 1_767_225_600_000 + tries * 1000;
        let text = format!("operation {number}");
        Message::new(self.did.clone(), peer(), text).created_at(Datetime::from_unix_millis(time))
    }

    /// The CID of an operation's message, if it has no attachments.
    pub(crate) fn cid(&self, number: usize) -> Result<Cid> {
        Ok(encode(&self.message(number, 0))?.cid)
    }

    pub(crate) fn uri(&self, target: Target) -> Result<AtUri> {
        match target {
            Target::Created(number) => self.uris.get(&number).cloned().context("a URI"),
            Target::Key(key) => {
                let collection = COLLECTION.parse()?;
                Ok(AtUri::record(&self.did, &collection, &updated_key(key)?))
            }
        }
    }
}

/// The operation that a message names.
pub(crate) fn number_in(text: &str) -> Result<usize> {
    let number = text.strip_prefix("operation ");
    Ok(number.context("a message of ours")?.parse()?)
}

/// A key that is updated again and again.
pub(crate) fn updated_key(key: usize) -> Result<RecordKey> {
    fixed_key(1_000_000, key)
}

/// The caller's own key of a record that an operation creates.
pub(crate) fn own_key(number: usize) -> Result<RecordKey> {
    fixed_key(2_000_000, number)
}

fn fixed_key(micros: u64, number: usize) -> Result<RecordKey> {
    let tid = Tid::from_parts(micros + u64::try_from(number)?, 0);
    Ok(tid.to_string().parse()?)
}

/// Bytes to attach: what the PDS takes for an image, a text, and something larger.
pub(crate) fn file(index: usize) -> Vec<u8> {
    match index % FILES {
        0 => b"\x89PNG\r\n\x1a\nnot much of an image".to_vec(),
        1 => b"the same text, attached again and again".to_vec(),
        _ => (0..30_000_u32).flat_map(u32::to_le_bytes).collect(),
    }
}

#[expect(clippy::unwrap_used, reason = "a constant")]
fn peer() -> Did {
    "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap()
}
