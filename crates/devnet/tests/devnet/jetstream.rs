//! Jetstream's `/subscribe`: the relay's events as JSON, filtered, replayed by time.

use std::collections::BTreeMap;
use std::time::Duration;

use atcomms_devnet::{Account, Devnet};
use atcomms_lexicon::{Value as Data, cid_for_cbor};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::common::{Client, Firehose, NOTE, PATIENCE, now_micros};

/// A subscription.
struct Events(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Events {
    async fn open(devnet: &Devnet, query: &str) -> Self {
        let url = format!("{}/subscribe?{query}", devnet.jetstream().ws_url());
        Self(connect_async(url).await.unwrap().0)
    }

    async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.0.next());
        let next = next.await.expect("the stream is silent");
        next.and_then(Result::ok)
    }

    async fn next(&mut self) -> Value {
        match self.message().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("not an event: {other:?}"),
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }

    async fn say(&mut self, message: Value) {
        let text = Message::text(message.to_string());
        self.0.send(text).await.unwrap();
    }
}

/// Two PDSs with an account on each, logged in.
async fn network() -> (Devnet, [Account; 2], [Client; 2]) {
    let builder = Devnet::builder().pds(2).account("alice").account("bob");
    let devnet = builder.start().await.unwrap();
    let accounts = <[Account; 2]>::try_from(devnet.accounts()).unwrap();
    let clients = [
        Client::log_in(&accounts[0]).await,
        Client::log_in(&accounts[1]).await,
    ];
    (devnet, accounts, clients)
}

fn times(events: &[Value]) -> Vec<i64> {
    let time = |event: &Value| event["time_us"].as_i64().unwrap();
    events.iter().map(time).collect()
}

/// Creates a record.
async fn create(client: &Client, account: &Account, collection: &str, rkey: &str, record: Value) {
    let body =
        json!({ "repo": account.did, "collection": collection, "rkey": rkey, "record": record });
    client.post("repo.createRecord", body).await.ok();
}

#[tokio::test]
async fn each_operation_is_an_event_with_the_record_that_is_in_the_repository() {
    let (devnet, [alice, bob], [client, _]) = network().await;
    let mut events = Events::open(&devnet, "").await;
    let before = i64::try_from(now_micros()).unwrap();
    let created = client.put(&alice.did, "key", "text").await;
    let updated = client.put(&alice.did, "key", "another").await;
    let delete = json!({ "repo": alice.did, "collection": NOTE, "rkey": "key" });
    client.post("repo.deleteRecord", delete).await.ok();
    let events = events.take(3).await;
    let first = json!({
        "did": alice.did,
        "time_us": events[0]["time_us"],
        "kind": "commit",
        "commit": {
            "rev": created["commit"]["rev"],
            "operation": "create",
            "collection": NOTE,
            "rkey": "key",
            "record": { "$type": NOTE, "text": "text" },
            "cid": created["cid"],
        },
    });
    assert_eq!(events[0], first);
    assert_eq!(events[1]["commit"]["operation"], "update");
    assert_eq!(events[1]["commit"]["cid"], updated["cid"]);
    let deleted = events[2]["commit"].as_object().unwrap();
    assert_eq!(deleted["operation"], "delete");
    assert!(!deleted.contains_key("record") && !deleted.contains_key("cid"));
    let record = Data::from_json(events[1]["commit"]["record"].clone()).unwrap();
    let cid = cid_for_cbor(&record.to_cbor()).to_string();
    assert_eq!(updated["cid"], cid, "the JSON is the whole record");
    let times = times(&events);
    assert!(
        times[0] >= before && times.is_sorted_by(|a, b| a < b),
        "{times:?}"
    );
    drop(bob);
}

#[tokio::test]
async fn accounts_and_identities_are_events_and_syncs_are_not() {
    let (devnet, [alice, bob], _) = network().await;
    let mut events = Events::open(&devnet, "cursor=0&wantedCollections=agent.comms.*").await;
    let events = events.take(4).await;
    let kinds: Vec<(&str, &str)> = events
        .iter()
        .map(|event| {
            (
                event["did"].as_str().unwrap(),
                event["kind"].as_str().unwrap(),
            )
        })
        .collect();
    let (alice, bob) = (alice.did.as_str(), bob.did.as_str());
    let expected = [
        (alice, "identity"),
        (alice, "account"),
        (bob, "identity"),
        (bob, "account"),
    ];
    assert_eq!(kinds, expected, "whatever the collections");
    assert_eq!(events[0]["identity"]["handle"], "alice.test");
    assert_eq!(events[0]["identity"]["seq"], 1, "the relay's number");
    assert_eq!(events[1]["account"]["active"], true);
}

#[tokio::test]
async fn collections_prefixes_accounts_and_sizes_are_filters() {
    let (devnet, [alice, bob], [of_alice, of_bob]) = network().await;
    let short = json!({ "text": "short" });
    let long = json!({ "text": "x".repeat(2_000) });
    for (client, account) in [(&of_alice, &alice), (&of_bob, &bob)] {
        create(client, account, "com.example.note", "a", short.clone()).await;
        create(client, account, "com.example.notes", "b", short.clone()).await;
        create(client, account, "agent.comms.message", "c", long.clone()).await;
        create(client, account, "agent.comms.ack", "d", short.clone()).await;
    }
    let did = alice.did.as_str();
    let all = "wantedCollections=com.example.note&wantedCollections=agent.comms.*";
    let cases = [
        (all.to_owned(), "acdacd"),
        (format!("{all}&wantedDids={did}"), "acd"),
        (
            format!("{all}&wantedDids={did}&maxMessageSizeBytes=1000"),
            "ad",
        ),
        (
            format!("wantedDids={did}&wantedDids={}", bob.did),
            "abcdabcd",
        ),
    ];
    for (query, expected) in cases {
        let mut events = Events::open(&devnet, &format!("cursor=1&{query}")).await;
        let mut rkeys = String::new();
        while rkeys.len() < expected.len() {
            let event = events.next().await;
            rkeys.push_str(event["commit"]["rkey"].as_str().unwrap_or_default());
        }
        assert_eq!(rkeys, expected, "{query}");
    }
}

#[tokio::test]
async fn a_cursor_replays_from_that_time_on_also_in_the_middle_of_a_commit() {
    let (devnet, [alice, _], [client, _]) = network().await;
    let writes: Vec<Value> = (0..5)
        .map(|number| json!({ "$type": "com.atproto.repo.applyWrites#create", "collection": NOTE, "rkey": format!("key{number}"), "value": {} }))
        .collect();
    let body = json!({ "repo": alice.did, "writes": writes });
    client.post("repo.applyWrites", body).await.ok();
    client.put(&alice.did, "last", "text").await;
    let query = format!("cursor=0&wantedCollections={NOTE}");
    let all = Events::open(&devnet, &query).await.take(10).await;
    let all_times = times(&all);
    assert!(all_times.is_sorted_by(|a, b| a < b), "{all_times:?}");
    for (place, time) in all_times.iter().enumerate() {
        let mut events = Events::open(&devnet, &format!("cursor={time}")).await;
        let events = events.take(all.len() - place).await;
        assert_eq!(events, all[place..], "from {time} on, that one included");
    }
    assert_eq!(devnet.jetstream().last_time_us(), all_times[9]);
    let future = all_times[9] + 3_600_000_000;
    let mut live = [
        Events::open(&devnet, "").await,
        Events::open(&devnet, &format!("cursor={future}")).await,
    ];
    client.put(&alice.did, "live", "text").await;
    for events in &mut live {
        assert_eq!(events.next().await["commit"]["rkey"], "live");
    }
}

#[tokio::test]
async fn after_a_restart_the_times_and_the_port_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Devnet::builder().data(folder.path()).account("alice");
    let devnet = builder().start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    for number in 0..10 {
        client
            .put(&alice.did, &format!("key{number}"), "text")
            .await;
    }
    let before = Events::open(&devnet, "cursor=0").await.take(12).await;
    let url = devnet.jetstream().url().to_owned();
    drop(devnet);
    let devnet = builder().start().await.unwrap();
    assert_eq!(devnet.jetstream().url(), url);
    let after = Events::open(&devnet, "cursor=0").await.take(12).await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn an_update_of_the_options_counts_from_then_on_and_can_be_waited_for() {
    let (devnet, [alice, bob], [of_alice, of_bob]) = network().await;
    let mut events = Events::open(&devnet, "requireHello=true&cursor=0").await;
    let update =
        |did: &Account| json!({ "type": "options_update", "payload": { "wantedDids": [did.did] } });
    events.say(json!({ "type": "something else" })).await;
    events.say(update(&alice)).await;
    let kinds: BTreeMap<String, usize> =
        events
            .take(2)
            .await
            .into_iter()
            .fold(BTreeMap::new(), |mut seen, event| {
                *seen.entry(event["did"].to_string()).or_default() += 1;
                seen
            });
    assert_eq!(
        kinds.len(),
        1,
        "nothing of bob's was sent before the hello: {kinds:?}"
    );
    events.say(update(&bob)).await;
    // A ping that is answered proves that what was said before it was heard.
    events.0.send(Message::Ping("heard?".into())).await.unwrap();
    assert!(matches!(events.message().await, Some(Message::Pong(_))));
    of_alice.put(&alice.did, "key", "text").await;
    of_bob.put(&bob.did, "key", "text").await;
    assert_eq!(events.next().await["did"], bob.did.as_str());
    let wrong = json!({ "type": "options_update", "payload": { "wantedDids": ["alice"] } });
    events.say(wrong).await;
    let Some(Message::Close(Some(close))) = events.message().await else {
        panic!("not closed");
    };
    assert!(close.reason.contains("invalid DID"), "{close:?}");
}

#[tokio::test]
async fn what_cannot_be_served_is_a_400_that_says_why() {
    let (devnet, _, _) = network().await;
    for (query, why) in [
        ("compress=true", "does not compress"),
        ("cursor=soon", "invalid cursor"),
        ("wantedCollections=agent", "invalid collection"),
        ("wantedDids=alice", "invalid DID"),
    ] {
        let url = format!("{}/subscribe?{query}", devnet.jetstream().ws_url());
        let Err(Error::Http(response)) = connect_async(url).await else {
            panic!("{query} was taken");
        };
        assert_eq!(response.status(), 400, "{query}");
        let body = response.into_body().unwrap_or_default();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(why), "{query}: {body}");
    }
}

#[tokio::test]
async fn a_disconnect_is_counted_and_a_shutdown_is_announced() {
    let (devnet, [alice, _], [client, _]) = network().await;
    let mut cut = Events::open(&devnet, "cursor=0").await;
    cut.take(4).await;
    assert_eq!(devnet.jetstream().faults().disconnect(), 1);
    assert!(cut.message().await.is_none(), "no close frame");
    assert_eq!(devnet.jetstream().faults().counts().streams_cut, 1);
    let mut events = Events::open(&devnet, "").await;
    let mut relayed = Firehose::open(devnet.relay().ws_url(), None).await;
    client.put(&alice.did, "key", "text").await;
    relayed.next().await;
    drop(relayed);
    let ending = tokio::spawn(devnet.shutdown());
    events.next().await;
    let Some(Message::Close(Some(close))) = events.message().await else {
        panic!("not closed");
    };
    assert_eq!(close.code, CloseCode::Away);
    drop(events);
    tokio::time::timeout(Duration::from_secs(30), ending)
        .await
        .expect("it stops")
        .unwrap();
}
