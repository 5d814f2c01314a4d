//! What a Jetstream says, believed when its author's repository proves it.

use std::time::Duration;

use atcomms_devnet::{Fault, Forgery, Plc, StreamFault};
use atcomms_subscribe::{Action, RaiseError, Trust};
use futures::StreamExt;
use tokio::time::timeout;

use crate::stage::{PATIENCE, Stage, next, rejected, text, texts};

const GET_RECORD: &str = "com.atproto.sync.getRecord";

#[tokio::test]
async fn an_event_is_delivered_with_the_commit_that_proves_it() {
    let stage = Stage::new().await;
    let mut subscription = stage.subscriber().start().unwrap();
    let uri = stage.alice.says("one").await;
    for (action, said) in [
        (Action::Create, "one"),
        (Action::Update, "two"),
        (Action::Delete, "gone"),
    ] {
        match action {
            Action::Update => stage.alice.corrects(&uri, "two").await,
            Action::Delete => drop(stage.alice.publisher.delete(&uri).await.unwrap()),
            _ => {}
        }
        let delivery = next(&mut subscription).await;
        assert_eq!((delivery.action, delivery.trust), (action, Trust::Verified));
        assert!(delivery.commit.is_some(), "the commit of the proof");
        assert_eq!(delivery.uri, uri);
        assert_eq!(text(delivery), said);
    }
}

#[tokio::test]
async fn what_was_superseded_is_counted_and_not_delivered() {
    let stage = Stage::new().await;
    let changed = stage.alice.says("one").await;
    stage.alice.corrects(&changed, "two").await;
    let deleted = stage.alice.says("three").await;
    stage.alice.publisher.delete(&deleted).await.unwrap();
    let back = stage.alice.says("four").await;
    stage.alice.publisher.delete(&back).await.unwrap();
    stage.alice.corrects(&back, "four again").await;
    stage.bob.says("five").await;
    // The end waits for proofs that are under way.
    let faults = stage.pds_of(&stage.alice).faults();
    faults.inject(GET_RECORD, Fault::Slow(Duration::from_secs(1)), 1);
    let subscriber = stage.subscriber().idle(Duration::from_millis(300));
    let mut subscription = subscriber.start().unwrap();
    let mut heard = Vec::new();
    while let Some(item) = timeout(PATIENCE, subscription.next()).await.unwrap() {
        let delivery = item.unwrap();
        assert_eq!(delivery.trust, Trust::Verified);
        heard.push((delivery.action, text(delivery)));
    }
    heard.sort_by_key(|(_, text)| text.clone());
    let expected = [
        (Action::Create, "five".to_owned()),
        (Action::Create, "four again".to_owned()),
        (Action::Delete, "gone".to_owned()),
        (Action::Update, "two".to_owned()),
    ];
    assert_eq!(heard, expected);
    let summary = subscription.summary();
    assert_eq!(rejected(&summary, "superseded"), 4, "{summary:?}");
    assert_eq!(faults.counts().slowed, 1);
}

#[tokio::test]
async fn a_lie_is_never_delivered_as_verified() {
    let stage = Stage::new().await;
    let faults = stage.devnet.jetstream().faults();
    let mut subscription = stage.subscriber().start().unwrap();
    subscription.connected().await;
    let (alice, bob) = (stage.alice.did(), stage.bob.did().clone());
    faults.inject_stream_of(alice, StreamFault::Forge(Forgery::Record), 1);
    stage.alice.says("another record is made of this").await;
    faults.inject_stream_of(alice, StreamFault::Forge(Forgery::Did(bob)), 1);
    stage.alice.says("another author is made of this").await;
    stage.alice.says("true").await;
    stage.bob.says("true, too").await;
    let mut heard = texts(&mut subscription, 2).await;
    heard.sort();
    assert_eq!(heard, ["true", "true, too"]);
    assert_eq!(faults.counts().frames_forged, 2);
    let summary = subscription.summary();
    assert_eq!(rejected(&summary, "superseded"), 2, "{summary:?}");
}

#[tokio::test]
async fn a_pds_that_is_down_is_waited_for_and_others_pass() {
    let stage = Stage::new().await;
    let faults = stage.pds_of(&stage.alice).faults();
    faults.inject(GET_RECORD, Fault::FailBefore(503), 2);
    faults.inject(GET_RECORD, Fault::RequestLost, 1);
    let mut subscription = stage.subscriber().start().unwrap();
    subscription.connected().await;
    stage.alice.says("one").await;
    stage.alice.says("two").await;
    stage.bob.says("meanwhile").await;
    assert_eq!(
        texts(&mut subscription, 3).await,
        ["meanwhile", "one", "two"],
        "hers in her order, his before"
    );
    let counts = faults.counts();
    assert_eq!((counts.failed_before, counts.requests_lost), (2, 1));
    assert_eq!(subscription.summary().rejected, Default::default());
}

#[tokio::test]
async fn what_nobody_proves_is_counted_and_the_next_one_comes() {
    let stage = Stage::new().await;
    let faults = stage.pds_of(&stage.alice).faults();
    let bob = stage.bob.did().clone();
    faults.inject(GET_RECORD, Fault::OtherRepository(bob), 2);
    let mut subscription = stage.subscriber().start().unwrap();
    subscription.connected().await;
    stage.alice.says("one").await;
    stage.alice.says("two").await;
    stage.alice.says("three").await;
    assert_eq!(texts(&mut subscription, 1).await, ["three"]);
    assert_eq!(faults.counts().repositories_swapped, 2);
    let summary = subscription.summary();
    assert_eq!(rejected(&summary, "unproven"), 2, "{summary:?}");
}

#[tokio::test]
async fn a_directory_that_is_down_is_waited_for() {
    let stage = Stage::new().await;
    let faults = stage.devnet.plc().faults();
    faults.inject(Plc::RESOLVE, Fault::RequestLost, 1);
    let mut subscription = stage.subscriber().start().unwrap();
    stage.alice.says("one").await;
    assert_eq!(texts(&mut subscription, 1).await, ["one"]);
    assert_eq!(faults.counts().requests_lost, 1);
}

#[tokio::test]
async fn a_new_key_is_looked_up_also_when_nobody_says_that_there_is_one() {
    let stage = Stage::new().await;
    let mut subscription = stage.subscriber().start().unwrap();
    stage.alice.says("one").await;
    assert_eq!(texts(&mut subscription, 1).await, ["one"]);
    let faults = stage.devnet.jetstream().faults();
    faults.inject_stream_of(stage.alice.did(), StreamFault::Skip, 1);
    stage
        .pds_of(&stage.alice)
        .rotate_key(stage.alice.did())
        .unwrap();
    stage.alice.says("two").await;
    assert_eq!(texts(&mut subscription, 1).await, ["two"]);
    assert_eq!(faults.counts().events_skipped, 1, "her #identity");
    assert_eq!(subscription.summary().rejected, Default::default());
}

#[tokio::test]
async fn a_word_is_raised_when_somebody_asks() {
    let stage = Stage::new().await;
    let resolver = stage.resolver();
    let mut subscription = stage.subscriber().trust(Trust::Jetstream).start().unwrap();
    let uri = stage.alice.says("one").await;
    let one = next(&mut subscription).await;
    let raised = one.clone().raise(&resolver).await.unwrap();
    assert_eq!(raised.trust, Trust::Verified);
    let commit = raised.commit.expect("the commit of the proof");
    assert_eq!(
        (raised.cid, raised.rev, &raised.record),
        (one.cid, one.rev, &one.record)
    );
    let again = raised.raise(&resolver).await.unwrap();
    assert_eq!(
        again.commit,
        Some(commit),
        "what is verified stays as it is"
    );

    stage.alice.corrects(&uri, "two").await;
    let two = next(&mut subscription).await;
    let error = one.clone().raise(&resolver).await.unwrap_err();
    assert!(matches!(error, RaiseError::Superseded { .. }), "{error}");
    assert_eq!(two.raise(&resolver).await.unwrap().trust, Trust::Verified);

    stage.alice.publisher.delete(&uri).await.unwrap();
    let gone = next(&mut subscription).await;
    assert_eq!(
        (gone.action, gone.trust),
        (Action::Delete, Trust::Jetstream)
    );
    assert_eq!(gone.raise(&resolver).await.unwrap().trust, Trust::Verified);
    let error = one.raise(&resolver).await.unwrap_err();
    assert!(matches!(error, RaiseError::Superseded { .. }), "{error}");
}
