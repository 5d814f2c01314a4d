//! Deliveries of one type of record, and looking at what waits.

use std::time::Duration;

use atcomms_lexicon::{Broadcast, Message, Record};
use atcomms_subscribe::{Action, LeaseError, Leased, Retention, TypedInbox};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::stage::{PATIENCE, Stage, next};

/// What stands where a message should.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NoMessage {
    tune: String,
}

impl Record for NoMessage {
    const NSID: &'static str = Message::NSID;
}

/// Writes a message, a broadcast, what is no message, and updates and deletes the message.
async fn write_all(stage: &Stage) {
    let publisher = &stage.publisher;
    let alice = publisher.session().did().clone();
    let message = |text: &str| Message::new(alice.clone(), alice.clone(), text);
    let first = publisher.publish(message("first")).await.unwrap();
    let broadcast = Broadcast::new(alice.clone(), "to all");
    publisher.publish(broadcast).await.unwrap();
    let tune = NoMessage {
        tune: "la".to_owned(),
    };
    publisher.publish(tune).await.unwrap();
    let key = first.uri.rkey().unwrap();
    publisher.put(message("second")).key(key).await.unwrap();
    publisher.delete(&first.uri).await.unwrap();
}

async fn next_typed<T: Record>(inbox: &mut TypedInbox<T>) -> Leased<T> {
    let next = timeout(PATIENCE, inbox.next()).await;
    next.expect("in time").unwrap().expect("the stream goes on")
}

fn text(message: &Message) -> String {
    message.content.text.clone().unwrap()
}

#[tokio::test]
async fn a_typed_inbox_hands_out_its_type_and_leaves_the_others() {
    let stage = Stage::new().await;
    write_all(&stage).await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await.typed::<Message>();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let leased = next_typed(&mut inbox).await;
        match leased.item() {
            Ok(delivery) => {
                seen.push((delivery.action, delivery.record.as_ref().map(text)));
                leased.ack().await.unwrap();
            }
            Err(undecodable) => {
                assert!(undecodable.reason.contains("agent.comms.message"));
                assert!(!undecodable.bytes.is_empty(), "with its bytes");
                let reason = undecodable.reason.clone();
                seen.push((undecodable.action, None));
                leased.term(reason).await.unwrap();
            }
        }
    }
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        (Action::Create, text("first")),
        (Action::Create, None),
        (Action::Update, text("second")),
        (Action::Delete, None),
    ];
    assert_eq!(seen, expected);

    let waiting = inbox.inbox().peek(10).await.unwrap();
    let [waiting] = waiting.as_slice() else {
        panic!("the broadcast waits: {waiting:?}")
    };
    let collection = &waiting.item.as_ref().unwrap().collection;
    assert_eq!(
        (collection.as_str(), waiting.attempts),
        (Broadcast::NSID, 0)
    );
    let mut others = inbox.into_inbox().typed::<Broadcast>();
    let broadcast = next_typed(&mut others).await;
    let record = broadcast.item().unwrap().record.clone().unwrap();
    assert_eq!(record.content.text.as_deref(), Some("to all"));
    broadcast.ack_with(|_| Ok(())).await.unwrap();
    let inbox = others.into_inbox();
    assert!(inbox.peek(10).await.unwrap().is_empty());
    inbox.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_taken_before_an_inbox_had_a_type_is_not_lost() {
    let stage = Stage::new().await;
    stage.write(&["one", "two", "three"]).await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await;
    // As long as the caller keeps up, more are taken than are handed out: the third is, with the second.
    next(&mut inbox).await.ack().await.unwrap();
    next(&mut inbox).await.ack().await.unwrap();
    let mut broadcasts = inbox.typed::<Broadcast>();
    let none = timeout(Duration::from_millis(300), broadcasts.next()).await;
    assert!(none.is_err(), "there is no broadcast");
    let mut messages = broadcasts.into_inbox().typed::<Message>();
    let leased = next_typed(&mut messages).await;
    assert_eq!(leased.attempts(), 1, "it was not handed out in between");
    let record = leased.item().unwrap().record.as_ref();
    assert_eq!(text(record.unwrap()), "three");
    leased.ack().await.unwrap();
}

#[tokio::test]
async fn an_idle_typed_inbox_ends_although_others_wait() {
    let stage = Stage::new().await;
    write_all(&stage).await;
    let store = stage.store();
    let durable = stage.durable_idle(&store, Duration::from_millis(300));
    let mut inbox = durable.start().await.unwrap().typed::<Broadcast>();
    next_typed(&mut inbox).await.ack().await.unwrap();
    let end = timeout(PATIENCE, inbox.next()).await.expect("in time");
    assert!(end.unwrap().is_none());
}

#[tokio::test]
async fn a_typed_stream_has_updates_and_deletes_of_their_own() {
    let stage = Stage::new().await;
    write_all(&stage).await;
    let stream = stage.subscriber().start().unwrap().typed::<Message>();
    let items: Vec<_> = timeout(PATIENCE, stream.take(4).collect()).await.unwrap();
    let actions = items.iter().map(|item| match item {
        Ok(delivery) => (delivery.action, delivery.record.as_ref().map(text)),
        Err(undecodable) => {
            assert!(!undecodable.bytes.is_empty(), "with its bytes");
            (undecodable.action, None)
        }
    });
    let expected = [
        (Action::Create, Some("first".to_owned())),
        (Action::Create, None),
        (Action::Update, Some("second".to_owned())),
        (Action::Delete, None),
    ];
    assert_eq!(actions.collect::<Vec<_>>(), expected);
    assert!(items[1].is_err(), "what is no message says so");
}

#[tokio::test]
async fn retention_removes_a_record_and_not_the_event() {
    let stage = Stage::new().await;
    stage.write(&["poison"]).await;
    let store = stage.store();
    let mut inbox = stage.inbox(&store).await;
    let poison = next(&mut inbox).await;
    let late = poison.clone();
    poison.term("it is poison").await.unwrap();
    assert!(matches!(late.ack().await, Err(LeaseError::Lost)));
    inbox.shutdown().await.unwrap();

    let retention = Retention::new().dead_bytes(0);
    let durable = stage.durable(&store).retain(retention);
    let inbox = durable.start().await.unwrap();
    let removed = async {
        loop {
            let dead = store.inbox(inbox.consumer(), true, 0, 10).await.unwrap();
            assert_eq!(dead[0].reason.as_deref(), Some("it is poison"));
            if dead[0].removed_at.is_some() {
                return dead;
            }
            tokio::task::yield_now().await;
        }
    };
    let dead = timeout(PATIENCE, removed).await.expect("in time").remove(0);
    let error = atcomms_subscribe::Delivery::from_received(dead).unwrap_err();
    assert!(error.reason.contains("retention"), "{error}");
    inbox.shutdown().await.unwrap();
}
