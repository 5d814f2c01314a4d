//! Durable deliveries a second (stored, handed out, acknowledged), and what being durable adds to the time
//! from a frame to its delivery in hand. Frames are made for the purpose, a message each, and travel over a
//! real socket. Run it with `cargo bench -p atcomms-subscribe`; the store is made in the folder for temporary
//! files (`TMPDIR`).

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atcomms_devnet::Replay;
use atcomms_identity::Resolver;
use atcomms_lexicon::{Did, Message, RecordKey, Tid, encode};
use atcomms_repo::{Curve, Repository, SigningKey, Write};
use atcomms_store::{Intake, LeaseToken, Store, Terms};
use atcomms_subscribe::{From, Inbox, Source, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::runtime::Runtime;

const AUTHORS: usize = 8;
/// Messages in all.
const MESSAGES: usize = 40_000;
/// Messages that are sent alone, each after the one before was delivered.
const ALONE: usize = 2_000;

struct Writer {
    did: Did,
    document: serde_json::Value,
    repository: Repository,
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let (mut writers, frames) = written();
    runtime.block_on(async {
        store_alone().await;
        for (in_flight, acks) in [(64, 1), (64, 64), (1024, 1024)] {
            let rate = deliveries(&writers, &frames, in_flight, acks).await;
            println!(
                "durable, {in_flight:4} in flight, {acks:4} acknowledged at once: {rate:7.0}/s"
            );
        }
        let rate = subscription(&writers, &frames).await;
        println!("not durable:                                      {rate:7.0}/s");
        let (durable, plain) = latency(&mut writers).await;
        for (what, mut times) in [("durable", durable), ("not durable", plain)] {
            times.sort();
            let at = |part: f64| times[(times.len() as f64 * part) as usize];
            println!(
                "{what}: frame to delivery p50 {:.3?}, p99 {:.3?}",
                at(0.50),
                at(0.99)
            );
        }
    });
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_micros()).expect("before 586524")
}

/// The frames of many messages, an hour old, of writers in turn.
fn written() -> (Vec<Writer>, Vec<Bytes>) {
    let begun = now() - 3_600_000_000;
    let mut writers: Vec<Writer> = (0..AUTHORS)
        .map(|n| {
            let did: Did = format!(
                "did:plc:{}",
                "abcdefgh"
                    .repeat(3)
                    .replace('h', &((b'i' + n as u8) as char).to_string())
            )
            .parse()
            .expect("a DID");
            let key = SigningKey::generate(Curve::K256);
            let public = key.public().to_did_key();
            let document = serde_json::json!({
                "id": did,
                "verificationMethod": [{
                    "id": format!("{did}#atproto"), "type": "Multikey", "controller": did,
                    "publicKeyMultibase": public.strip_prefix("did:key:"),
                }],
                "service": [{
                    "id": "#atproto_pds", "type": "AtprotoPersonalDataServer",
                    "serviceEndpoint": "https://pds.example",
                }],
            });
            let rev = Tid::from_parts(begun, 0);
            let repository = Repository::create(did.clone(), key, rev).0;
            Writer {
                did,
                document,
                repository,
            }
        })
        .collect();
    let frames = (0..MESSAGES)
        .map(|n| next_frame(&mut writers[n % AUTHORS], n + 1, begun + 1 + n as u64))
        .collect();
    (writers, frames)
}

fn next_frame(writer: &mut Writer, seq: usize, micros: u64) -> Bytes {
    let text = "What a message says is some two hundred bytes long in most cases. ".repeat(3);
    let record = encode(&Message::new(&writer.did, &writer.did, text)).expect("a message");
    let write = Write::Create {
        collection: "agent.comms.message".parse().expect("an NSID"),
        rkey: format!("m{seq}").parse::<RecordKey>().expect("a key"),
        record: record.cbor.into(),
    };
    let rev = Tid::from_parts(micros, 0);
    let applied = writer.repository.apply(&[write], rev).expect("it fits");
    let seq = i64::try_from(seq).expect("some");
    applied.frame(seq, "2026-01-01T00:00:00.000Z").into()
}

async fn replay(writers: &[Writer], frames: &[Bytes]) -> Replay {
    let documents = writers
        .iter()
        .map(|writer| (writer.did.clone(), writer.document.clone()));
    let replay = Replay::builder().frames(frames.iter().cloned());
    let replay = replay.documents(documents).start().await;
    replay.expect("a replay")
}

fn subscriber(replay: &Replay) -> Subscriber {
    let plc = replay.plc_url().parse().expect("a URL");
    let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
    let source = Source::firehose(replay.ws_url()).expect("a source");
    Subscriber::new(resolver).source(source).from(From::Start)
}

async fn inbox(replay: &Replay, store: &Store, in_flight: usize) -> Inbox {
    let durable = subscriber(replay).durable(store.clone(), "bench");
    let started = durable.max_in_flight(in_flight).start().await;
    started.expect("a consumer")
}

/// Deliveries a second, with so many acknowledgements on their way at once.
async fn deliveries(writers: &[Writer], frames: &[Bytes], in_flight: usize, acks: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("store.sqlite3")).expect("a store");
    let replay = replay(writers, frames).await;
    let begun = Instant::now();
    let mut inbox = inbox(&replay, &store, in_flight).await;
    let mut under_way = FuturesUnordered::new();
    for _ in 0..frames.len() {
        let leased = inbox.next().await.expect("a store").expect("more");
        under_way.push(leased.ack());
        if under_way.len() >= acks {
            under_way.next().await.expect("some").expect("ours");
        }
    }
    while let Some(acknowledged) = under_way.next().await {
        acknowledged.expect("ours");
    }
    let rate = frames.len() as f64 / begun.elapsed().as_secs_f64();
    drop(under_way);
    inbox.shutdown().await.expect("it drains");
    rate
}

async fn subscription(writers: &[Writer], frames: &[Bytes]) -> f64 {
    let replay = replay(writers, frames).await;
    let begun = Instant::now();
    let mut subscription = subscriber(&replay).start().expect("something");
    for _ in 0..frames.len() {
        subscription.next().await.expect("more").expect("a message");
    }
    frames.len() as f64 / begun.elapsed().as_secs_f64()
}

/// The times of messages that are sent alone, to a durable consumer and to a plain subscription.
async fn latency(writers: &mut [Writer]) -> (Vec<Duration>, Vec<Duration>) {
    let replay = replay(writers, &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("store.sqlite3")).expect("a store");
    let mut inbox = inbox(&replay, &store, 64).await;
    inbox.connected().await;
    let (mut durable, mut plain) = (Vec::new(), Vec::new());
    for n in 0..ALONE {
        let frame = next_frame(&mut writers[n % AUTHORS], MESSAGES + n + 1, now());
        let sent = Instant::now();
        replay.push(frame);
        let leased = inbox.next().await.expect("a store").expect("more");
        durable.push(sent.elapsed());
        leased.ack().await.expect("ours");
    }
    inbox.shutdown().await.expect("it drains");
    let mut subscription = subscriber(&replay)
        .from(From::Live)
        .start()
        .expect("something");
    subscription.connected().await;
    for n in ALONE..2 * ALONE {
        let frame = next_frame(&mut writers[n % AUTHORS], MESSAGES + n + 1, now());
        let sent = Instant::now();
        replay.push(frame);
        subscription.next().await.expect("more").expect("a message");
        plain.push(sent.elapsed());
    }
    // The first of each writer waits for its key.
    (durable.split_off(AUTHORS), plain.split_off(AUTHORS))
}

/// The store's part alone: taken in by 512, handed out by 64, acknowledged one by one at once.
async fn store_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("store.sqlite3")).expect("a store");
    let consumer = store.consumer("bench", 1).await.expect("a consumer");
    let begun = Instant::now();
    let mut taken = 0_u64;
    while taken < MESSAGES as u64 {
        let commits = (taken..taken + 512).map(commit).collect();
        let cursors = vec![("host".to_owned(), i64::try_from(taken).expect("some"))];
        let intake = Intake { commits, cursors };
        taken += store.take_in(&consumer, intake, 1).await.expect("room");
    }
    let took = begun.elapsed().as_secs_f64();
    println!("store: {:7.0} taken in/s", taken as f64 / took);
    let terms = Terms {
        count: 64,
        max_in_flight: 64,
        ack_wait: 30_000,
        max_deliver: 5,
        strict: false,
    };
    let (begun, mut leasing, mut token) = (Instant::now(), Duration::ZERO, 0);
    loop {
        token += 1;
        let asked = Instant::now();
        let leased = store.lease(&consumer, LeaseToken(token), terms, 1000);
        let leased = leased.await.expect("a store");
        leasing += asked.elapsed();
        if leased.is_empty() {
            break;
        }
        let acks = leased
            .iter()
            .map(|event| store.ack(event.id, LeaseToken(token)));
        for acknowledged in futures::future::join_all(acks).await {
            acknowledged.expect("ours");
        }
    }
    let acking = (begun.elapsed() - leasing).as_secs_f64();
    println!(
        "store: {:7.0} handed out/s",
        taken as f64 / leasing.as_secs_f64()
    );
    println!("store: {:7.0} acknowledged/s", taken as f64 / acking);
}

fn commit(n: u64) -> atcomms_store::Commit {
    use atcomms_store::{Change, Event, RepositoryHead};
    let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().expect("a DID");
    let (rev, cid) = (
        Tid::from_parts(1_700_000_000_000_000 + n, 0),
        atcomms_lexicon::cid_for_cbor(b"\xa0"),
    );
    atcomms_store::Commit {
        whole: true,
        head: Some(RepositoryHead {
            did: did.clone(),
            rev,
            data: cid,
        }),
        events: vec![Event {
            did,
            collection: "agent.comms.message".parse().expect("an NSID"),
            rkey: format!("m{n}").parse().expect("a key"),
            change: Change::Create,
            rev,
            cid: Some(cid),
            commit: Some(cid),
            record: Some(vec![7; 300]),
            trust: Some("verified".to_owned()),
            continuity: Some("proven".to_owned()),
            undecodable: None,
            live: true,
            source: "ws://localhost:2583".to_owned(),
            seq: 1,
        }],
    }
}
