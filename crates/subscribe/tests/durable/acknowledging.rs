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
    let again = next(&mut inbox).await;
    assert_eq!((text(&again).as_str(), again.attempts()), ("one", 2));
    again.nak(Duration::from_millis(200)).await.unwrap();
    let two = next(&mut inbox).await;
    assert_eq!(text(&two), "two", "the first is not there yet");
    two.ack().await.unwrap();
    let again = next(&mut inbox).await;
    assert_eq!((text(&again).as_str(), again.attempts()), ("one", 3));
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
    assert_eq!(seen, ["poison", "poison", "fine"]);
    stage.write(&["after"]).await;
    assert_eq!(take(&mut inbox, 1).await, ["after"]);
    let consumer = inbox.consumer().clone();
    let dead = store.inbox(&consumer, true, 0, 10).await.unwrap();
    let [dead] = dead.as_slice() else {
        panic!("one is dead: {dead:?}")
    };
    let reason = dead.reason.as_deref().unwrap();
    assert!(reason.contains("too often"), "{reason}");

    assert!(store.deliver_again(dead.id, 0).await.unwrap());
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
    // Also within one process: the second works on it, and the first has nothing more to say.
    for late in [
        first.clone().ack().await,
        first.clone().nak(Duration::ZERO).await,
        first.clone().term("late").await,
        first.clone().ack_with(|_| Ok(())).await,
        first.progress().await,
    ] {
        let error = late.unwrap_err();
        assert!(matches!(error, LeaseError::Lost), "{error}");
    }
    let mut elsewhere = stage.inbox(&stage.store()).await;
    let third = next(&mut elsewhere).await;
    assert_eq!((third.id(), third.attempts()), (first.id(), 3));
    let error = second.ack().await.unwrap_err();
    assert!(matches!(error, LeaseError::Lost), "{error}");
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

#[tokio::test]
async fn what_waits_behind_slow_work_is_not_held_against_it() {
    const MESSAGES: usize = 12;
    let stage = Stage::new().await;
    let texts: Vec<String> = (0..MESSAGES).map(|n| format!("message {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    stage.write(&texts).await;
    let store = stage.store();
    let wait = Duration::from_millis(400);
    let durable = stage.durable(&store).ack_wait(wait).max_deliver(2);
    let mut inbox = durable.start().await.unwrap();
    for text_of in texts {
        let leased = next(&mut inbox).await;
        assert_eq!((text(&leased).as_str(), leased.attempts()), (text_of, 1));
        // The work takes its time; all of them together take many times what one may.
        tokio::time::sleep(wait / 3).await;
        leased
            .ack()
            .await
            .expect("its time began when it was handed out");
    }
    let consumer = inbox.consumer();
    let dead = store.inbox(consumer, true, 0, 10).await.unwrap();
    assert!(dead.is_empty(), "nobody has failed: {dead:?}");
}

#[tokio::test]
async fn the_next_comes_when_one_is_acknowledged() {
    let stage = Stage::new().await;
    stage.write(&["one", "two"]).await;
    let store = stage.store();
    // The stream ends while the first is out: the second is still handed out.
    let durable = stage.durable_idle(&store, Duration::from_millis(100));
    let mut inbox = durable.max_in_flight(1).start().await.unwrap();
    let one = next(&mut inbox).await;
    let waited = tokio::time::timeout(Duration::from_secs(1), inbox.next()).await;
    assert!(waited.is_err(), "one at a time, and it is no end");
    one.ack().await.unwrap();
    let two = next(&mut inbox).await;
    assert_eq!(text(&two), "two");
    two.ack().await.unwrap();
    assert!(inbox.next().await.unwrap().is_none());
}
