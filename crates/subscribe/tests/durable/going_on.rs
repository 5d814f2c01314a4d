//! A consumer that ends, and goes on.

use std::time::Duration;

use crate::stage::{Stage, next, take, text};

#[tokio::test]
async fn a_consumer_goes_on_where_it_was() {
    let stage = Stage::new().await;
    stage.write(&["one", "two", "three", "four"]).await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await;
    assert_eq!(take(&mut inbox, 2).await, ["one", "two"]);
    inbox.shutdown().await.unwrap();
    drop(store);

    stage.write(&["five"]).await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await;
    assert_eq!(
        take(&mut inbox, 3).await,
        ["three", "four", "five"],
        "in order, what was written meanwhile too, and nothing twice"
    );
    let left = store.inbox_len(inbox.consumer()).await.unwrap();
    assert_eq!(left, 0, "what was acknowledged is gone");
    inbox.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_read_from_the_start_again_is_not_delivered_again() {
    let stage = Stage::new().await;
    stage.write(&["one", "two"]).await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await;
    assert_eq!(take(&mut inbox, 2).await, ["one", "two"]);
    inbox.shutdown().await.unwrap();
    let consumer = store.consumer("tests", 0).await.unwrap();
    let cursors = store.cursors(&consumer).await.unwrap();
    assert_eq!(cursors.len(), 1, "{cursors:?}");
    let last = stage.devnet.pds()[0].last_seq();
    assert_eq!(cursors[0].1, last, "the cursor is at the end of the stream");

    // The small rewind of a reconnect covers all of this stream.
    stage.write(&["three"]).await;
    let mut inbox = stage.inbox(&store).await;
    assert_eq!(take(&mut inbox, 1).await, ["three"]);
    let summary = inbox.summary();
    assert!(summary.duplicates >= 2, "they did come again: {summary:?}");
}

#[tokio::test]
async fn a_cut_connection_loses_and_doubles_nothing() {
    let stage = Stage::new().await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await;
    inbox.connected().await;
    let texts: Vec<String> = (0..30).map(|n| format!("message {n}")).collect();
    for (n, text) in texts.iter().enumerate() {
        stage.write(&[text]).await;
        if n % 10 == 5 {
            assert_eq!(stage.devnet.pds()[0].faults().disconnect(), 1);
        }
        assert_eq!(take(&mut inbox, 1).await, [text.as_str()]);
    }
    assert_eq!(stage.devnet.pds()[0].faults().counts().streams_cut, 3);
    assert_eq!(inbox.summary().delivered, 30);
}

#[tokio::test]
async fn it_ends_when_the_sources_are_silent_and_all_is_handed_out() {
    let stage = Stage::new().await;
    stage.write(&["one"]).await;
    let store = stage.store();
    let durable = stage.durable_idle(&store, Duration::from_millis(200));
    let mut inbox = durable.start().await.unwrap();
    let leased = next(&mut inbox).await;
    assert_eq!((text(&leased).as_str(), leased.attempts()), ("one", 1));
    leased.ack().await.unwrap();
    assert!(inbox.next().await.unwrap().is_none());
    assert_eq!(inbox.error(), None);
}
