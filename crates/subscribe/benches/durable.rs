//! Durable deliveries a second (stored, handed out, acknowledged), and what being durable adds to the time
//! from a frame to its delivery in hand. Frames are made for the purpose, a message each, and travel over a
//! real socket. A signature costs more than a delivery: what the durable path allows by itself is measured
//! with commits of ten messages each, out of a recorded file, every commit verified in full as always. Run it
//! with `cargo bench -p atcomms-subscribe`; the store is made in the folder for temporary
//! files (`TMPDIR`).

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atcomms_devnet::Replay;
use atcomms_identity::Resolver;
use atcomms_lexicon::{Did, Message, RecordKey, Tid, encode};
use atcomms_repo::{Curve, Repository, SigningKey, Write};
use atcomms_store::{Intake, LeaseToken, Store, Terms};
use atcomms_subscribe::{From, Inbox, Recording, Source, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::runtime::Runtime;

/// So many that none has more commits in a file than may wait for a key.
const AUTHORS: usize = 64;
/// Messages in all.
const MESSAGES: usize = 40_000;
/// Messages of one commit where it is the durable path that is measured.
const TOGETHER: usize = 10;
/// Messages that are sent alone, each after the one before was delivered.
const ALONE: usize = 2_000;

struct Writer {
    did: Did,
    document: serde_json::Value,
    repository: Repository,
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let (mut writers, frames) = written(1);
    let (many_writers, many_frames) = written(TOGETHER);
    let folder = tempfile::tempdir().expect("a folder");
    runtime.block_on(async {
        store_alone().await;
        let file = folder.path().join("recording");
        record(&file, &many_frames).await;
        let documents = replay(&many_writers, &[]).await;
        let of_file = subscriber(&documents, Source::file(&file), &many_writers).await;
        for (in_flight, acks) in [(64, 64), (1024, 1024)] {
            let rate = deliveries(of_file.clone(), in_flight, acks).await;
            println!(
                "{TOGETHER} a commit, from a file: durable, {in_flight:4} in flight, {acks:4} acknowledged at once: {rate:7.0}/s"
            );
        }
        let rate = subscription(of_file).await;
        println!("{TOGETHER} a commit, from a file: not durable: {rate:7.0}/s");
        for (in_flight, acks) in [(64, 1), (64, 64), (1024, 1024)] {
            let replay = replay(&writers, &frames).await;
            let rate = deliveries(of_socket(&replay, &writers).await, in_flight, acks).await;
            println!(
                "durable, {in_flight:4} in flight, {acks:4} acknowledged at once: {rate:7.0}/s"
            );
        }
        let replay = replay(&writers, &frames).await;
        let rate = subscription(of_socket(&replay, &writers).await).await;
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

/// The frames of many messages, an hour old, of writers in turn, each commit with so many of them.
fn written(together: usize) -> (Vec<Writer>, Vec<Bytes>) {
    let begun = now() - 3_600_000_000;
    let mut writers: Vec<Writer> = (0..AUTHORS)
        .map(|n| {
            let letter = |n: usize| char::from(b'a' + u8::try_from(n).expect("few"));
            let did = format!("did:plc:{:a<22}{}{}", "bench", letter(n / 8), letter(n % 8));
            let did: Did = did.parse().expect("a DID");
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
    let frames = (0..MESSAGES / together)
        .map(|n| {
            frame_of(
                &mut writers[n % AUTHORS],
                n + 1,
                begun + 1 + n as u64,
                together,
            )
        })
        .collect();
    (writers, frames)
}

fn next_frame(writer: &mut Writer, seq: usize, micros: u64) -> Bytes {
    frame_of(writer, seq, micros, 1)
}

fn frame_of(writer: &mut Writer, seq: usize, micros: u64, messages: usize) -> Bytes {
    let text = "What a message says is some two hundred bytes long in most cases. ".repeat(3);
    let record = encode(&Message::new(&writer.did, &writer.did, text)).expect("a message");
    let writes: Vec<_> = (0..messages)
        .map(|n| Write::Create {
            collection: "agent.comms.message".parse().expect("an NSID"),
            rkey: format!("m{seq}-{n}").parse::<RecordKey>().expect("a key"),
            record: record.cbor.clone().into(),
        })
        .collect();
    let rev = Tid::from_parts(micros, 0);
    let applied = writer.repository.apply(&writes, rev).expect("it fits");
    let seq = i64::try_from(seq).expect("some");
    applied.frame(seq, "2026-01-01T00:00:00.000Z").into()
}

async fn record(file: &Path, frames: &[Bytes]) {
    let mut recording = Recording::create(file).await.expect("a file");
    for frame in frames {
        recording.write(frame).await.expect("room");
    }
    recording.finish().await.expect("room");
}

async fn replay(writers: &[Writer], frames: &[Bytes]) -> Replay {
    let documents = writers
        .iter()
        .map(|writer| (writer.did.clone(), writer.document.clone()));
    let replay = Replay::builder().frames(frames.iter().cloned());
    let replay = replay.documents(documents).start().await;
    replay.expect("a replay")
}

/// A subscriber whose resolver knows these writers: frames of strangers that come faster than the first
/// answers are lost.
async fn subscriber(documents: &Replay, source: Source, known: &[Writer]) -> Subscriber {
    let plc = documents.plc_url().parse().expect("a URL");
    let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
    for writer in known {
        resolver.resolve_did(&writer.did).await.expect("a document");
    }
    Subscriber::new(resolver).source(source).from(From::Start)
}

async fn of_socket(replay: &Replay, known: &[Writer]) -> Subscriber {
    let source = Source::firehose(replay.ws_url()).expect("a source");
    subscriber(replay, source, known).await
}

async fn inbox(subscriber: Subscriber, store: &Store, in_flight: usize) -> Inbox {
    let durable = subscriber.durable(store.clone(), "bench");
    let started = durable.max_in_flight(in_flight).start().await;
    started.expect("a consumer")
}

/// Deliveries a second, with so many acknowledgements on their way at once.
async fn deliveries(subscriber: Subscriber, in_flight: usize, acks: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("store.sqlite3")).expect("a store");
    let begun = Instant::now();
    let mut inbox = inbox(subscriber, &store, in_flight).await;
    let mut under_way = FuturesUnordered::new();
    for _ in 0..MESSAGES {
        let leased = inbox.next().await.expect("a store");
        let leased = leased.unwrap_or_else(|| panic!("no more: {:?}", inbox.summary()));
        under_way.push(leased.ack());
        if under_way.len() >= acks {
            under_way.next().await.expect("some").expect("ours");
        }
    }
    while let Some(acknowledged) = under_way.next().await {
        acknowledged.expect("ours");
    }
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
    drop(under_way);
    inbox.shutdown().await.expect("it drains");
    rate
}

async fn subscription(subscriber: Subscriber) -> f64 {
    let begun = Instant::now();
    let mut subscription = subscriber.start().expect("something");
    for _ in 0..MESSAGES {
        subscription.next().await.expect("more").expect("a message");
    }
    MESSAGES as f64 / begun.elapsed().as_secs_f64()
}

/// The times of messages that are sent alone, to a durable consumer and to a plain subscription.
async fn latency(writers: &mut [Writer]) -> (Vec<Duration>, Vec<Duration>) {
    let replay = replay(writers, &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("store.sqlite3")).expect("a store");
    let mut inbox = inbox(of_socket(&replay, writers).await, &store, 64).await;
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
    let mut subscription = of_socket(&replay, writers)
        .await
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
        let intake = Intake {
            commits,
            cursors,
            ..Intake::default()
        };
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
        ..atcomms_store::Commit::default()
    }
}
