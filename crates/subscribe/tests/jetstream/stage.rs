//! Agents who write, each on a PDS of its own, and somebody who hears of it from the devnet's Jetstream.

use std::time::Duration;

use atcomms_devnet::{Account, Devnet, Pds};
use atcomms_identity::Resolver;
use atcomms_lexicon::{AtUri, Did, Message};
use atcomms_publish::{Publisher, Session};
use atcomms_subscribe::{Delivery, From, Source, Subscriber, Subscription, Summary};
use futures::StreamExt;
use tokio::time::timeout;

/// Long enough for a machine that does something else; a test that works does not wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) devnet: Devnet,
    pub(crate) alice: Agent,
    pub(crate) bob: Agent,
}

/// Somebody who writes.
pub(crate) struct Agent {
    pub(crate) account: Account,
    pub(crate) publisher: Publisher,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let devnet = Devnet::builder().pds(2).start().await.unwrap();
        let alice = Agent::new(devnet.create_account("alice").await.unwrap()).await;
        let bob = Agent::new(devnet.create_account("bob").await.unwrap()).await;
        assert_ne!(alice.account.pds, bob.account.pds);
        Self { devnet, alice, bob }
    }

    pub(crate) fn resolver(&self) -> Resolver {
        let plc = self.devnet.plc_url().parse().unwrap();
        Resolver::builder().plc(plc).allow_loopback(true).build()
    }

    pub(crate) fn jetstream(&self) -> Source {
        Source::jetstream(self.devnet.jetstream().url()).unwrap()
    }

    /// Somebody who watches the Jetstream, from the start of it.
    pub(crate) fn subscriber(&self) -> Subscriber {
        Subscriber::new(self.resolver())
            .source(self.jetstream())
            .from(From::Start)
    }

    /// The PDS of an agent.
    pub(crate) fn pds_of(&self, agent: &Agent) -> &Pds {
        let mut all = self.devnet.pds().iter();
        all.find(|pds| pds.url() == agent.account.pds.as_str())
            .unwrap()
    }
}

impl Agent {
    async fn new(account: Account) -> Self {
        let password = account.password.clone().into();
        let pds = account.pds.parse().unwrap();
        let session = Session::login(pds, account.handle.as_str(), password).await;
        let publisher = Publisher::temporary(session.unwrap()).unwrap();
        Self { account, publisher }
    }

    pub(crate) fn did(&self) -> &Did {
        &self.account.did
    }

    pub(crate) fn message(&self, text: &str) -> Message {
        Message::new(self.did().clone(), self.did().clone(), text)
    }

    pub(crate) async fn says(&self, text: &str) -> AtUri {
        let published = self.publisher.publish(self.message(text)).await;
        published.unwrap().uri
    }

    /// Writes something else over what it has said.
    pub(crate) async fn corrects(&self, uri: &AtUri, text: &str) {
        let put = self.publisher.put(self.message(text));
        put.key(uri.rkey().unwrap()).await.unwrap();
    }
}

pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    let item = timeout(PATIENCE, subscription.next()).await;
    let item = item.expect("a delivery in time");
    item.expect("the stream goes on").expect("it can be read")
}

/// What the next messages say.
pub(crate) async fn texts(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(text(next(subscription).await));
    }
    texts
}

pub(crate) fn text(delivery: Delivery) -> String {
    let message = delivery.decode::<Message>().unwrap().record;
    message.map_or_else(
        || "gone".to_owned(),
        |message| message.content.text.unwrap(),
    )
}

/// The counts, once they are so.
pub(crate) async fn counted(subscription: &Subscription, so: impl Fn(&Summary) -> bool) -> Summary {
    let counted = async {
        loop {
            let summary = subscription.summary();
            if so(&summary) {
                return summary;
            }
            tokio::task::yield_now().await;
        }
    };
    let counted = timeout(PATIENCE, counted).await;
    counted.unwrap_or_else(|_| panic!("counted in time: {:?}", subscription.summary()))
}

pub(crate) fn rejected(summary: &Summary, reason: &str) -> u64 {
    summary.rejected.get(reason).copied().unwrap_or(0)
}
