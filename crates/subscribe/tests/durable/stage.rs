//! Alice writes, and a durable consumer of a store watches her.

use std::time::Duration;

use atcomms_devnet::Devnet;
use atcomms_identity::Resolver;
use atcomms_lexicon::{Did, Message};
use atcomms_publish::{Publisher, Session, Store};
use atcomms_subscribe::{Durable, From, Inbox, Leased, Source, Subscriber};
use tempfile::TempDir;
use tokio::time::timeout;

/// Long enough for a machine that does something else; a test that works does not wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) devnet: Devnet,
    pub(crate) publisher: Publisher,
    folder: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let devnet = Devnet::builder().account("alice").start().await.unwrap();
        let alice = devnet.accounts().remove(0);
        let session = Session::login(
            alice.pds.parse().unwrap(),
            alice.handle.as_str(),
            alice.password.into(),
        );
        let publisher = Publisher::temporary(session.await.unwrap()).unwrap();
        Self {
            devnet,
            publisher,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Opens the store, as each process does for itself.
    pub(crate) fn store(&self) -> Store {
        Store::open(self.folder.path().join("store.sqlite3")).unwrap()
    }

    /// A subscriber, from the start of the stream.
    pub(crate) fn subscriber(&self) -> Subscriber {
        let plc = self.devnet.plc_url().parse().unwrap();
        let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
        Subscriber::new(resolver)
            .source(Source::firehose(self.devnet.pds()[0].url()).unwrap())
            .from(From::Start)
    }

    /// A durable consumer.
    pub(crate) fn durable(&self, store: &Store) -> Durable {
        self.subscriber().durable(store.clone(), "tests")
    }

    /// The same, which ends when the stream is silent for so long.
    pub(crate) fn durable_idle(&self, store: &Store, idle: Duration) -> Durable {
        self.subscriber().idle(idle).durable(store.clone(), "tests")
    }

    pub(crate) async fn inbox(&self, store: &Store) -> Inbox {
        self.durable(store).start().await.unwrap()
    }

    pub(crate) async fn write(&self, texts: &[&str]) {
        let bob: Did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
        for text in texts {
            let alice = self.publisher.session().did().clone();
            let message = Message::new(alice, bob.clone(), *text);
            self.publisher.publish(message).await.unwrap();
        }
    }
}

pub(crate) async fn next(inbox: &mut Inbox) -> Leased {
    timeout(PATIENCE, inbox.next())
        .await
        .expect("a delivery in time")
        .unwrap()
        .expect("the stream goes on")
}

/// What a message says.
pub(crate) fn text(leased: &Leased) -> String {
    let message = leased.decode::<Message>().unwrap().record.unwrap();
    message.content.text.unwrap()
}

/// Takes and acknowledges so many.
pub(crate) async fn take(inbox: &mut Inbox, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let leased = next(inbox).await;
        texts.push(text(&leased));
        leased.ack().await.unwrap();
    }
    texts
}
