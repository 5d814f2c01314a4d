//! Alice writes on her PDS, a relay that has its faults passes it on, and a durable consumer follows her.

use std::time::Duration;

use atcomms::lexicon::{AtUri, Did, Message};
use atcomms::publish::{Publisher, Session};
use atcomms::store::{CrashPlan, Store};
use atcomms::subscribe::{Action, Durable, From, Inbox, Leased, Source, Subscriber, Summary};
use atcomms_devnet::{Account, Devnet, Pds, Relay};
use tempfile::TempDir;
use tokio::time::timeout;

/// Long enough for a machine that does something else; a test that works does not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Scene {
    pub(crate) devnet: Devnet,
    pub(crate) alice: Account,
    publisher: Publisher,
    folder: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let devnet = Devnet::builder().pds(2).account("alice").start().await;
        let devnet = devnet.expect("the devnet starts");
        let alice = devnet.accounts().remove(0);
        Self {
            publisher: publisher(&alice).await,
            alice,
            devnet,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// The PDS on which Alice began.
    pub(crate) fn pds(&self) -> &Pds {
        let pds = self.devnet.pds().iter();
        let mut hers = pds.filter(|pds| pds.url() == self.alice.pds);
        hers.next().expect("Alice's PDS")
    }

    pub(crate) fn relay(&self) -> &Relay {
        self.devnet.relay()
    }

    /// Alice's repository changes its home, and her next writes go there.
    pub(crate) async fn migrate(&mut self) {
        let pds = self.devnet.pds().iter();
        let mut others = pds.filter(|pds| pds.url() != self.alice.pds);
        let other = others.next().expect("another PDS");
        let moved = self.pds().migrate(&self.alice.did, other);
        self.alice = moved.expect("she moves");
        self.publisher = publisher(&self.alice).await;
    }

    pub(crate) async fn write(&self, text: &str) -> AtUri {
        let message = Message::new(self.alice.did.clone(), bob(), text);
        let receipt = self
            .publisher
            .publish(message)
            .await
            .expect("it is written");
        receipt.uri
    }

    pub(crate) async fn delete(&self, uri: &AtUri) {
        self.publisher.delete(uri).await.expect("it is deleted");
    }

    /// What happens next of Alice's is passed over by the relay.
    pub(crate) fn skip(&self, times: u64) {
        let faults = self.relay().faults();
        faults.inject_stream_of(&self.alice.did, atcomms_devnet::StreamFault::Skip, times);
    }

    /// Waits until the relay has passed over so many.
    pub(crate) async fn skipped(&self, times: u64) {
        let skipped = async {
            while self.relay().faults().counts().events_skipped < times {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, skipped).await.expect("the fault fires");
    }

    pub(crate) fn subscriber(&self) -> Subscriber {
        let resolver = atcomms::resolver(self.devnet.plc_url().parse().expect("a URL"));
        Subscriber::new(resolver.build()).peers([self.alice.did.clone()])
    }

    /// The consumer at the relay, as a new process begins it.
    pub(crate) async fn at_relay(&self, from: From) -> Consumer {
        self.consumer(self.subscriber(), self.relay().url(), from)
            .await
    }

    pub(crate) async fn consumer(
        &self,
        subscriber: Subscriber,
        host: &str,
        from: From,
    ) -> Consumer {
        let plan = CrashPlan::new(|_| false);
        let durable = self.durable(subscriber, host, from, plan);
        Consumer {
            inbox: durable.start().await.expect("something to watch"),
        }
    }

    /// The consumer where Alice is, without a relay.
    pub(crate) async fn at_her_pds(&self, from: From) -> Consumer {
        let subscriber = self.subscriber().at_their_pds().from(from);
        let durable = subscriber.durable(self.store(CrashPlan::new(|_| false)), "tests");
        Consumer {
            inbox: durable.start().await.expect("something to watch"),
        }
    }

    /// The same, while somebody who is not her PDS pretends to be one that has her.
    pub(crate) async fn at_a_stranger_and_at_home(&self) -> Consumer {
        let resolver = atcomms::resolver(self.devnet.plc_url().parse().expect("a URL")).build();
        let mut pretended = resolver.resolve_did(&self.alice.did).await.expect("Alice");
        pretended.pds = self.relay().url().parse().expect("a URL");
        let stranger = Source::of_pds(&pretended, &resolver).expect("a source");
        let subscriber = self.subscriber().source(stranger).at_their_pds();
        let store = self.store(CrashPlan::new(|_| false));
        let durable = subscriber.from(From::Start).durable(store, "tests");
        Consumer {
            inbox: durable.start().await.expect("something to watch"),
        }
    }

    fn store(&self, plan: CrashPlan) -> Store {
        let path = self.folder.path().join("store.sqlite3");
        Store::open_to_crash(path, plan).expect("a store")
    }

    /// The consumer at the relay, as a process that dies as planned. What it had comes back soon.
    pub(crate) async fn dies_at_relay(&self, plan: CrashPlan) -> Consumer {
        let url = self.relay().url();
        let durable = self.durable(self.subscriber(), url, From::Start, plan);
        let durable = durable.ack_wait(Duration::from_secs(1));
        Consumer {
            inbox: durable.start().await.expect("something to watch"),
        }
    }

    fn durable(&self, subscriber: Subscriber, host: &str, from: From, plan: CrashPlan) -> Durable {
        let store = self.store(plan);
        let source = Source::firehose(host).expect("a source");
        subscriber.source(source).from(from).durable(store, "tests")
    }
}

async fn publisher(account: &Account) -> Publisher {
    let pds = account.pds.parse().expect("a URL");
    let session = Session::login(
        pds,
        account.handle.as_str(),
        account.password.clone().into(),
    );
    Publisher::temporary(session.await.expect("she logs in")).expect("a store")
}

fn bob() -> Did {
    "did:plc:44ybard66vv44zksje25o7dz".parse().expect("a DID")
}

pub(crate) struct Consumer {
    pub(crate) inbox: Inbox,
}

impl Consumer {
    /// The next delivery, acknowledged: what it says or that it says no more, and whether it came live.
    pub(crate) async fn next(&mut self) -> (String, bool) {
        let leased = self.lease().await;
        let delivery = leased.item().expect("it can be read").clone();
        leased.ack().await.expect("it is ours");
        (told(&delivery), delivery.live)
    }

    pub(crate) async fn lease(&mut self) -> Leased {
        let next = timeout(PATIENCE, self.inbox.next()).await;
        let next = next.unwrap_or_else(|_| panic!("a delivery in time: {:?}", self.summary()));
        next.expect("the stream goes on").expect("it is not over")
    }

    /// What comes up to this text, with it.
    pub(crate) async fn until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.last().is_none_or(|text| text != last) {
            texts.push(self.next().await.0);
        }
        texts
    }

    /// Waits until something was refused for this reason.
    pub(crate) async fn rejected(&self, reason: &str) {
        let rejected = async {
            while !self.summary().rejected.contains_key(reason) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, rejected)
            .await
            .expect("it is refused in time");
    }

    /// Waits until so many events wait to be handed out.
    pub(crate) async fn waits(&self, count: u64) {
        let store = self.inbox.store();
        let waits = async {
            while store
                .inbox_len(self.inbox.consumer())
                .await
                .expect("a count")
                != count
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waits).await.expect("they wait in time");
    }

    /// Whose events are paused.
    pub(crate) async fn paused(&self) -> Vec<Did> {
        let paused = self.inbox.store().paused(self.inbox.consumer()).await;
        paused.expect("the store answers")
    }

    /// Waits until the events of so many are paused.
    pub(crate) async fn until_paused(&self, count: usize) {
        let paused = async {
            while self.paused().await.len() != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, paused).await.expect("in time");
    }

    /// How many records of a repository are known.
    pub(crate) async fn known(&self, did: &Did) -> usize {
        let known = self.inbox.store().known(self.inbox.consumer(), did).await;
        known.expect("the store answers").len()
    }

    pub(crate) fn summary(&self) -> Summary {
        self.inbox.summary()
    }

    /// Waits until so many repositories were fetched.
    pub(crate) async fn resynced(&self, times: u64) {
        let resynced = async {
            while self.summary().resyncs < times {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, resynced).await.expect("it is fetched");
    }

    /// The next delivery, as [`next`](Self::next), unless the process dies before.
    pub(crate) async fn next_alive(&mut self, plan: &CrashPlan) -> Option<String> {
        let next = async {
            let leased = self.inbox.next().await.ok()??;
            let delivery = leased.item().expect("it can be read").clone();
            leased.ack().await.ok()?;
            Some(told(&delivery))
        };
        let next = async {
            tokio::select! {
                biased;
                () = plan.died() => None,
                next = next => next,
            }
        };
        timeout(PATIENCE, next).await.expect("a delivery or death")
    }

    pub(crate) async fn end(self) {
        self.inbox.shutdown().await.expect("it ends");
    }
}

/// The text of a message, or the action and key where it has none.
fn told(delivery: &atcomms::subscribe::Delivery) -> String {
    match delivery.action {
        Action::Delete => format!("delete {}", delivery.rkey),
        _ => {
            let message = delivery.clone().decode::<Message>().expect("a message");
            let content = message.record.expect("a record").content;
            content.text.expect("a text")
        }
    }
}
