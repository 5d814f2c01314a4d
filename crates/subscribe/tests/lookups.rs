//! Look-ups that take their time hold up nobody that the subscriber named, nor those of another method.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use atcomms_devnet::Replay;
use atcomms_identity::Resolver;
use atcomms_lexicon::{Broadcast, Did, Tid, derived_key_for_name, encode};
use atcomms_repo::{Curve, Repository, SigningKey, Write};
use atcomms_subscribe::{Admission, From, Source, Subscriber};
use futures::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// How long the directory takes for strangers; nothing waits for it.
const SLOW: Duration = Duration::from_secs(120);
/// A contact's message is there before the first of them: sooner than any look-up is given up.
const SOON: Duration = Duration::from_secs(4);

/// Somebody's first broadcast.
fn says(name: &str, seq: i64) -> (Did, SigningKey, Vec<u8>) {
    let hash = derived_key_for_name(name);
    let did: Did = format!("did:plc:{}", &hash.as_str()[..24])
        .parse()
        .expect("a DID");
    let key = SigningKey::generate(Curve::K256);
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    let now = u64::try_from(since.as_micros()).expect("a time");
    let rev = Tid::from_parts(now - 2_000_000, 0);
    let (mut repository, _) = Repository::create(did.clone(), key.clone(), rev);
    let write = Write::Create {
        collection: "agent.comms.broadcast".parse().expect("an NSID"),
        rkey: "3jzfcijpj2z2a".parse().expect("a key"),
        record: encode(&Broadcast::new(&did, name))
            .expect("a broadcast")
            .cbor
            .into(),
    };
    let commit = repository.apply(&[write], Tid::from_parts(now - 1_000_000, 0));
    let frame = commit
        .expect("it fits")
        .frame(seq, "2026-01-01T00:00:00.000Z");
    (did, key, frame)
}

#[tokio::test]
async fn a_contact_does_not_wait_behind_strangers() {
    let (contact, key, last) = says("contact", 1000);
    let mut frames: Vec<Vec<u8>> = (1..=100)
        .map(|n| says(&format!("stranger {n}"), n).2)
        .collect();
    frames.push(last);
    let directory = MockServer::start().await;
    let key = key.public().to_did_key();
    let document = json!({
        "id": contact,
        "verificationMethod": [{"id": format!("{contact}#atproto"), "type": "Multikey", "controller": contact, "publicKeyMultibase": key.strip_prefix("did:key:")}],
        "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example"}],
    });
    Mock::given(path(format!("/{contact}")))
        .respond_with(ResponseTemplate::new(200).set_body_json(document))
        .with_priority(1)
        .mount(&directory)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(404).set_delay(SLOW))
        .mount(&directory)
        .await;
    let replay = Replay::builder().frames(frames.into_iter().map(Into::into));
    let replay = replay.start().await.expect("the replay starts");
    let plc = directory.uri().parse().expect("a URL");
    let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
    let mut subscription = Subscriber::new(resolver)
        .source(Source::firehose(replay.ws_url()).expect("a source"))
        .from(From::Start)
        .admission(Admission::new().contacts([contact.clone()]))
        .start()
        .expect("something to watch");
    let first = timeout(SOON, subscription.next()).await;
    let first = first
        .expect("it waits for no stranger")
        .expect("it goes on");
    assert_eq!(first.expect("it can be read").author, contact);
    let asked = directory.received_requests().await.expect("requests").len();
    assert!(asked > 1, "strangers are looked up, too");
}
