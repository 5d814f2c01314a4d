//! A durable consumer of a Jetstream: nothing is lost, and nothing comes twice.

use std::time::Duration;

use atcomms_devnet::Fault;
use atcomms_lexicon::Message;
use atcomms_publish::Store;
use atcomms_subscribe::{Inbox, Source, Trust};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::stage::{PATIENCE, Stage};

const GET_RECORD: &str = "com.atproto.sync.getRecord";

fn open(folder: &TempDir) -> Store {
    Store::open(folder.path().join("store.sqlite3")).unwrap()
}

async fn start(stage: &Stage, store: &Store, trust: Trust) -> Inbox {
    let subscriber = stage.subscriber().trust(trust);
    let durable = subscriber.durable(store.clone(), "tests");
    durable.start().await.unwrap()
}

async fn take(inbox: &mut Inbox, count: usize, trust: Trust) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let leased = timeout(PATIENCE, inbox.next()).await.expect("in time");
        let leased = leased.unwrap().expect("the stream goes on");
        assert_eq!(leased.item().unwrap().trust, trust);
        let message = leased.decode::<Message>().unwrap().record.unwrap();
        texts.push(message.content.text.unwrap());
        leased.ack().await.unwrap();
    }
    texts
}

/// Waits until all that the Jetstream has is stored.
async fn taken_in(stage: &Stage, store: &Store) {
    let consumer = store.consumer("tests", 0).await.unwrap();
    let last = stage.devnet.jetstream().last_time_us();
    let stored = async {
        loop {
            let cursors = store.cursors(&consumer).await.unwrap();
            if cursors.iter().any(|(_, seq)| *seq >= last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, stored).await.expect("stored in time");
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_was() {
    for trust in [Trust::Jetstream, Trust::Verified] {
        let stage = Stage::new().await;
        let folder = tempfile::tempdir().unwrap();
        for text in ["one", "two", "three"] {
            stage.alice.says(text).await;
        }
        let store = open(&folder);
        let mut inbox = start(&stage, &store, trust).await;
        assert_eq!(take(&mut inbox, 2, trust).await, ["one", "two"]);
        inbox.shutdown().await.unwrap();
        drop(store);
        stage.alice.says("four").await;
        let store = open(&folder);
        let mut inbox = start(&stage, &store, trust).await;
        let texts = take(&mut inbox, 2, trust).await;
        assert_eq!(texts, ["three", "four"], "nothing lost, nothing twice");
        taken_in(&stage, &store).await;
        inbox.shutdown().await.unwrap();

        // All of it comes again by the rewind, and nothing is new.
        let mut inbox = start(&stage, &store, trust).await;
        inbox.connected().await;
        stage.alice.says("five").await;
        assert_eq!(
            take(&mut inbox, 1, trust).await,
            ["five"],
            "{}",
            trust.as_str()
        );
        taken_in(&stage, &store).await;
        assert_eq!(store.inbox_len(inbox.consumer()).await.unwrap(), 0);
        inbox.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_raised_does_not_come_again_with_its_commit() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut inbox = start(&stage, &store, Trust::Verified).await;
    stage.alice.says("one").await;
    stage.alice.says("two").await;
    let texts = take(&mut inbox, 2, Trust::Verified).await;
    assert_eq!(texts, ["one", "two"]);
    inbox.shutdown().await.unwrap();
    let consumer = store.consumer("tests", 0).await.unwrap();
    let heads = store.heads(&consumer, 9).await.unwrap();
    assert!(
        heads.is_empty(),
        "a proof of one record moves no head: {heads:?}"
    );

    // The next run has the firehose alone, from its start.
    stage.alice.says("three").await;
    let relay = Source::firehose(stage.devnet.relay().url()).unwrap();
    let subscriber = atcomms_subscribe::Subscriber::new(stage.resolver()).source(relay);
    let subscriber = subscriber.from(atcomms_subscribe::From::Start);
    let durable = subscriber.durable(store.clone(), "tests");
    let mut inbox = durable.start().await.unwrap();
    assert_eq!(take(&mut inbox, 1, Trust::Verified).await, ["three"]);
    assert_eq!(store.inbox_len(inbox.consumer()).await.unwrap(), 0);
    inbox.shutdown().await.unwrap();
}

#[tokio::test]
async fn no_cursor_passes_an_event_whose_proof_is_outstanding() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let faults = stage.pds_of(&stage.alice).faults();
    faults.inject(GET_RECORD, Fault::FailBefore(503), u64::MAX);
    let mut inbox = start(&stage, &store, Trust::Verified).await;
    inbox.connected().await;
    let before = stage.devnet.jetstream().last_time_us();
    stage.alice.says("waits").await;
    let waits = stage.devnet.jetstream().last_time_us();
    assert!(waits > before);
    stage.bob.says("passes").await;
    assert_eq!(take(&mut inbox, 1, Trust::Verified).await, ["passes"]);
    inbox.shutdown().await.unwrap();
    assert!(faults.counts().failed_before > 0);
    let consumer = store.consumer("tests", 0).await.unwrap();
    for (host, seq) in store.cursors(&consumer).await.unwrap() {
        assert!(seq < waits, "{host} is at {seq}, and the event at {waits}");
    }

    faults.clear();
    let mut inbox = start(&stage, &store, Trust::Verified).await;
    assert_eq!(take(&mut inbox, 1, Trust::Verified).await, ["waits"]);
    taken_in(&stage, &store).await;
    assert_eq!(store.inbox_len(inbox.consumer()).await.unwrap(), 0);
    inbox.shutdown().await.unwrap();
}
