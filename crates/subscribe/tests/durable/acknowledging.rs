//! What the caller may say of a delivery.

use std::time::Duration;

use atcomms_subscribe::LeaseError;

use crate::stage::{Stage, next, take, text};

#[tokio::test]
async fn what_is_given_back_comes_again() {
    let stage = Stage::new().await;
    stage.write(&["one", "two"]).await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await;
    let one = next(&mut inbox).await;
    one.nak(Duration::ZERO).await.unwrap();
    let two = next(&mut inbox).await;
    assert_eq!(text(&two), "two");
    two.ack().await.unwrap();
    let again = next(&mut inbox).await;
    assert_eq!((text(&again).as_str(), again.attempts()), ("one", 2));
    again.ack().await.unwrap();
}

#[tokio::test]
async fn what_is_handed_out_too_often_is_dead_and_can_be_delivered_again() {
    let stage = Stage::new().await;
    stage.write(&["poison", "fine"]).await;
    let store = stage.store();
    let durable = stage.durable(&store).max_deliver(2);
    let mut inbox = durable.start().await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let leased = next(&mut inbox).await;
        seen.push(text(&leased));
        match seen.last().unwrap().as_str() {
            "poison" => leased.nak(Duration::ZERO).await.unwrap(),
            _ => leased.ack().await.unwrap(),
        }
    }
    assert_eq!(seen, ["poison", "fine", "poison"]);
    stage.write(&["after"]).await;
    assert_eq!(take(&mut inbox, 1).await, ["after"]);
    let consumer = inbox.consumer().clone();
    let dead = store.inbox(&consumer, true, 0, 10).await.unwrap();
    let [dead] = dead.as_slice() else {
        panic!("one is dead: {dead:?}")
    };
    let reason = dead.reason.as_deref().unwrap();
    assert!(reason.contains("too often"), "{reason}");

    assert!(store.deliver_again(dead.id).await.unwrap());
    let again = next(&mut inbox).await;
    assert_eq!((text(&again).as_str(), again.attempts()), ("poison", 1));
    again.term("it is poison").await.unwrap();
    let dead = store.inbox(&consumer, true, 0, 10).await.unwrap();
    assert_eq!(dead[0].reason.as_deref(), Some("it is poison"));
    assert!(store.bury(dead[0].id).await.unwrap());
    assert!(
        store
            .inbox(&consumer, true, 0, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_takes_too_long_is_somebody_elses() {
    let stage = Stage::new().await;
    stage.write(&["slow"]).await;
    let store = stage.store();
    let durable = stage.durable(&store).ack_wait(Duration::from_millis(50));
    let mut inbox = durable.start().await.unwrap();
    let first = next(&mut inbox).await;
    let second = next(&mut inbox).await;
    assert_eq!((first.id(), second.attempts()), (second.id(), 2));
    // Both are of one process, which has one token: a lease of another process has another.
    let mut elsewhere = stage.inbox(&stage.store()).await;
    let third = next(&mut elsewhere).await;
    assert_eq!((third.id(), third.attempts()), (first.id(), 3));
    for late in [first, second] {
        let error = late.ack().await.unwrap_err();
        assert!(matches!(error, LeaseError::Lost), "{error}");
    }
    third.ack().await.unwrap();
}

#[tokio::test]
async fn progress_keeps_a_delivery() {
    let stage = Stage::new().await;
    stage.write(&["long"]).await;
    let store = stage.store();
    let wait = Duration::from_millis(400);
    let mut inbox = stage.durable(&store).ack_wait(wait).start().await.unwrap();
    let long = next(&mut inbox).await;
    let began = tokio::time::Instant::now();
    while began.elapsed() < wait * 2 {
        long.progress().await.unwrap();
        tokio::time::sleep(wait / 20).await;
    }
    long.ack().await.expect("it is still ours");
}

#[tokio::test]
async fn an_effect_happens_once_with_its_acknowledgement() {
    let stage = Stage::new().await;
    stage.write(&["one", "two"]).await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await;
    let one = next(&mut inbox).await;
    let setup = one
        .ack_with(|transaction| {
            transaction.execute("CREATE TABLE my_sums (n INTEGER)", [])?;
            transaction.execute("INSERT INTO my_sums VALUES (1)", [])
        })
        .await;
    assert_eq!(setup.unwrap(), 1);

    let two = next(&mut inbox).await;
    let failed = two
        .clone()
        .ack_with(|transaction| {
            transaction.execute("UPDATE my_sums SET n = n + 1", [])?;
            transaction.execute("UPDATE no_such_table SET n = 1", [])
        })
        .await;
    let error = failed.unwrap_err();
    assert!(matches!(error, LeaseError::Work(_)), "{error}");
    assert!(error.to_string().contains("no_such_table"), "{error}");
    let add = |transaction: &atcomms_publish::store::rusqlite::Connection| {
        transaction.execute("UPDATE my_sums SET n = n + 1", [])
    };
    two.clone().ack_with(add).await.unwrap();
    let twice = two.ack_with(add).await.unwrap_err();
    assert!(matches!(twice, LeaseError::Lost), "{twice}");
    let sum: i64 = atcomms_publish::store::rusqlite::Connection::open(store.path())
        .unwrap()
        .query_row("SELECT n FROM my_sums", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sum, 2, "the failed one and the late one left nothing");
}

#[tokio::test]
async fn strict_waits_for_the_one_before() {
    let stage = Stage::new().await;
    stage.write(&["one", "two"]).await;
    let store = stage.store();
    let mut inbox = stage.durable(&store).strict().start().await.unwrap();
    let one = next(&mut inbox).await;
    assert_eq!(text(&one), "one");
    one.nak(Duration::ZERO).await.unwrap();
    assert_eq!(take(&mut inbox, 2).await, ["one", "two"]);
}
