//! Whether a key is, or was, a DID's: by the document and the directory's audit log.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use atcomms_identity::{KeyStanding, ResolveError, Resolver};
use atcomms_repo::{Curve, SigningKey, VerifyingKey};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

const ALICE: &str = "did:plc:44ybard66vv44zksje25o7dz";

fn key() -> VerifyingKey {
    SigningKey::generate(Curve::K256).public()
}

fn document(key: &VerifyingKey) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "id": ALICE,
        "verificationMethod": [{
            "id": format!("{ALICE}#atproto"), "type": "Multikey", "controller": ALICE,
            "publicKeyMultibase": key.to_multikey(),
        }],
        "service": [{
            "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example.com",
        }],
    }))
}

fn log(keys: &[&VerifyingKey]) -> ResponseTemplate {
    let entry = |(n, key): (usize, &&VerifyingKey)| {
        json!({
            "did": ALICE, "cid": "bafy", "nullified": false, "createdAt": format!("2026-01-0{}T00:00:00.000Z", n + 1),
            "operation": {"type": "plc_operation", "verificationMethods": {"atproto": key.to_did_key()}},
        })
    };
    let entries: Vec<_> = keys.iter().enumerate().map(entry).collect();
    ResponseTemplate::new(200).set_body_json(entries)
}

async fn directory(document: ResponseTemplate, log: ResponseTemplate) -> (MockServer, Resolver) {
    let server = MockServer::start().await;
    for (at, answer) in [
        (format!("/{ALICE}"), document),
        (format!("/{ALICE}/log/audit"), log),
    ] {
        Mock::given(path(at))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    let plc = server.uri().parse().unwrap();
    let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
    (server, resolver)
}

#[tokio::test]
async fn a_key_is_found_in_the_document_or_else_in_the_log() {
    let (before, now, never) = (key(), key(), key());
    let (_server, resolver) = directory(document(&now), log(&[&before, &now])).await;
    let alice = ALICE.parse().unwrap();
    let standing = async |key: &VerifyingKey| resolver.key_standing(&alice, key).await;
    assert_eq!(standing(&now).await, Ok(KeyStanding::Current));
    assert_eq!(
        standing(&before).await,
        Ok(KeyStanding::Past {
            from: "2026-01-01T00:00:00.000Z".parse().unwrap(),
            until: "2026-01-02T00:00:00.000Z".parse().unwrap(),
        })
    );
    assert_eq!(standing(&never).await, Ok(KeyStanding::Unknown));
}

#[tokio::test]
async fn the_log_tells_of_the_key_of_a_did_that_was_given_up() {
    let (before, never) = (key(), key());
    let ended = json!([
        {"operation": {"verificationMethods": {"atproto": before.to_did_key()}}, "createdAt": "2026-01-01T00:00:00.000Z"},
        {"operation": {"type": "plc_tombstone"}, "createdAt": "2026-01-02T00:00:00.000Z"},
    ]);
    let log = ResponseTemplate::new(200).set_body_json(ended);
    let (_server, resolver) = directory(ResponseTemplate::new(410), log).await;
    let alice = ALICE.parse().unwrap();
    let found = resolver.key_standing(&alice, &before).await;
    assert!(matches!(found, Ok(KeyStanding::Past { .. })), "{found:?}");
    let found = resolver.key_standing(&alice, &never).await;
    assert!(
        matches!(found, Err(ResolveError::Tombstoned { .. })),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_directory_that_does_not_answer_proves_nothing() {
    let (now, other) = (key(), key());
    let down = || ResponseTemplate::new(503);
    let alice = ALICE.parse().unwrap();
    for (document, log) in [(down(), log(&[&now])), (document(&now), down())] {
        let (_server, resolver) = directory(document, log).await;
        let found = resolver.key_standing(&alice, &other).await;
        assert!(
            found.as_ref().is_err_and(ResolveError::is_transient),
            "{found:?}"
        );
    }
    let garbled = ResponseTemplate::new(200).set_body_string("<html>");
    let (_server, resolver) = directory(document(&now), garbled).await;
    let found = resolver.key_standing(&alice, &other).await;
    assert!(
        matches!(found, Err(ResolveError::Rejected { .. })),
        "{found:?}"
    );
}
