//! Several handles on one consumer: as several processes of one agent have them.

use std::collections::BTreeSet;

use crate::stage::{Stage, next, take, text};

#[tokio::test]
async fn two_share_the_work_and_each_delivery_is_handed_out_once() {
    let stage = Stage::new().await;
    let (store_a, store_b) = (stage.store(), stage.store());
    let durable = |store| stage.durable(store).max_in_flight(2);
    let mut a = durable(&store_a).start().await.unwrap();
    let mut b = durable(&store_b).start().await.unwrap();
    let texts: Vec<String> = (0..20).map(|n| format!("message {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    stage.write(&texts).await;
    let mut seen = Vec::new();
    while seen.len() < texts.len() {
        let leased = tokio::select! {
            leased = next(&mut a) => leased,
            leased = next(&mut b) => leased,
        };
        assert_eq!(leased.attempts(), 1);
        seen.push(text(&leased));
        leased.ack().await.unwrap();
    }
    let different: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(different, texts.into_iter().collect());
    assert_eq!(store_a.inbox_len(a.consumer()).await.unwrap(), 0);
}

#[tokio::test]
async fn another_feeds_when_the_first_is_gone() {
    let stage = Stage::new().await;
    let (store_a, store_b) = (stage.store(), stage.store());
    let mut a = stage.inbox(&store_a).await;
    a.connected().await;
    let mut b = stage.inbox(&store_b).await;
    stage.write(&["one"]).await;
    assert_eq!(take(&mut b, 1).await, ["one"], "the first feeds for both");
    drop(a);
    drop(store_a);
    stage.write(&["two"]).await;
    assert_eq!(take(&mut b, 1).await, ["two"], "now it feeds itself");
}

#[tokio::test]
async fn what_one_works_on_keeps_nothing_from_the_other() {
    let stage = Stage::new().await;
    let texts: Vec<String> = (0..20).map(|n| format!("message {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    stage.write(&texts).await;
    let (store_a, store_b) = (stage.store(), stage.store());
    let mut a = stage.inbox(&store_a).await;
    let first = next(&mut a).await;
    let mut b = stage.inbox(&store_b).await;
    assert_eq!(
        take(&mut b, texts.len() - 1).await,
        texts[1..],
        "the first works on one, and the second has the rest"
    );
    assert!(a.is_feeding() && !b.is_feeding());
    first.ack().await.unwrap();
}
