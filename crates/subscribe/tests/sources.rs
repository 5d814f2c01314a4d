//! Several hosts, of which one refuses; and a commit that is small on the wire and large here.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::time::Duration;

use atcomms_devnet::{Devnet, Replay};
use atcomms_identity::Resolver;
use atcomms_lexicon::Message;
use atcomms_publish::{Publisher, Session};
use atcomms_repo::frame::{ErrorFrame, Frame};
use atcomms_subscribe::{Frames, From, Recording, Source, Subscriber};
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

#[tokio::test]
async fn a_recording_is_watched_as_its_host_was() {
    let net = Devnet::builder()
        .account("alice")
        .start()
        .await
        .expect("a network");
    let publisher = alice(&net).await;
    for text in ["one", "two", "three"] {
        write(&publisher, text).await;
    }
    let host = Source::firehose(net.pds()[0].url()).expect("a source");
    let mut frames = Frames::of(host, From::Start);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stream.bin");
    let mut recording = Recording::create(&path).await.expect("a new file");
    let last = net.pds()[0].last_seq();
    for seq in 1..=last {
        let frame = timeout(PATIENCE, frames.next()).await.expect("in time");
        recording
            .write(&frame.expect("a frame"))
            .await
            .expect("room");
        if seq == 3 {
            // What was seen before the cut is not recorded twice.
            assert_eq!(net.pds()[0].faults().disconnect(), 1);
        }
    }
    recording.finish().await.expect("room");
    let again = Recording::create(&path).await.expect_err("it is there");
    assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);

    let watched = |path: &std::path::Path| subscriber(&net).source(Source::file(path)).start();
    let mut subscription = watched(&path).expect("it starts");
    let mut texts = Vec::new();
    while let Some(item) = timeout(PATIENCE, subscription.next())
        .await
        .expect("in time")
    {
        let message = item.expect("it can be read").decode::<Message>();
        let message = message.expect("a message").record.expect("a record");
        texts.extend(message.content.text);
    }
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(subscription.error(), None);
    assert_eq!(i64::try_from(subscription.summary().frames), Ok(last));

    let bytes = std::fs::read(&path).expect("it can be read");
    let cut = folder.path().join("cut.bin");
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).expect("room");
    let mut subscription = watched(&cut).expect("it starts");
    let mut delivered = 0;
    while let Some(item) = timeout(PATIENCE, subscription.next())
        .await
        .expect("in time")
    {
        delivered += usize::from(item.is_ok());
    }
    assert_eq!(delivered, 2, "what came before the cut");
    let error = subscription.error().expect("a reason").to_string();
    assert!(error.contains("cut short"), "{error}");
}

/// More commits of one author than wait for a key.
const MANY: usize = 600;

#[tokio::test]
async fn a_file_waits_for_the_keys_of_what_is_in_it() {
    let net = Devnet::builder().account("alice").start().await;
    let net = net.expect("a network");
    let publisher = alice(&net).await;
    for n in 0..MANY {
        write(&publisher, &n.to_string()).await;
    }
    let host = Source::firehose(net.pds()[0].url()).expect("a source");
    let mut frames = Frames::of(host, From::Start);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stream.bin");
    let mut recording = Recording::create(&path).await.expect("a new file");
    for _ in 0..net.pds()[0].last_seq() {
        let frame = timeout(PATIENCE, frames.next()).await.expect("in time");
        recording
            .write(&frame.expect("a frame"))
            .await
            .expect("room");
    }
    recording.finish().await.expect("room");

    let subscription = subscriber(&net).source(Source::file(&path)).start();
    let mut subscription = subscription.expect("it starts");
    let mut delivered = 0;
    while let Some(item) = timeout(PATIENCE, subscription.next())
        .await
        .expect("in time")
    {
        let message = item.expect("it can be read").decode::<Message>();
        let record = message.expect("a message").record.expect("a record");
        assert_eq!(record.content.text, Some(delivered.to_string()));
        delivered += 1;
    }
    let rejected = subscription.summary().rejected;
    assert_eq!((delivered, rejected.len()), (MANY, 0), "{rejected:?}");
}

async fn alice(net: &Devnet) -> Publisher {
    let alice = net.accounts().remove(0);
    let pds = alice.pds.parse().expect("a URL");
    let session = Session::login(pds, alice.handle.as_str(), alice.password.into());
    Publisher::temporary(session.await.expect("a login")).expect("a store")
}

async fn write(publisher: &Publisher, text: &str) {
    let did = publisher.session().did().clone();
    let message = Message::new(did.clone(), did, text);
    publisher.publish(message).await.expect("it is written");
}
