//! What a subscription does when the author's key cannot be had, or is another one since.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use atcomms_devnet::Replay;
use atcomms_identity::Resolver;
use atcomms_lexicon::{Broadcast, Did, Tid, encode};
use atcomms_repo::frame::{self, Frame, IdentityFrame};
use atcomms_repo::{Curve, Repository, SigningKey, Write};
use atcomms_subscribe::{Delivery, From, Source, Subscriber, Subscription, Trust};
use futures::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const PATIENCE: Duration = Duration::from_secs(30);

struct Author {
    did: Did,
    repository: Repository,
    commits: u64,
}

impl Author {
    fn new(key: &SigningKey) -> Self {
        let did: Did = DID.parse().expect("a DID");
        let (repository, _) = Repository::create(
            did.clone(),
            key.clone(),
            Tid::from_parts(1_700_000_000_000_000, 0),
        );
        Author {
            did,
            repository,
            commits: 0,
        }
    }

    /// The frame of the next broadcast.
    fn says(&mut self, text: &str) -> Vec<u8> {
        self.commits += 1;
        let record = encode(&Broadcast::new(&self.did, text))
            .expect("a broadcast")
            .cbor;
        let rkey = Tid::from_parts(self.commits, 0)
            .to_string()
            .parse()
            .expect("a key");
        let collection = "agent.comms.broadcast".parse().expect("an NSID");
        let write = Write::Create {
            collection,
            rkey,
            record: record.into(),
        };
        let rev = Tid::from_parts(1_700_000_000_000_000 + self.commits * 1_000_000, 0);
        let seq = i64::try_from(self.commits).expect("a few");
        self.repository
            .apply(&[write], rev)
            .expect("it fits")
            .frame(seq, "2026-01-01T00:00:00.000Z")
    }
}

fn document(key: &SigningKey) -> ResponseTemplate {
    let key = key.public().to_did_key();
    ResponseTemplate::new(200).set_body_json(json!({
        "id": DID,
        "verificationMethod": [{"id": format!("{DID}#atproto"), "type": "Multikey", "controller": DID, "publicKeyMultibase": key.strip_prefix("did:key:")}],
        "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example"}],
    }))
}

async fn answers(directory: &MockServer, answer: ResponseTemplate, times: Option<u64>) {
    let mock = Mock::given(path(format!("/{DID}"))).respond_with(answer);
    match times {
        Some(times) => mock.up_to_n_times(times).mount(directory).await,
        None => mock.mount(directory).await,
    }
}

fn watch(directory: &MockServer, replay: &Replay) -> Subscriber {
    let plc = directory.uri().parse().expect("a URL");
    let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
    Subscriber::new(resolver)
        .source(Source::firehose(replay.ws_url()).expect("a source"))
        .from(From::Start)
}

async fn plays(frames: Vec<Vec<u8>>) -> Replay {
    let frames = frames.into_iter().map(Into::into);
    Replay::builder()
        .frames(frames)
        .start()
        .await
        .expect("the replay starts")
}

async fn next(subscription: &mut Subscription) -> (String, Trust) {
    let item = timeout(PATIENCE, subscription.next())
        .await
        .expect("in time");
    let delivery: Delivery = item.expect("the stream goes on").expect("it can be read");
    let record = delivery.record.expect("a record");
    let content = record
        .get("content")
        .and_then(|content| content.get("text"));
    (
        content
            .and_then(|text| text.as_text())
            .expect("a text")
            .to_owned(),
        delivery.trust,
    )
}

#[tokio::test]
async fn a_key_that_was_rotated_is_looked_up_anew() {
    let (old, new) = (
        SigningKey::generate(Curve::K256),
        SigningKey::generate(Curve::P256),
    );
    let mut author = Author::new(&old);
    let before = author.says("before");
    author.repository.rotate_key(new.clone());
    let after = author.says("after");

    let directory = MockServer::start().await;
    answers(&directory, document(&old), Some(1)).await;
    answers(&directory, document(&new), None).await;
    let replay = plays(vec![before, after]).await;
    let mut subscription = watch(&directory, &replay).start().expect("it starts");
    assert_eq!(
        next(&mut subscription).await,
        ("before".to_owned(), Trust::Verified)
    );
    assert_eq!(
        next(&mut subscription).await,
        ("after".to_owned(), Trust::Verified)
    );
    assert!(
        subscription.summary().rejected.is_empty(),
        "a rotation is no bad signature"
    );
    assert_eq!(
        directory.received_requests().await.expect("requests").len(),
        2
    );
}

#[tokio::test]
async fn a_directory_that_is_down_is_waited_for() {
    let key = SigningKey::generate(Curve::K256);
    let mut author = Author::new(&key);
    let frames = vec![author.says("one"), author.says("two")];
    let directory = MockServer::start().await;
    answers(&directory, ResponseTemplate::new(503), Some(1)).await;
    answers(&directory, document(&key), None).await;
    let replay = plays(frames).await;
    let mut subscription = watch(&directory, &replay).start().expect("it starts");
    assert_eq!(
        next(&mut subscription).await,
        ("one".to_owned(), Trust::Verified)
    );
    assert_eq!(
        next(&mut subscription).await,
        ("two".to_owned(), Trust::Verified)
    );
    assert!(
        subscription.summary().rejected.is_empty(),
        "a resolver that is down is not a bad signature"
    );
}

#[tokio::test]
async fn without_a_key_a_relays_word_counts_only_if_it_is_asked_for() {
    let mut author = Author::new(&SigningKey::generate(Curve::K256));
    let frames = vec![author.says("hearsay")];
    let directory = MockServer::start().await;
    answers(&directory, ResponseTemplate::new(404), None).await;
    let replay = plays(frames).await;
    let mut trusting = watch(&directory, &replay)
        .trust(Trust::Relayed)
        .start()
        .expect("it starts");
    assert_eq!(
        next(&mut trusting).await,
        ("hearsay".to_owned(), Trust::Relayed)
    );

    let strict = watch(&directory, &replay)
        .idle(Duration::from_millis(300))
        .start()
        .expect("it starts");
    let mut strict = std::pin::pin!(strict);
    assert!(
        timeout(PATIENCE, strict.next())
            .await
            .expect("in time")
            .is_none()
    );
    assert_eq!(strict.summary().rejected, [("no_key", 1)].into());
}

#[tokio::test]
async fn a_relays_word_is_not_taken_against_a_signature() {
    let (key, other) = (
        SigningKey::generate(Curve::K256),
        SigningKey::generate(Curve::K256),
    );
    let mut author = Author::new(&key);
    let frames = vec![author.says("forged")];
    let directory = MockServer::start().await;
    answers(&directory, document(&other), None).await;
    let replay = plays(frames).await;
    let subscriber = watch(&directory, &replay).trust(Trust::Relayed);
    let subscription = subscriber
        .idle(Duration::from_millis(300))
        .start()
        .expect("it starts");
    let mut subscription = std::pin::pin!(subscription);
    assert!(
        timeout(PATIENCE, subscription.next())
            .await
            .expect("in time")
            .is_none()
    );
    assert_eq!(subscription.summary().rejected, [("signature", 1)].into());
}

#[tokio::test]
async fn a_commit_on_a_relays_word_hides_no_genuine_one() {
    let (key, other) = (
        SigningKey::generate(Curve::K256),
        SigningKey::generate(Curve::K256),
    );
    let mut forger = Author::new(&other);
    forger.says("earlier");
    let forged = forger.says("forged, and ahead of the truth");
    let genuine = with_seq(4, &Author::new(&key).says("genuine"));
    let changed = Frame::Identity(IdentityFrame {
        seq: 3,
        did: DID,
        handle: None,
        time: "2026-01-01T00:00:00.000Z",
    });
    let directory = MockServer::start().await;
    answers(&directory, ResponseTemplate::new(503), Some(1)).await;
    answers(&directory, document(&key), None).await;
    let replay = plays(vec![forged]).await;
    let subscriber = watch(&directory, &replay).trust(Trust::Relayed);
    let mut subscription = subscriber.start().expect("it starts");
    let (text, trust) = next(&mut subscription).await;
    assert_eq!(
        (text.as_str(), trust),
        ("forged, and ahead of the truth", Trust::Relayed)
    );
    replay.push(changed.encode());
    replay.push(genuine);
    assert_eq!(
        next(&mut subscription).await,
        ("genuine".to_owned(), Trust::Verified),
        "only what was verified makes others old"
    );
}

/// The same commit at another place of the stream.
fn with_seq(seq: i64, bytes: &[u8]) -> Vec<u8> {
    match frame::decode(bytes) {
        Ok(Frame::Commit(mut commit)) => {
            commit.seq = seq;
            Frame::Commit(commit).encode()
        }
        other => panic!("{other:?} is no commit"),
    }
}
