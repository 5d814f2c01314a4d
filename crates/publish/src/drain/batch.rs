//! What goes with the next request: one write, or as many as one commit may hold.

use atcomms_store::{Action, Entry};

use crate::budget::{CREATE_POINTS, DELETE_POINTS, PUT_POINTS};

/// The most writes of one applyWrites: what a PDS takes.
pub(crate) const MAX_WRITES: usize = 200;

/// The most bytes of JSON of one applyWrites. A PDS takes a body of 1,000,000 bytes; the rest is for
/// what is around the records.
pub(crate) const MAX_BODY: usize = 900_000;

/// What a write takes in the body besides its record, in bytes: names and keys.
const ENVELOPE: usize = 1_000;

/// Writes that go together. Never empty.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
}

impl Batch {
    /// The longest run of entries, from the first on, that can go in one request and that so many points
    /// pay; `None` if they do not even pay the first.
    ///
    /// An update goes alone: a batch could not say that it may create. So does what depends on what is
    /// there.
    pub(crate) fn choose(entries: Vec<Entry>, cap: usize, points: u64) -> Option<Self> {
        let mut batch: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            let together = entry.action != Action::Put && entry.swap.is_none();
            bytes += ENVELOPE + entry.record.as_ref().map_or(0, |record| json_size(record));
            let fits = bytes <= MAX_BODY && batch.len() < cap.clamp(1, MAX_WRITES);
            let alone = !together || !fits;
            if alone && !batch.is_empty() {
                break;
            }
            batch.push(entry);
            if batch.len() > 1 && points_of(&batch) > points {
                batch.pop();
                break;
            }
            if alone {
                break;
            }
        }
        (!batch.is_empty() && points_of(&batch) <= points).then_some(Self { entries: batch })
    }

    pub(crate) fn points(&self) -> u64 {
        points_of(&self.entries)
    }
}

/// What a request with these writes costs. A lone creation goes as putRecord, which costs less.
fn points_of(entries: &[Entry]) -> u64 {
    let alone = entries.len() == 1;
    entries
        .iter()
        .map(|entry| match entry.action {
            Action::Delete => DELETE_POINTS,
            Action::Create if !alone => CREATE_POINTS,
            _ => PUT_POINTS,
        })
        .sum()
}

/// About how much JSON a record becomes: names and numbers stay as long as they are, quotes and escapes
/// come on top. A batch that is too large all the same is sent in halves.
fn json_size(record: &[u8]) -> usize {
    record.len() + record.len() / 2
}

#[cfg(test)]
mod tests {
    use atcomms_lexicon::cid_for_raw;
    use atcomms_store::{Draft, Key, Store};

    use super::*;

    async fn entries(actions: &[(Action, bool, usize)]) -> Vec<Entry> {
        let store = Store::temporary().unwrap();
        let mut entries = Vec::new();
        for (action, swap, size) in actions {
            let draft = Draft {
                did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap(),
                collection: "com.example.note".parse().unwrap(),
                key: Key::NextTid { clock_id: 1 },
                action: *action,
                swap: swap.then(|| cid_for_raw(b"")),
                record: (*action != Action::Delete).then(|| vec![0; *size]),
                cid: None,
                blobs: Vec::new(),
                copied: Vec::new(),
                once: None,
                priority: 0,
            };
            entries.push(store.accept(draft, 1).await.unwrap().entry);
        }
        entries
    }

    async fn chosen(actions: &[(Action, bool, usize)], cap: usize, points: u64) -> Option<usize> {
        let batch = Batch::choose(entries(actions).await, cap, points);
        batch.map(|batch| batch.entries.len())
    }

    #[tokio::test]
    async fn a_batch_is_what_the_points_pay() {
        let creates = [(Action::Create, false, 100); 5];
        assert_eq!(chosen(&creates, 200, 15).await, Some(5));
        assert_eq!(chosen(&creates, 200, 14).await, Some(4));
        assert_eq!(
            chosen(&creates, 200, 5).await,
            Some(1),
            "two would cost six"
        );
        assert_eq!(
            chosen(&creates, 200, 2).await,
            Some(1),
            "one alone costs two"
        );
        assert_eq!(chosen(&creates, 200, 1).await, None);
        assert_eq!(chosen(&creates, 3, 1_000).await, Some(3));
    }

    #[tokio::test]
    async fn an_update_and_what_depends_go_alone() {
        let (create, put) = ((Action::Create, false, 9), (Action::Put, false, 9));
        let delete = (Action::Delete, false, 0);
        let guarded = (Action::Delete, true, 0);
        assert_eq!(chosen(&[create, delete, create], 200, 99).await, Some(3));
        assert_eq!(chosen(&[create, put, create], 200, 99).await, Some(1));
        assert_eq!(chosen(&[put, create], 200, 99).await, Some(1));
        assert_eq!(chosen(&[guarded, create], 200, 99).await, Some(1));
        assert_eq!(chosen(&[], 200, 99).await, None);
    }

    #[tokio::test]
    async fn a_body_is_no_larger_than_a_pds_takes() {
        let large = [(Action::Create, false, 250_000); 4];
        assert_eq!(chosen(&large, 200, 99).await, Some(2));
        let largest = [(Action::Create, false, 1_000_000); 2];
        assert_eq!(chosen(&largest, 200, 99).await, Some(1), "the PDS decides");
    }
}
