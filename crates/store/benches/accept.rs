//! How many records a second are accepted, each durable before its caller goes on, beside what the disk
//! allows: plain appends of as many bytes, each followed by a sync, in the same run. Run it with
//! `cargo bench -p atcomms-store`; the store is made in the folder for temporary files (`TMPDIR`), which
//! has to be on a disk for the numbers to mean something.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use atcomms_lexicon::cid_for_cbor;
use atcomms_store::{Action, Draft, Key, Store};
use tokio::runtime::Runtime;

/// The size of a record in bytes: that of a short message.
const RECORD: usize = 300;

/// How long each measurement takes.
const RUN: Duration = Duration::from_secs(3);

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    println!("{RECORD} bytes a record, {} s each", RUN.as_secs());
    for callers in [1, 64] {
        let floor = append(&folder.path().join("plain"), callers * RECORD);
        println!(
            "plain file, {callers:2} records a sync: {floor:6.0} syncs/s = {:7.0} records/s",
            floor * callers as f64
        );
        let path = folder.path().join(format!("{callers}.sqlite3"));
        let (accepted, slowest) = runtime.block_on(accept(&path, callers));
        println!(
            "store,      {callers:2} callers at once: {accepted:7.0} records/s, slowest {slowest:.1?}"
        );
    }
}

/// Syncs of so many bytes a second.
fn append(path: &std::path::Path, bytes: usize) -> f64 {
    let bytes = vec![7; bytes];
    let mut file = File::create(path).expect("a file");
    let begun = Instant::now();
    let mut syncs = 0.0;
    while begun.elapsed() < RUN {
        file.write_all(&bytes).expect("room");
        file.sync_data().expect("a disk");
        syncs += 1.0;
    }
    syncs / begun.elapsed().as_secs_f64()
}

/// Records accepted a second, and the longest that one took.
async fn accept(path: &std::path::Path, callers: usize) -> (f64, Duration) {
    let store = Store::open(path).expect("a store");
    let begun = Instant::now();
    let calls = (0..callers).map(|caller| {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut accepted, mut slowest) = (0_u64, Duration::ZERO);
            while begun.elapsed() < RUN {
                let asked = Instant::now();
                let draft = draft(caller, accepted);
                store.accept(draft, 1_700_000_000_000).await.expect("room");
                slowest = slowest.max(asked.elapsed());
                accepted += 1;
            }
            (accepted, slowest)
        })
    });
    let calls = futures::future::join_all(calls).await;
    let elapsed = begun.elapsed().as_secs_f64();
    let calls: Vec<_> = calls.into_iter().map(|call| call.expect("done")).collect();
    let accepted: u64 = calls.iter().map(|(accepted, _)| accepted).sum();
    let slowest = calls.iter().map(|(_, slowest)| *slowest).max();
    (accepted as f64 / elapsed, slowest.unwrap_or_default())
}

fn draft(caller: usize, number: u64) -> Draft {
    let mut record = format!("{caller} {number} ").into_bytes();
    record.resize(RECORD, b'.');
    Draft {
        did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().expect("a DID"),
        collection: "agent.comms.message".parse().expect("an NSID"),
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
