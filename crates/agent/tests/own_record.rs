//! A record type of the user's own, published and watched as ours are; and a connection that breaks.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use atcomms::Agent;
use atcomms::lexicon::{Cid, CidLink, Message, Record, cid_for_raw};
use atcomms::subscribe::{Action, CollectionPattern, From, Trust};
use atcomms_devnet::Devnet;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Observation {
    station: String,
    celsius: i64,
    picture: CidLink,
}

impl Record for Observation {
    const NSID: &'static str = "com.example.observation";
}

fn observation(celsius: i64) -> Observation {
    let picture: Cid = cid_for_raw(b"clouds");
    Observation {
        station: "roof".to_owned(),
        celsius,
        picture: CidLink(picture),
    }
}

async fn agent(net: &Devnet, name: &str) -> Agent {
    let account = net.create_account(name).await.expect("an account");
    let builder = Agent::builder().plc(net.plc_url().parse().expect("a URL"));
    let builder = builder.pds(account.pds.parse().expect("a URL"));
    builder
        .login(account.handle, account.password.into())
        .await
        .expect("a login")
}

#[tokio::test]
async fn a_record_of_ones_own_travels_as_ours_do() {
    let net = Devnet::start().await.expect("a network");
    let (alice, bob) = (agent(&net, "alice").await, agent(&net, "bob").await);
    let pattern: CollectionPattern = Observation::NSID.parse().expect("a collection");
    let subscriber = bob.watch().expect("a source").collection(pattern);
    let mut stream = subscriber
        .start()
        .expect("it starts")
        .typed::<Observation>();
    stream.connected().await;

    let receipt = alice
        .publish(observation(21))
        .await
        .expect("it is published");
    let changed = alice
        .publisher()
        .put(observation(22))
        .key(receipt.uri.rkey().expect("a key"));
    changed.await.expect("it is changed");
    alice
        .publisher()
        .delete(&receipt.uri)
        .await
        .expect("it is deleted");

    for (action, record) in [
        (Action::Create, Some(observation(21))),
        (Action::Update, Some(observation(22))),
        (Action::Delete, None),
    ] {
        let item = timeout(PATIENCE, stream.next()).await.expect("in time");
        let delivery = item
            .expect("the stream goes on")
            .expect("it is an observation");
        assert_eq!((delivery.action, delivery.record), (action, record));
        assert_eq!(
            (delivery.author, delivery.trust),
            (alice.did().clone(), Trust::Verified)
        );
        assert_eq!(delivery.uri, receipt.uri);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_loses_and_doubles_nothing() {
    let net = Devnet::start().await.expect("a network");
    let (alice, bob) = (agent(&net, "alice").await, agent(&net, "bob").await);
    let subscriber = bob.watch().expect("a source").from(From::Start);
    let mut inbox = subscriber.start().expect("it starts").typed::<Message>();
    inbox.connected().await;
    let pds = net.pds().first().expect("a PDS");
    for n in 0..20 {
        let sent = alice
            .send(bob.did(), format!("message {n}"))
            .await
            .expect("it is sent");
        let item = timeout(PATIENCE, inbox.next()).await.expect("in time");
        assert_eq!(
            item.expect("the stream goes on").expect("a message").uri,
            sent.uri
        );
        if n % 5 == 2 {
            assert_eq!(
                pds.faults().disconnect(),
                1,
                "there was a connection to break"
            );
        }
    }
    assert_eq!(pds.faults().counts().streams_cut, 4, "each fault fired");
    let summary = inbox.subscription().summary();
    assert_eq!(
        (summary.delivered, summary.rejected.len()),
        (20, 0),
        "{summary:?}"
    );
}
