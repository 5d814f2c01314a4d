//! What the outbox costs and what it gains, beside plain requests to the same PDS in the same run:
//! `cargo bench -p atcomms-publish`. With ATCOMMS_REFERENCE_PDS set, on the reference PDS too.
//!
//! - many: 10,000 small messages through the outbox, to their receipts, beside a loop of createRecord
//! - lone: one message at a time through the outbox, on a file, beside one putRecord at a time
//! - accepted: 64 callers that enqueue, each record durable, while the PDS takes none

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark fails by panicking"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atcomms_devnet::Devnet;
use atcomms_identity::tls;
use atcomms_lexicon::{Did, Message, Tid};
use atcomms_publish::{ExposeSecret, Publisher, Session, Store};
use atcomms_reference_pds::{Options, ReferencePds};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::json;
use tempfile::TempDir;
use url::Url;

/// Messages of the run through the outbox.
const MANY: usize = 10_000;
/// Requests of the plain loop: enough for a rate, on a PDS that commits a hundred a second.
const PLAIN: usize = 500;
/// Messages of the comparison of lone ones.
const LONE: u16 = 300;
/// Messages of the run that only accepts.
const ACCEPTED: usize = 40_000;
/// Callers at once.
const CALLERS: usize = 64;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let devnet = Devnet::builder().account("bench").start().await.unwrap();
        let account = devnet.accounts().remove(0);
        let session = Session::login(
            account.pds.parse().unwrap(),
            account.handle.as_str(),
            account.password.into(),
        );
        measure("devnet", session.await.unwrap()).await;
        if std::env::var_os("ATCOMMS_REFERENCE_PDS").is_none() {
            println!("reference PDS: not measured, ATCOMMS_REFERENCE_PDS is not set");
            return;
        }
        let pds = ReferencePds::start(Options::default()).await.unwrap();
        let account = pds.create_account("bench").await.unwrap();
        let session = Session::login(
            pds.url().clone(),
            &account.handle,
            account.password.clone().into(),
        );
        measure("reference PDS", session.await.unwrap()).await;
    });
}

async fn measure(name: &str, session: Session) {
    let folder = tempfile::tempdir().unwrap();
    let plain = plain(&session).await;
    let many = many(&session, &folder).await;
    println!(
        "{name}: many: createRecord in a loop {plain:.0} records/s, outbox {many:.0} records/s, {:.1} times",
        many / plain
    );
    let (alone, through) = lone(&session, &folder).await;
    println!(
        "{name}: lone: putRecord {:.2} ms, outbox {:.2} ms, {:+.2} ms (medians of {LONE})",
        alone.as_secs_f64() * 1e3,
        through.as_secs_f64() * 1e3,
        (through.as_secs_f64() - alone.as_secs_f64()) * 1e3
    );
    if name == "devnet" {
        let accepted = accepted(&session, &folder).await;
        println!("accepted: {accepted:.0} records/s with {CALLERS} callers, each durable");
    }
}

fn message(session: &Session, text: &str) -> Message {
    let bob: Did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
    Message::new(session.did().clone(), bob, text)
}

fn publisher(session: &Session, folder: &TempDir, name: &str) -> Publisher {
    let store = Store::open(folder.path().join(name)).unwrap();
    Publisher::new(session.clone(), store)
}

/// A client as one writes it in an afternoon.
struct Plain {
    client: reqwest::Client,
    pds: Url,
    did: String,
    token: String,
}

impl Plain {
    fn new(session: &Session) -> Self {
        Self {
            client: reqwest::Client::builder()
                .use_preconfigured_tls((*tls::client_config()).clone())
                .tls_built_in_root_certs(false)
                .build()
                .unwrap(),
            pds: session.pds().clone(),
            did: session.did().to_string(),
            token: session.saved().access.expose_secret().to_owned(),
        }
    }

    async fn write(&self, method: &str, mut body: serde_json::Value) {
        body["repo"] = self.did.clone().into();
        body["collection"] = "agent.comms.message".into();
        let url = self.pds.join(&format!("/xrpc/{method}")).unwrap();
        let request = self.client.post(url).bearer_auth(&self.token).json(&body);
        let response = request.send().await.unwrap().error_for_status().unwrap();
        response.bytes().await.unwrap();
    }
}

async fn plain(session: &Session) -> f64 {
    let plain = Plain::new(session);
    let record = serde_json::to_value(message(session, "a small message")).unwrap();
    let start = Instant::now();
    for _ in 0..PLAIN {
        plain
            .write("com.atproto.repo.createRecord", json!({"record": record}))
            .await;
    }
    PLAIN as f64 / start.elapsed().as_secs_f64()
}

async fn many(session: &Session, folder: &TempDir) -> f64 {
    let publisher = publisher(session, folder, "many.sqlite3");
    let start = Instant::now();
    let mut receipts: FuturesUnordered<_> = (0..MANY)
        .map(|n| {
            publisher
                .publish(message(session, &format!("a small message, number {n}")))
                .into_future()
        })
        .collect();
    let mut written = 0;
    while let Some(receipt) = receipts.next().await {
        receipt.unwrap();
        written += 1;
    }
    assert_eq!(written, MANY);
    MANY as f64 / start.elapsed().as_secs_f64()
}

async fn lone(session: &Session, folder: &TempDir) -> (Duration, Duration) {
    let plain = Plain::new(session);
    let publisher = publisher(session, folder, "lone.sqlite3");
    let record = serde_json::to_value(message(session, "a small message")).unwrap();
    let (mut alone, mut through) = (Vec::new(), Vec::new());
    for n in 0..LONE {
        // A key as the outbox gives it: the place in the tree has its price, too.
        let rkey = Tid::from_parts(micros(), n).to_string();
        let start = Instant::now();
        let body = json!({"rkey": rkey, "record": record, "swapRecord": null});
        plain.write("com.atproto.repo.putRecord", body).await;
        alone.push(start.elapsed());
        let start = Instant::now();
        publisher
            .publish(message(session, "a small message"))
            .await
            .unwrap();
        through.push(start.elapsed());
    }
    (median(alone), median(through))
}

async fn accepted(session: &Session, folder: &TempDir) -> f64 {
    let publisher = publisher(session, folder, "accepted.sqlite3");
    // Only accepting is measured.
    publisher.shutdown().await;
    let start = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let (publisher, session) = (publisher.clone(), session.clone());
        tokio::spawn(async move {
            for n in 0..ACCEPTED / CALLERS {
                let text = format!("message {n} of caller {caller}");
                let publish = publisher.publish(message(&session, &text));
                publish.enqueue().await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    ACCEPTED as f64 / start.elapsed().as_secs_f64()
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
