//! What a Jetstream says, taken on its word.

use std::time::Duration;

use atcomms_devnet::{Forgery, StreamFault};
use atcomms_lexicon::{Value, cid_for_cbor};
use atcomms_subscribe::{Action, Continuity, From, Source, Trust};

use crate::stage::{Stage, counted, next, rejected, text, texts};

#[tokio::test]
async fn what_it_says_is_delivered_as_its_word() {
    let stage = Stage::new().await;
    let uri = stage.alice.says("one").await;
    stage.alice.corrects(&uri, "two").await;
    stage.alice.publisher.delete(&uri).await.unwrap();
    let mut subscription = stage.subscriber().trust(Trust::Jetstream).start().unwrap();
    let mut last = 0;
    for (action, said) in [
        (Action::Create, "one"),
        (Action::Update, "two"),
        (Action::Delete, "gone"),
    ] {
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.action, action);
        assert_eq!((delivery.trust, delivery.commit), (Trust::Jetstream, None));
        assert_eq!(delivery.continuity, Continuity::Linked);
        assert_eq!((&delivery.uri, &delivery.author), (&uri, stage.alice.did()));
        assert_eq!(
            delivery.cid,
            delivery.bytes().map(|bytes| cid_for_cbor(bytes))
        );
        let host = format!("{}/subscribe", stage.devnet.jetstream().ws_url());
        assert_eq!(*delivery.source, *host);
        assert!(
            delivery.seq > last,
            "{} is a time after {last}",
            delivery.seq
        );
        last = delivery.seq;
        assert_eq!(text(delivery), said);
    }
    let later = stage
        .subscriber()
        .trust(Trust::Jetstream)
        .from(From::Seq(last));
    let mut later = later.start().unwrap();
    assert_eq!(
        next(&mut later).await.action,
        Action::Delete,
        "from that time on"
    );
}

#[tokio::test]
async fn all_operations_of_a_commit_are_delivered_once_and_a_reconnect_doubles_nothing() {
    let stage = Stage::new().await;
    let mut subscription = stage.subscriber().trust(Trust::Jetstream).start().unwrap();
    subscription.connected().await;
    let names: Vec<String> = (0..40).map(|n| format!("message {n}")).collect();
    for (round, names) in names.chunks(10).enumerate() {
        let mut accepted = Vec::new();
        for name in names {
            let message = stage.alice.message(name);
            accepted.push(
                stage
                    .alice
                    .publisher
                    .publish(message)
                    .enqueue()
                    .await
                    .unwrap(),
            );
        }
        let mut revs = std::collections::BTreeSet::new();
        for accepted in accepted {
            revs.insert(accepted.receipt().await.unwrap().rev);
        }
        assert!(
            revs.len() < names.len(),
            "some share a commit: {}",
            revs.len()
        );
        assert_eq!(
            texts(&mut subscription, names.len()).await,
            names,
            "round {round}"
        );
        assert_eq!(stage.devnet.jetstream().faults().disconnect(), 1);
    }
    assert_eq!(stage.devnet.jetstream().faults().counts().streams_cut, 4);
    let summary = counted(&subscription, |summary| summary.duplicates >= 10).await;
    assert_eq!(summary.delivered, 40, "{summary:?}");
    assert_eq!(summary.rejected, Default::default());
}

#[tokio::test]
async fn what_comes_of_a_silent_connection_is_delivered_when_it_speaks_again() {
    let stage = Stage::new().await;
    let mut subscription = stage.subscriber().trust(Trust::Jetstream).start().unwrap();
    stage.alice.says("before").await;
    assert_eq!(texts(&mut subscription, 1).await, ["before"]);
    let jetstream = stage.devnet.jetstream();
    assert_eq!(jetstream.faults().stall(Duration::from_secs(3600)), 1);
    stage.alice.says("meanwhile").await;
    jetstream.faults().resume();
    assert_eq!(texts(&mut subscription, 1).await, ["meanwhile"]);
    assert_eq!(jetstream.faults().counts().streams_stalled, 1);
}

#[tokio::test]
async fn a_lie_that_agrees_with_itself_is_its_word() {
    let stage = Stage::new().await;
    let faults = stage.devnet.jetstream().faults();
    let mut subscription = stage.subscriber().trust(Trust::Jetstream).start().unwrap();
    subscription.connected().await;
    faults.inject_stream_of(stage.alice.did(), StreamFault::Forge(Forgery::Record), 1);
    stage.alice.says("one").await;
    let delivery = next(&mut subscription).await;
    let record = delivery.record.as_ref().expect("a record");
    assert_eq!(record.get("forged"), Some(&Value::Bool(true)));
    assert_eq!(delivery.trust, Trust::Jetstream);
    assert_eq!(faults.counts().frames_forged, 1);
}

#[tokio::test]
async fn a_record_that_claims_another_sender_is_refused() {
    let stage = Stage::new().await;
    let faults = stage.devnet.jetstream().faults();
    let mut subscription = stage.subscriber().trust(Trust::Jetstream).start().unwrap();
    subscription.connected().await;
    let bob = stage.bob.did().clone();
    faults.inject_stream_of(stage.alice.did(), StreamFault::Forge(Forgery::Did(bob)), 1);
    stage.alice.says("it was bob").await;
    stage.alice.says("it was me").await;
    assert_eq!(texts(&mut subscription, 1).await, ["it was me"]);
    assert_eq!(faults.counts().frames_forged, 1);
    assert_eq!(rejected(&subscription.summary(), "other_author"), 1);
}

#[tokio::test]
async fn only_what_is_wanted_is_sent() {
    let stage = Stage::new().await;
    let subscriber = stage.subscriber().trust(Trust::Jetstream);
    let mut subscription = subscriber.peers([stage.bob.did().clone()]).start().unwrap();
    subscription.connected().await;
    stage.alice.says("from alice").await;
    stage.bob.says("from bob").await;
    assert_eq!(texts(&mut subscription, 1).await, ["from bob"]);
    let frames = subscription.summary().frames;
    assert!(
        frames <= 4,
        "his account, his identity, his message: {frames}"
    );
}

#[tokio::test]
async fn peers_that_do_not_fit_into_a_url_are_said_in_a_message() {
    let stage = Stage::new().await;
    let strangers = (0..2000).map(|n| format!("did:web:n{n}.example").parse().unwrap());
    let peers = strangers.chain([stage.bob.did().clone()]);
    let subscriber = stage.subscriber().trust(Trust::Jetstream);
    let mut subscription = subscriber.peers(peers).start().unwrap();
    stage.alice.says("from alice").await;
    stage.bob.says("from bob").await;
    assert_eq!(texts(&mut subscription, 1).await, ["from bob"]);
    stage.devnet.jetstream().faults().disconnect();
    stage.bob.says("from bob again").await;
    assert_eq!(texts(&mut subscription, 1).await, ["from bob again"]);
    let frames = subscription.summary().frames;
    assert!(frames <= 8, "nothing of alice: {frames}");
}

#[tokio::test]
async fn what_a_firehose_brings_too_is_delivered_once() {
    let stage = Stage::new().await;
    let relay = Source::firehose(stage.devnet.relay().url()).unwrap();
    for trust in [Trust::Jetstream, Trust::Verified] {
        let subscriber = stage.subscriber().source(relay.clone()).trust(trust);
        let mut subscription = subscriber.from(From::Live).start().unwrap();
        subscription.connected().await;
        let names: Vec<String> = (0..20)
            .map(|n| format!("{n} at {}", trust.as_str()))
            .collect();
        for name in &names {
            stage.alice.says(name).await;
        }
        let mut heard = texts(&mut subscription, names.len()).await;
        heard.sort();
        let mut expected = names.clone();
        expected.sort();
        assert_eq!(heard, expected);
        let summary = counted(&subscription, |summary| summary.duplicates >= 20).await;
        assert_eq!(
            (summary.delivered, summary.duplicates),
            (20, 20),
            "{summary:?}"
        );
        assert_eq!(summary.rejected, Default::default());
    }
}
