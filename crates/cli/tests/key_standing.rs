//! `atcomms verify --online`: what the author's directory makes of a proof that holds in itself.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::process::Output;

use atcomms_repo::portable::{KeyDocument, PortableProof};
use atcomms_repo::verify::Limits;
use atcomms_repo::{Curve, Repository, SigningKey, TidClock, VerifyingKey, Write};
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use support::{atcomms, lines, run_with_bytes, said};

const DID: &str = "did:plc:zmwaxnesqhtu6sdgylzfwfdz";
/// 2026-01-15, when everything here was signed.
const SIGNED: u64 = 1_768_435_200_000_000;

/// A proof that `key` signed, for the DID that anybody can name.
fn proof(key: &SigningKey) -> PortableProof {
    let (did, mut clock): (atcomms::lexicon::Did, _) =
        (DID.parse().expect("a DID"), TidClock::new(0));
    let (mut repository, _) = Repository::create(did.clone(), key.clone(), clock.next(SIGNED));
    let place = || {
        (
            "com.example.note".parse().expect("an NSID"),
            "hello".parse().expect("a key"),
        )
    };
    let (collection, rkey) = place();
    let write = Write::Create {
        collection,
        rkey,
        record: vec![0xa0].into(),
    };
    repository
        .apply(&[write], clock.next(SIGNED))
        .expect("it fits");
    let (collection, rkey) = place();
    let blocks = repository.record_proof(&collection, &rkey);
    let at = "2026-01-15T00:00:00.000Z".parse().expect("a moment");
    let document = KeyDocument::new(did, key.public(), at);
    let limits = Limits::default();
    PortableProof::new(&blocks, &collection, &rkey, document, SIGNED, &limits).expect("a proof")
}

fn document(key: &VerifyingKey) -> Value {
    json!({
        "id": DID,
        "verificationMethod": [{
            "id": format!("{DID}#atproto"), "type": "Multikey", "controller": DID,
            "publicKeyMultibase": key.to_multikey(),
        }],
        "service": [{
            "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example.com",
        }],
    })
}

/// A directory in which the last of these keys is the DID's, each since its day.
async fn directory(keys: &[(&VerifyingKey, &str)]) -> MockServer {
    let server = MockServer::start().await;
    let (now, _) = keys.last().expect("a key");
    let entry = |(key, since): &(&VerifyingKey, &str)| {
        json!({
            "did": DID, "nullified": false, "createdAt": format!("{since}T00:00:00.000Z"),
            "operation": {"type": "plc_operation", "verificationMethods": {"atproto": key.to_did_key()}},
        })
    };
    let log: Value = keys.iter().map(entry).collect();
    for (at, answer) in [
        (format!("/{DID}"), document(now)),
        (format!("/{DID}/log/audit"), log),
    ] {
        Mock::given(path(at))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .mount(&server)
            .await;
    }
    server
}

/// The proof, verified on stdin; with `--online` if there is a directory.
async fn verify(proof: &PortableProof, directory: Option<&MockServer>) -> Output {
    let option = directory.map(|_| "--online");
    verify_with(proof, directory, option).await
}

async fn verify_with(
    proof: &PortableProof,
    directory: Option<&MockServer>,
    option: Option<&'static str>,
) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let plc = directory.map_or("http://localhost:1".to_owned(), MockServer::uri);
    let mut command = atcomms(&folder.path().join("store.sqlite3"), &plc);
    let words: Vec<_> = ["verify", "-", "--json"]
        .into_iter()
        .chain(option)
        .collect();
    let bytes = proof.as_bytes().clone();
    let output =
        tokio::task::spawn_blocking(move || run_with_bytes(&mut command, &words, &bytes)).await;
    let output = output.expect("it ran");
    let left: Vec<_> = folder.path().read_dir().expect("a folder").collect();
    assert!(left.is_empty(), "verifying leaves nothing behind: {left:?}");
    output
}

fn keys() -> [SigningKey; 2] {
    [
        SigningKey::generate(Curve::K256),
        SigningKey::generate(Curve::P256),
    ]
}

#[tokio::test]
async fn a_key_that_was_replaced_later_still_proves() {
    let [old, new] = keys();
    let (of_old, of_new) = (old.public(), new.public());
    let directory = directory(&[(&of_old, "2025-12-01"), (&of_new, "2026-02-01")]).await;
    let output = verify(&proof(&old), Some(&directory)).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        lines(&output.stdout)[0]["online"],
        json!({"key": "past", "from": "2025-12-01T00:00:00.000Z", "until": "2026-02-01T00:00:00.000Z"})
    );
}

#[tokio::test]
async fn a_key_that_was_replaced_before_does_not() {
    let [old, new] = keys();
    let (of_old, of_new) = (old.public(), new.public());
    let directory = directory(&[(&of_old, "2025-12-01"), (&of_new, "2026-01-10")]).await;
    let output = verify(&proof(&old), Some(&directory)).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(lines(&output.stdout)[0]["online"]["key"], "past");
    let said = said(&output);
    assert!(
        said.contains("not proven") && said.contains("any more since 2026-01-10"),
        "{said}"
    );
}

#[tokio::test]
async fn a_key_that_a_forger_made_proves_nothing() {
    let [forged, real] = keys();
    let proof = proof(&forged);
    // Without the DID's operations, offline, it is the word of who made it, which is to be taken knowingly.
    let offline = verify(&proof, None).await;
    assert_eq!(offline.status.code(), Some(1), "{}", said(&offline));
    assert!(said(&offline).contains("--online"), "{}", said(&offline));
    let trusting = verify_with(&proof, None, Some("--trust-maker")).await;
    assert_eq!(trusting.status.code(), Some(0), "{}", said(&trusting));
    for (output, proven) in [(&offline, false), (&trusting, true)] {
        let told = lines(&output.stdout).remove(0);
        assert_eq!(
            (&told["proven"], &told["key_proven"]),
            (&json!(proven), &json!(false))
        );
    }
    let directory = directory(&[(&real.public(), "2025-12-01")]).await;
    let output = verify(&proof, Some(&directory)).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(lines(&output.stdout)[0]["online"]["key"], "unknown");
    assert!(said(&output).contains("not proven"), "{}", said(&output));
}
