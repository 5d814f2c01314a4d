//! P10: shutdown drains, and dropping a handle cancels its work.

use std::time::Duration;

use atcomms::Store;
use atcomms::lexicon::{Did, Message};
use atcomms::publish::{Publisher, Session};
use atcomms::store::State;
use atcomms::subscribe::{From, Inbox, Leased, Source, Subscriber};
use atcomms_devnet::{Devnet, Fault};
use tokio::time::timeout;

/// Long enough for a machine that does something else; a test that works does not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Alice on her PDS, and a store.
struct Stage {
    devnet: Devnet,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let devnet = Devnet::builder().account("alice").start().await;
        Self {
            devnet: devnet.expect("a devnet"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn store(&self, name: &str) -> Store {
        Store::open(self.folder.path().join(name)).expect("a store")
    }

    async fn alice(&self) -> Publisher {
        let alice = self.devnet.accounts().remove(0);
        let pds = alice.pds.parse().expect("a URL");
        let session = Session::login(pds, alice.handle.as_str(), alice.password.into()).await;
        Publisher::new(session.expect("she logs in"), self.store("alice"))
    }

    async fn inbox(&self, store: &Store) -> Inbox {
        let plc = self.devnet.plc_url().parse().expect("a URL");
        let source = Source::firehose(self.devnet.pds()[0].url()).expect("a source");
        let subscriber = Subscriber::new(atcomms::resolver(plc).build());
        let subscriber = subscriber.source(source).from(From::Start);
        let durable = subscriber.durable(store.clone(), "promise");
        durable.start().await.expect("a consumer")
    }
}

fn message(publisher: &Publisher, text: &str) -> Message {
    let bob: Did = "did:plc:44ybard66vv44zksje25o7dz".parse().expect("a DID");
    Message::new(publisher.session().did().clone(), bob, text)
}

async fn next(inbox: &mut Inbox) -> Leased {
    let leased = timeout(PATIENCE, inbox.next()).await;
    let leased = leased.expect("a delivery in time").expect("a store");
    leased.expect("the stream goes on")
}

fn text(leased: &Leased) -> String {
    let message = leased.decode::<Message>().expect("a message");
    let message = message.record.expect("it is there");
    message.content.text.expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_is_shut_down_has_stored_what_it_read_and_given_back_the_rest() {
    let stage = Stage::new().await;
    let alice = stage.alice().await;
    for n in 0..20 {
        let sent = alice.publish(message(&alice, &format!("{n}"))).await;
        sent.expect("it is written");
    }
    let store = stage.store("reader");
    let mut inbox = stage.inbox(&store).await;
    // Quickly, so that more is taken from the store than was asked for.
    for n in 0..4 {
        let leased = next(&mut inbox).await;
        assert_eq!(text(&leased), n.to_string());
        leased.ack().await.expect("it is ours");
    }
    let in_hand = next(&mut inbox).await;
    let consumer = inbox.consumer().clone();
    inbox.shutdown().await.expect("it drains");

    let last = stage.devnet.pds()[0].last_seq();
    let cursors = store.cursors(&consumer).await.expect("cursors");
    assert_eq!(cursors[0].1, last, "all that was read is stored");
    let waiting = store.inbox(&consumer, false, 0, 100).await;
    let waiting = waiting.expect("what waits");
    let attempts: Vec<u32> = waiting.iter().map(|event| event.attempts).collect();
    assert_eq!(attempts.len(), 16);
    assert_eq!(attempts[0], 1, "it is with the caller");
    assert_eq!(attempts[1..], [0; 15], "nobody has seen the others");
    in_hand.ack().await.expect("what is in hand is still ours");

    // The lock is free at once, and the next goes on without waiting for anything.
    let mut inbox = stage.inbox(&store).await;
    for n in 5..20 {
        let leased = next(&mut inbox).await;
        assert_eq!((text(&leased), leased.attempts()), (n.to_string(), 1));
        leased.ack().await.expect("it is ours");
    }
    assert!(inbox.is_feeding());
    inbox.shutdown().await.expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_is_dropped_reads_no_more() {
    let stage = Stage::new().await;
    let store = stage.store("reader");
    let mut inbox = stage.inbox(&store).await;
    inbox.connected().await;
    let consumer = inbox.consumer().clone();
    drop(inbox);
    let free = async {
        while store.try_feed(&consumer).expect("a lock").is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, free).await.expect("the lock is let go");
    let open = async {
        // A connection that is still there would be cut, and counted.
        while stage.devnet.pds()[0].faults().disconnect() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, open).await.expect("the socket is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_is_shut_down_has_settled_what_it_had_begun_and_keeps_the_rest() {
    let stage = Stage::new().await;
    let alice = stage.alice().await;
    let faults = stage.devnet.pds()[0].faults();
    let slow = Fault::Slow(Duration::from_millis(300));
    for method in [
        "com.atproto.repo.createRecord",
        "com.atproto.repo.putRecord",
        "com.atproto.repo.applyWrites",
    ] {
        faults.inject(method, slow.clone(), 1);
    }
    let before = stage.devnet.pds()[0].last_seq();
    let mut accepted = Vec::new();
    for n in 0..5 {
        let enqueued = alice.publish(message(&alice, &format!("{n}"))).enqueue();
        accepted.push(enqueued.await.expect("it is accepted"));
    }
    // The first is on its way: the PDS has it, and is slow to say so.
    let written = async {
        while stage.devnet.pds()[0].last_seq() == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, written).await.expect("it is sent");
    alice.shutdown().await;
    assert!(faults.counts().slowed > 0, "it was waited for");
    let store = stage.store("alice");
    let mut settled = 0;
    for one in &accepted {
        let entry = store.entry(one.id()).await.expect("the outbox");
        let entry = entry.expect("what was accepted is there");
        settled += u32::from(entry.state == State::Written);
    }
    assert!(settled > 0, "what was begun is settled");

    // What is left goes out with the next process, and nothing a second time.
    drop(alice);
    let alice = stage.alice().await;
    alice.flush().await;
    let reader = stage.store("reader");
    let mut inbox = stage.inbox(&reader).await;
    let mut texts = Vec::new();
    for _ in 0..accepted.len() {
        let leased = next(&mut inbox).await;
        texts.push(text(&leased));
        leased.ack().await.expect("it is ours");
    }
    assert_eq!(texts, ["0", "1", "2", "3", "4"]);
    alice.shutdown().await;
}
