//! What the tests write, and where.

use std::path::PathBuf;

use atcomms_lexicon::{Cid, Did, RecordKey, cid_for_cbor, cid_for_raw};
use atcomms_store::{Accepted, Action, Blob, CopiedBlob, Draft, Entry, Key, Outcome, Store};
use tempfile::TempDir;

/// When the tests take place (milliseconds since 1970).
pub(crate) const NOW: i64 = 1_700_000_000_000;

/// Where a store is, until the test ends.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("store.sqlite3")
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(self.path()).unwrap()
    }

    /// The names in the blob folder.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.0.path().join("store.sqlite3-blobs")).unwrap();
        let mut names: Vec<String> = folder
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn did() -> Did {
    "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap()
}

pub(crate) fn key(text: &str) -> RecordKey {
    text.parse().unwrap()
}

/// A record to be created under a new key.
pub(crate) fn note(text: &str) -> Draft {
    let record = text.as_bytes().to_vec();
    Draft {
        did: did(),
        collection: "com.example.note".parse().unwrap(),
        key: Key::NextTid { clock_id: 1 },
        action: Action::Create,
        swap: None,
        cid: Some(cid_for_cbor(&record)),
        record: Some(record),
        blobs: Vec::new(),
        copied: Vec::new(),
        once: None,
        priority: 0,
    }
}

/// One under this key.
pub(crate) fn create(at: &str, text: &str) -> Draft {
    Draft {
        key: Key::Is(key(at)),
        ..note(text)
    }
}

pub(crate) fn put(at: &str, text: &str) -> Draft {
    Draft {
        action: Action::Put,
        ..create(at, text)
    }
}

pub(crate) fn delete(at: &str) -> Draft {
    Draft {
        action: Action::Delete,
        record: None,
        cid: None,
        ..create(at, "")
    }
}

pub(crate) fn once(name: &str, draft: Draft) -> Draft {
    Draft {
        once: Some(name.to_owned()),
        ..draft
    }
}

/// A record with these bytes attached.
pub(crate) async fn with_file(store: &Store, bytes: &[u8], draft: Draft) -> Draft {
    let copied = store.blobs().copy(bytes, 1 << 20).await.unwrap();
    attach(copied, draft)
}

pub(crate) fn attach(copied: CopiedBlob, draft: Draft) -> Draft {
    let blob = Blob {
        cid: copied.cid,
        size: copied.size,
        mime_type: "text/plain".to_owned(),
    };
    Draft {
        blobs: vec![blob],
        copied: vec![copied],
        ..draft
    }
}

/// The name of a file of these bytes in the blob folder.
pub(crate) fn file_name(bytes: &[u8]) -> String {
    cid(bytes).to_string()
}

pub(crate) fn cid(bytes: &[u8]) -> Cid {
    cid_for_raw(bytes)
}

pub(crate) async fn accept(store: &Store, draft: Draft) -> Entry {
    accepted(store, draft).await.entry
}

pub(crate) async fn accepted(store: &Store, draft: Draft) -> Accepted {
    store.accept(draft, NOW).await.unwrap()
}

pub(crate) async fn next(store: &Store) -> Vec<Entry> {
    store.next(&did(), NOW, 100).await.unwrap()
}

/// What the records say, in their order.
pub(crate) fn texts(entries: &[Entry]) -> Vec<&str> {
    let records = entries.iter().map(|entry| entry.record.as_deref());
    records
        .map(|record| std::str::from_utf8(record.unwrap_or_default()).unwrap())
        .collect()
}

pub(crate) fn written() -> Outcome {
    Outcome::Written {
        rev: None,
        commit: None,
    }
}

pub(crate) async fn settle(store: &Store, entry: &Entry, outcome: Outcome) -> Vec<i64> {
    let outcomes = vec![(entry.clone(), outcome)];
    store.settle(outcomes, NOW + 1).await.unwrap()
}
