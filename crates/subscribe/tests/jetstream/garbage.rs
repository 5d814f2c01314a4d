//! A Jetstream that sends what is no event.

use atcomms_identity::Resolver;
use atcomms_lexicon::cid_for_cbor;
use atcomms_subscribe::{Frames, From, Source, Subscriber, Trust};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::stage::{PATIENCE, counted, next, rejected};

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

fn event(time: i64, rkey: &str) -> Message {
    event_of(time, rkey, &json!({"n": 1}), &json!({"n": 1}))
}

/// An event with a record, under the CID of that other one.
fn event_of(time: i64, rkey: &str, record: &Value, named: &Value) -> Message {
    let named = atcomms_lexicon::Value::from_json(named.clone()).unwrap();
    let cid = cid_for_cbor(&named.to_cbor()).to_string();
    let event = json!({
        "did": DID, "time_us": time, "kind": "commit", "commit": {
            "rev": "3l3qo2vutsw2b", "operation": "create", "collection": "agent.comms.note", "rkey": rkey,
            "record": record, "cid": cid,
        },
    });
    Message::text(event.to_string())
}

#[expect(
    clippy::result_large_err,
    reason = "what a refusal would be, which there is none of"
)]
/// A server that sends on each connection what is for it, and stays; says what each asked for.
async fn server(connections: Vec<Vec<Message>>) -> (String, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, asking) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        for messages in connections {
            let (stream, _) = listener.accept().await.unwrap();
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut uri = String::new();
                let note = |request: &Request, response: Response| {
                    uri = request.uri().to_string();
                    Ok(response)
                };
                let mut socket = accept_hdr_async(stream, note).await.unwrap();
                asked.send(uri).await.unwrap();
                for message in messages {
                    // A client that has enough hangs up.
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                while let Some(Ok(_)) = socket.next().await {}
            });
        }
    });
    (url, asking)
}

#[tokio::test]
async fn what_is_no_event_is_counted_and_passed_over() {
    let future = 9_000_000_000_000_000;
    let huge = Message::text(format!("\"{}\"", "x".repeat(8_000_000)));
    let many = Message::text(format!("[{}0]", "0,".repeat(1_000_000)));
    let first = vec![
        Message::text("{"),
        Message::text("[]"),
        Message::binary(&b"\x28\xb5\x2f\xfd\x00"[..]),
        Message::text(""),
        Message::text(format!("{}0", "[".repeat(1_000_000))),
        many,
        event(1_725_911_162_000_000, "one"),
        event(future, "from-the-future"),
        Message::text(
            json!({"did": DID, "time_us": 1_725_911_162_000_001_i64, "kind": "weather"})
                .to_string(),
        ),
        huge,
    ];
    let second = vec![
        event(1_725_911_162_000_000, "one"),
        event(1_725_911_163_000_000, "two"),
    ];
    let (url, mut asking) = server(vec![first, second]).await;
    let subscriber = Subscriber::new(Resolver::builder().build())
        .source(Source::jetstream(&url).unwrap())
        .from(From::Live)
        .trust(Trust::Jetstream);
    let mut subscription = subscriber.start().unwrap();
    assert_eq!(next(&mut subscription).await.rkey.as_str(), "one");
    assert_eq!(next(&mut subscription).await.rkey.as_str(), "two");
    let summary = counted(&subscription, |summary| summary.duplicates == 1).await;
    assert_eq!(summary.delivered, 2);
    for (reason, count) in [
        ("event_malformed", 4),
        ("event_too_large", 2),
        ("future_time", 1),
        ("frame_too_large", 1),
    ] {
        assert_eq!(rejected(&summary, reason), count, "{reason}: {summary:?}");
    }
    let asked = timeout(PATIENCE, asking.recv()).await.unwrap().unwrap();
    assert_eq!(asked, "/subscribe?wantedCollections=agent.comms.*");
    let asked = timeout(PATIENCE, asking.recv()).await.unwrap().unwrap();
    assert!(
        asked.ends_with("&cursor=1725911162000003&maxMessageSizeBytes=6000000"),
        "behind what was too large: {asked}"
    );
}

#[tokio::test]
async fn a_record_is_held_against_its_cid_also_on_its_word() {
    let (one, two, float) = (json!({"n": 1}), json!({"n": 2}), json!({"n": 1.5}));
    // All at one time, as the operations of one commit may be.
    let messages = vec![
        event_of(5, "false", &two, &one),
        event_of(5, "undecidable", &float, &one),
        event_of(5, "true", &one, &one),
        event_of(5, "true-too", &two, &two),
    ];
    let (url, _asking) = server(vec![messages]).await;
    let subscriber = Subscriber::new(Resolver::builder().build())
        .source(Source::jetstream(&url).unwrap())
        .trust(Trust::Jetstream);
    let mut subscription = subscriber.start().unwrap();
    let undecodable = timeout(PATIENCE, subscription.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        undecodable.uri.as_str().ends_with("/undecidable"),
        "{undecodable}"
    );
    assert!(undecodable.reason.contains("float"), "{undecodable}");
    assert_eq!(next(&mut subscription).await.rkey.as_str(), "true");
    assert_eq!(next(&mut subscription).await.rkey.as_str(), "true-too");
    let summary = subscription.summary();
    assert_eq!(
        (rejected(&summary, "cid"), rejected(&summary, "undecodable")),
        (1, 1),
        "{summary:?}"
    );
}

#[tokio::test]
async fn it_has_nothing_to_record() {
    let source = Source::jetstream("http://localhost:1").unwrap();
    let mut frames = Frames::of(source, From::Live);
    assert_eq!(timeout(PATIENCE, frames.next()).await.unwrap(), None);
    let error = frames.error().expect("a reason");
    assert!(error.contains("firehose"), "{error}");
}
