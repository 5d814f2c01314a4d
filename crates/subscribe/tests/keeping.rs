//! Proofs to keep, made from a PDS and a directory, and what is no proof.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{SystemTime, UNIX_EPOCH};

use atcomms_devnet::Devnet;
use atcomms_identity::{ResolveError, Resolver};
use atcomms_lexicon::{AtUri, Datetime, Did, Message, Nsid, Record, RecordKey};
use atcomms_publish::{Publisher, Session};
use atcomms_repo::portable::PortableProof;
use atcomms_repo::verify::Limits;
use atcomms_repo::{Curve, SigningKey};
use atcomms_subscribe::{ProofError, prove_to_keep};
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

struct Stage {
    devnet: Devnet,
    publisher: Publisher,
    resolver: Resolver,
}

fn resolver(plc: &str) -> Resolver {
    let plc = plc.parse().unwrap();
    Resolver::builder().plc(plc).allow_loopback(true).build()
}

impl Stage {
    async fn new() -> Self {
        let devnet = Devnet::builder().account("alice").start().await.unwrap();
        let alice = devnet.accounts().remove(0);
        let session = Session::login(
            alice.pds.parse().unwrap(),
            alice.handle.as_str(),
            alice.password.into(),
        );
        let publisher = Publisher::temporary(session.await.unwrap()).unwrap();
        let resolver = resolver(devnet.plc_url());
        Self {
            devnet,
            publisher,
            resolver,
        }
    }

    fn did(&self) -> &Did {
        self.publisher.session().did()
    }

    async fn write(&self) -> AtUri {
        let message = Message::new(self.did().clone(), self.did().clone(), "hello");
        self.publisher.publish(message).await.unwrap().uri
    }

    /// What the devnet's directory says of her.
    async fn directory_says(&self, of: &str) -> Value {
        let url = format!("{}/{}{of}", self.devnet.plc_url(), self.did());
        let client = self.resolver.client();
        let answer = client.get(url.parse().unwrap()).unwrap().send().await;
        answer.unwrap().json().await.unwrap()
    }

    /// A directory that says this of her, and is asked for both.
    async fn directory(&self, document: Value, log: Value) -> MockServer {
        let server = MockServer::start().await;
        for (of, answer) in [("", document), ("/log", log)] {
            Mock::given(path(format!("/{}{of}", self.did())))
                .respond_with(ResponseTemplate::new(200).set_body_json(answer))
                .expect(1)
                .mount(&server)
                .await;
        }
        server
    }

    async fn prove(&self, with: &Resolver, uri: &AtUri) -> Result<PortableProof, ProofError> {
        let (collection, rkey) = (uri.collection().unwrap(), uri.rkey().unwrap());
        prove_to_keep(with, self.did(), &collection, &rkey).await
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_outlives_the_record_and_its_network() {
    let stage = Stage::new().await;
    let (uri, before) = (stage.write().await, Datetime::now());
    let proof = stage.prove(&stage.resolver, &uri).await.unwrap();
    assert_eq!(proof.uri(), uri);
    assert!(proof.is_key_proven(), "the DID itself vouches for its key");
    assert!(
        (before..=Datetime::now()).contains(&proof.document().resolved_at),
        "{}",
        proof.document().resolved_at
    );
    let alice = stage.devnet.accounts().remove(0);
    assert_eq!(
        proof
            .document()
            .handle
            .as_ref()
            .map(|handle| handle.as_str()),
        Some(alice.handle.as_str())
    );
    let pds = proof.document().pds.as_ref().unwrap().as_str();
    assert_eq!(pds.trim_end_matches('/'), alice.pds.trim_end_matches('/'));

    stage.publisher.delete(&uri).await.unwrap();
    let gone = stage.prove(&stage.resolver, &uri).await.unwrap_err();
    assert!(
        matches!(&gone, ProofError::Absent { uri: absent, rev } if **absent == uri && *rev > proof.head().rev()),
        "{gone:?}"
    );
    stage.devnet.shutdown().await;
    let kept = PortableProof::check(proof.as_bytes(), now(), &Limits::default()).unwrap();
    assert_eq!(kept, proof);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_there_is_not_proven() {
    let stage = Stage::new().await;
    stage.write().await;
    let collection: Nsid = Message::NSID.parse().unwrap();
    let rkey: RecordKey = "3n2xcy7j2kl2o".parse().unwrap();
    let absent = AtUri::record(stage.did(), &collection, &rkey);
    let refused = stage.prove(&stage.resolver, &absent).await.unwrap_err();
    assert!(matches!(refused, ProofError::Absent { .. }), "{refused:?}");
    let nobody: Did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
    let refused = prove_to_keep(&stage.resolver, &nobody, &collection, &rkey).await;
    assert!(
        matches!(
            refused,
            Err(ProofError::Resolve(ResolveError::NoSuchDid { .. }))
        ),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_another_key_signed_is_not_proven() {
    let stage = Stage::new().await;
    let uri = stage.write().await;
    // A directory that names another key for her, as after a rotation that her PDS has not followed yet.
    let mut document = stage.directory_says("").await;
    let other = SigningKey::generate(Curve::K256).public().to_multikey();
    document["verificationMethod"][0]["publicKeyMultibase"] = json!(other);
    let directory = stage.directory(document, json!([])).await;
    let refused = stage.prove(&resolver(&directory.uri()), &uri).await;
    assert!(
        matches!(&refused, Err(ProofError::OtherKey { .. })),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_hold_is_left_out_of_the_proof() {
    let stage = Stage::new().await;
    let uri = stage.write().await;
    let (document, log) = (
        stage.directory_says("").await,
        stage.directory_says("/log").await,
    );
    let mut forged = log.clone();
    forged[0]["alsoKnownAs"][0] = json!("at://mallory.test");
    for (log, holds) in [
        (log, true),
        (forged, false),
        (json!([]), false),
        (json!([{"half": 0.5}]), false),
        (json!({"message": "no"}), false),
    ] {
        let directory = stage.directory(document.clone(), log.clone()).await;
        let proof = stage.prove(&resolver(&directory.uri()), &uri).await;
        let proof = proof.unwrap();
        assert_eq!(proof.is_key_proven(), holds, "{log}");
        let kept = PortableProof::check(proof.as_bytes(), now(), &Limits::default());
        assert_eq!(kept.unwrap(), proof, "{log}");
    }
}
