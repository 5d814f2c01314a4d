//! Several hosts, of which one refuses; and a commit that is small on the wire and large here.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::time::Duration;

use atcomms_devnet::{Devnet, Replay};
use atcomms_identity::Resolver;
use atcomms_repo::frame::{ErrorFrame, Frame};
use atcomms_subscribe::{From, Source, Subscriber};
use futures::StreamExt;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

fn refusal() -> Vec<u8> {
    Frame::Error(ErrorFrame {
        error: "FutureCursor",
        message: Some("Cursor in the future."),
    })
    .encode()
}

fn subscriber(net: &Devnet) -> Subscriber {
    let plc = net.plc_url().parse().expect("a URL");
    Subscriber::new(Resolver::builder().plc(plc).allow_loopback(true).build())
}

#[tokio::test]
async fn a_host_that_refuses_ends_the_stream_with_its_reason() {
    let net = Devnet::start().await.expect("a network");
    let replay = Replay::start(vec![refusal().into()], HashMap::new())
        .await
        .expect("a replay");
    let source = Source::firehose(replay.ws_url()).expect("a source");
    let mut subscription = subscriber(&net)
        .source(source)
        .from(From::Seq(9))
        .start()
        .expect("it starts");
    replay.push(refusal());
    let end = timeout(PATIENCE, subscription.next())
        .await
        .expect("it ends in time");
    assert!(end.is_none());
    let error = subscription.error().expect("a reason").to_string();
    assert!(
        error.contains(replay.ws_url()) && error.contains("FutureCursor"),
        "{error}"
    );
}

#[tokio::test]
async fn a_host_that_refuses_does_not_end_the_others() {
    let net = Devnet::builder()
        .account("alice")
        .start()
        .await
        .expect("a network");
    let replay = Replay::start(Vec::new(), HashMap::new())
        .await
        .expect("a replay");
    let good = Source::firehose(net.pds().first().expect("a PDS").url()).expect("a source");
    let bad = Source::firehose(replay.ws_url()).expect("a source");
    let subscriber = subscriber(&net).source(bad).source(good).from(From::Start);
    let collection = "app.bsky.actor.profile".parse().expect("a collection");
    let mut subscription = subscriber
        .collection(collection)
        .start()
        .expect("it starts");
    timeout(PATIENCE, subscription.connected())
        .await
        .expect("both are connected");
    replay.push(refusal());
    let frames = subscription.summary().frames;
    let counted = async {
        while subscription.summary().frames <= frames {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted)
        .await
        .expect("the refusal is read");
    net.create_account("bob").await.expect("an account");
    let counted = async {
        while subscription.summary().frames < frames + 5 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted)
        .await
        .expect("the other host's frames go on");
    assert!(subscription.error().is_none());
}
