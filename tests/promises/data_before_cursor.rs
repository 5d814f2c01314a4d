//! P5: a stored cursor never passes an event whose effect is not durable: whatever is below the cursor is in
//! the inbox, or its acknowledgement was begun. It is looked at before each process of the runs.
//!
//! `ATCOMMS_SEED=N cargo test --test promises data_before_cursor` runs one alone.

use std::time::Duration;

use atcomms::Store;
use atcomms::repo::Curve;
use atcomms::subscribe::{From, Inbox, Source, Subscriber};
use atcomms_devnet::Replay;
use tokio::time::timeout;

use crate::author::Author;
use crate::consumer;

/// Where processes die.
const POINTS: &[&str] = &[
    "transaction.begin",
    "take_in.before_commit",
    "take_in.after_commit",
];

/// Long enough for a machine that does something else; a test that works does not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_below_the_cursor_is_durable_whatever_dies() {
    let must = ["cursor in the middle", "killed", "shut down", "streams cut"];
    consumer::runs(200, POINTS, &must).await;
}

/// A directory that is there or not, always at the same place.
struct Directory {
    documents: Vec<(atcomms::lexicon::Did, serde_json::Value)>,
    running: Option<Replay>,
    port: u16,
}

impl Directory {
    async fn new(authors: &[&Author]) -> Self {
        let documents = authors
            .iter()
            .map(|author| (author.did.clone(), author.document()))
            .collect();
        let mut directory = Self {
            documents,
            running: None,
            port: 0,
        };
        directory.comes_back().await;
        directory
    }

    fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    async fn goes_down(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    async fn comes_back(&mut self) {
        let replay = Replay::builder()
            .documents(self.documents.clone())
            .port(self.port);
        let replay = replay.start().await.expect("the directory starts");
        let port = replay.plc_url().rsplit(':').next().expect("a port");
        self.port = port.parse().expect("a port");
        self.running = Some(replay);
    }
}

async fn start(store: &Store, network: &Replay, directory: &Directory) -> Inbox {
    let resolver = atcomms::resolver(directory.url().parse().expect("a URL")).build();
    let source = Source::firehose(network.ws_url()).expect("a source");
    let subscriber = Subscriber::new(resolver).source(source).from(From::Start);
    let durable = subscriber.durable(store.clone(), "promise");
    durable.start().await.expect("a consumer")
}

async fn next_key(inbox: &mut Inbox) -> String {
    let leased = timeout(PATIENCE, inbox.next()).await;
    let leased = leased.expect("a delivery in time").expect("a store");
    let leased = leased.expect("the stream goes on");
    let key = leased.item().expect("a message").rkey.to_string();
    leased.ack().await.expect("it is ours");
    key
}

async fn cursor(store: &Store, inbox: &Inbox) -> Option<i64> {
    let cursors = store.cursors(inbox.consumer()).await.expect("cursors");
    cursors.first().map(|(_, seq)| *seq)
}

#[tokio::test]
async fn a_commit_that_waits_for_its_key_is_not_lost_with_its_process() {
    let (mut alice, mut bob) = (
        Author::new("alice", Curve::K256),
        Author::new("bob", Curve::K256),
    );
    let mut directory = Directory::new(&[&alice, &bob]).await;
    let network = Replay::builder().start().await.expect("the replay starts");
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("store.sqlite3")).expect("a store");
    let mut inbox = start(&store, &network, &directory).await;
    network.push(bob.says(1, "b1"));
    assert_eq!(next_key(&mut inbox).await, "b1", "and his key is known");

    directory.goes_down().await;
    network.push(alice.says(2, "a2"));
    for seq in 3..=6 {
        network.push(bob.says(seq, &format!("b{seq}")));
    }
    for key in ["b3", "b4", "b5", "b6"] {
        assert_eq!(next_key(&mut inbox).await, key, "it waits for nobody");
    }
    assert_eq!(cursor(&store, &inbox).await, Some(1), "alice's waits");
    // The connection breaks, and alice's comes a second time.
    network.faults().disconnect();
    network.push(bob.says(7, "b7"));
    assert_eq!(next_key(&mut inbox).await, "b7");
    assert_eq!(cursor(&store, &inbox).await, Some(1), "it still waits");
    drop(inbox);

    directory.comes_back().await;
    let mut inbox = start(&store, &network, &directory).await;
    assert_eq!(next_key(&mut inbox).await, "a2");
    network.push(alice.says(8, "a8"));
    assert_eq!(next_key(&mut inbox).await, "a8", "and nothing twice");
    let consumer = inbox.consumer().clone();
    inbox.shutdown().await.expect("it drains");
    let cursors = store.cursors(&consumer).await.expect("cursors");
    assert_eq!(cursors[0].1, 8, "a clean end leaves nothing behind");
    assert_eq!(network.faults().counts().streams_cut, 1);
}
