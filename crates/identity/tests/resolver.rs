//! The resolver, seen from outside, against a scripted directory and scripted hosts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use atcomms_identity::{DocumentProblem, Refused, ResolveError, Resolver};
use atcomms_lexicon::{Did, Handle};
use atcomms_repo::{Curve, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use wiremock::matchers::{path, query_param};
use wiremock::{Mock, MockGuard, MockServer, ResponseTemplate};

const ALICE: &str = "did:plc:44ybard66vv44zksje25o7dz";
const BOB: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

/// A directory that is also the handle server.
struct Network {
    server: MockServer,
    resolver: Resolver,
}

impl Network {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let url: reqwest::Url = server.uri().parse().unwrap();
        let resolver = Resolver::builder()
            .plc(url.clone())
            .handle_server(url)
            .allow_loopback(true)
            .build();
        Self { server, resolver }
    }

    /// Has the directory answer for a DID, until the guard is dropped.
    async fn answers(&self, did: &str, response: ResponseTemplate) -> MockGuard {
        Mock::given(path(format!("/{did}")))
            .respond_with(response)
            .mount_as_scoped(&self.server)
            .await
    }

    async fn document(&self, did: &str, document: &Value) -> MockGuard {
        self.answers(did, ResponseTemplate::new(200).set_body_json(document))
            .await
    }

    async fn handle(&self, handle: &str, did: &str) {
        Mock::given(path("/xrpc/com.atproto.identity.resolveHandle"))
            .and(query_param("handle", handle))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "did": did })))
            .mount(&self.server)
            .await;
    }

    async fn requests(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }
}

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

fn key() -> VerifyingKey {
    SigningKey::generate(Curve::K256).public()
}

fn document(did: &str, handle: &str, key: &VerifyingKey) -> Value {
    json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": did,
        "alsoKnownAs": [format!("at://{handle}")],
        "verificationMethod": [{
            "id": format!("{did}#atproto"),
            "type": "Multikey",
            "controller": did,
            "publicKeyMultibase": key.to_multikey(),
        }],
        "service": [{
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": "https://pds.example.com",
        }],
    })
}

#[tokio::test]
async fn a_did_leads_to_its_key_and_pds() {
    for curve in [Curve::K256, Curve::P256] {
        let network = Network::new().await;
        let key = SigningKey::generate(curve).public();
        let _mock = network
            .document(ALICE, &document(ALICE, "alice.test", &key))
            .await;
        let identity = network.resolver.resolve_did(&did(ALICE)).await.unwrap();
        assert_eq!(identity.did, did(ALICE));
        assert_eq!(identity.key, key);
        assert_eq!(identity.pds.as_str(), "https://pds.example.com/");
        assert_eq!(identity.claimed_handle.unwrap(), "alice.test");
        assert_eq!(
            identity.handle, None,
            "nobody was asked whether the handle is theirs"
        );
        assert_eq!(network.requests().await, 1);
    }
}

#[tokio::test]
async fn keys_in_the_legacy_forms_are_read() {
    // From the protocol's own examples: a point compressed (interop files) and uncompressed (the
    // DID specification), each without the prefix that says its curve.
    let forms = [
        (
            "EcdsaSecp256k1VerificationKey2019",
            "z25z9DTpsiYYJKGsWmSPJK2NFN8PcJtZig12K59UgW7q5t",
            "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc",
        ),
        (
            "EcdsaSecp256k1VerificationKey2019",
            "zQYEBzXeuTM9UR3rfvNag6L3RNAs5pQZyYPsomTsgQhsxLdEgCrPTLgFna8yqCnxPpNT7DBk6Ym3dgPKNu86vt9GR",
            "did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF",
        ),
        (
            "EcdsaSecp256r1VerificationKey2019",
            "zxdM8dSstjrpZaRUwBmDvjGXweKuEMVN95A9oJBFjkWMh",
            "did:key:zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo",
        ),
    ];
    for (kind, multibase, did_key) in forms {
        let network = Network::new().await;
        let mut document = document(ALICE, "alice.test", &key());
        document["verificationMethod"][0]["type"] = json!(kind);
        document["verificationMethod"][0]["publicKeyMultibase"] = json!(multibase);
        document["verificationMethod"][0]["id"] = json!("#atproto");
        let _mock = network.document(ALICE, &document).await;
        let identity = network.resolver.resolve_did(&did(ALICE)).await.unwrap();
        assert_eq!(identity.key.to_did_key(), did_key);
    }
}

#[tokio::test]
async fn what_else_a_document_holds_is_passed_over() {
    let network = Network::new().await;
    let key = key();
    let mut document = document(ALICE, "alice.test", &key);
    document["alsoKnownAs"] = json!([
        7,
        "https://alice.example",
        "at://not a handle",
        "at://Alice.TEST"
    ]);
    let methods = document["verificationMethod"].as_array_mut().unwrap();
    methods.insert(0, json!("did:key:z"));
    methods.insert(
        1,
        json!({ "id": format!("{ALICE}#atproto_label"), "type": "Multikey" }),
    );
    methods.insert(
        2,
        json!({ "id": format!("{BOB}#atproto"), "type": "Multikey" }),
    );
    methods.insert(
        3,
        json!({ "id": "#atproto", "controller": BOB, "type": "Multikey" }),
    );
    let services = document["service"].as_array_mut().unwrap();
    services.insert(
        0,
        json!({ "id": "#atproto_labeler", "type": "AtprotoLabeler" }),
    );
    services.insert(
        1,
        json!({ "id": "#atproto_pds", "type": "Other", "serviceEndpoint": "x" }),
    );
    let _mock = network.document(ALICE, &document).await;
    let identity = network.resolver.resolve_did(&did(ALICE)).await.unwrap();
    assert_eq!(identity.key, key);
    assert_eq!(identity.claimed_handle.unwrap(), "alice.test");
}

#[tokio::test]
async fn unusable_documents_are_final_and_say_why() {
    type Spoil = fn(&mut Value);
    type Expected = fn(&DocumentProblem) -> bool;
    let spoilt: [(&str, Spoil, Expected); 13] = [
        (
            "another's",
            |d| d["id"] = json!(BOB),
            |p| matches!(p, DocumentProblem::WrongId(_)),
        ),
        (
            "no id",
            |d| d["id"] = Value::Null,
            |p| matches!(p, DocumentProblem::Malformed(_)),
        ),
        (
            "a list",
            |d| *d = json!([1]),
            |p| matches!(p, DocumentProblem::Malformed(_)),
        ),
        (
            "no keys",
            |d| d["verificationMethod"] = json!([]),
            |p| *p == DocumentProblem::NoKey,
        ),
        (
            "another key",
            |d| d["verificationMethod"][0]["id"] = json!("#other"),
            |p| *p == DocumentProblem::NoKey,
        ),
        (
            "another's key",
            |d| d["verificationMethod"][0]["controller"] = json!(BOB),
            |p| *p == DocumentProblem::NoKey,
        ),
        (
            "garbage for a key",
            |d| d["verificationMethod"][0]["publicKeyMultibase"] = json!("zzz"),
            |p| matches!(p, DocumentProblem::BadKey(_)),
        ),
        (
            "a key of unknown type",
            |d| d["verificationMethod"][0]["type"] = json!("Ed25519VerificationKey2020"),
            |p| matches!(p, DocumentProblem::BadKey(_)),
        ),
        (
            "no service",
            |d| d["service"] = json!([]),
            |p| *p == DocumentProblem::NoPds,
        ),
        (
            "an endpoint that is an object",
            |d| d["service"][0]["serviceEndpoint"] = json!({ "uri": "https://pds.example.com" }),
            |p| matches!(p, DocumentProblem::BadPds(_)),
        ),
        (
            "an endpoint with a path",
            |d| d["service"][0]["serviceEndpoint"] = json!("https://pds.example.com/xrpc"),
            |p| matches!(p, DocumentProblem::BadPds(_)),
        ),
        (
            "an endpoint with a password",
            |d| d["service"][0]["serviceEndpoint"] = json!("https://a:b@pds.example.com"),
            |p| matches!(p, DocumentProblem::BadPds(_)),
        ),
        (
            "an endpoint of another kind",
            |d| d["service"][0]["serviceEndpoint"] = json!("file:///etc/passwd"),
            |p| matches!(p, DocumentProblem::BadPds(_)),
        ),
    ];
    for (name, spoil, expected) in spoilt {
        let network = Network::new().await;
        let mut document = document(ALICE, "alice.test", &key());
        spoil(&mut document);
        let _mock = network.document(ALICE, &document).await;
        let error = network.resolver.resolve_did(&did(ALICE)).await.unwrap_err();
        let ResolveError::Document { problem, .. } = &error else {
            panic!("{name}: {error:?}")
        };
        assert!(expected(problem), "{name}: {problem:?}");
        assert!(!error.is_transient(), "{name}");
        assert!(error.to_string().contains(ALICE), "{name}: {error}");
    }
}

#[tokio::test]
async fn statuses_are_transient_or_final() {
    for (status, transient) in [
        (404, false),
        (410, false),
        (400, false),
        (403, false),
        (408, true),
        (429, true),
        (500, true),
        (502, true),
        (503, true),
    ] {
        let network = Network::new().await;
        let _mock = network.answers(ALICE, ResponseTemplate::new(status)).await;
        let error = network.resolver.resolve_did(&did(ALICE)).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{status}: {error}");
        match status {
            404 => assert!(matches!(error, ResolveError::NoSuchDid { .. }), "{error:?}"),
            410 => assert!(
                matches!(error, ResolveError::Tombstoned { .. }),
                "{error:?}"
            ),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_transient() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(closed);
    let resolver = Resolver::builder().plc(url).allow_loopback(true).build();
    let error = resolver.resolve_did(&did(ALICE)).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused() {
    let network = Network::new().await;
    let mut document = document(ALICE, "alice.test", &key());
    document["padding"] = json!("x".repeat(64 * 1024));
    let _mock = network.document(ALICE, &document).await;
    let error = network.resolver.resolve_did(&did(ALICE)).await.unwrap_err();
    assert!(matches!(error, ResolveError::Rejected { .. }), "{error:?}");
}

#[tokio::test]
async fn a_directory_that_redirects_into_private_space_is_refused() {
    let network = Network::new().await;
    let redirect = ResponseTemplate::new(302).insert_header("location", "https://10.0.0.1/");
    let _mock = network.answers(ALICE, redirect).await;
    let error = network.resolver.resolve_did(&did(ALICE)).await.unwrap_err();
    assert!(
        matches!(
            error,
            ResolveError::Refused {
                why: Refused::NotPublic { .. },
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_did_web_is_asked_of_its_host() {
    let server = MockServer::start().await;
    let alice = format!("did:web:localhost%3A{}", server.address().port());
    let key = key();
    Mock::given(path("/.well-known/did.json"))
        .respond_with(ResponseTemplate::new(200).set_body_json(document(
            &alice,
            "alice.test",
            &key,
        )))
        .mount(&server)
        .await;
    let resolver = Resolver::builder().allow_loopback(true).build();
    assert_eq!(resolver.resolve_did(&did(&alice)).await.unwrap().key, key);

    let public = Resolver::builder().build();
    let error = public.resolve_did(&did(&alice)).await.unwrap_err();
    assert!(
        matches!(
            error,
            ResolveError::Refused {
                why: Refused::Loopback { .. },
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_handle_is_checked_in_both_directions() {
    let network = Network::new().await;
    let _alice = network
        .document(ALICE, &document(ALICE, "alice.test", &key()))
        .await;
    network.handle("alice.test", ALICE).await;
    network.handle("thief.test", ALICE).await;

    let by_handle = network
        .resolver
        .resolve(&"Alice.TEST".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(by_handle.did, did(ALICE));
    assert_eq!(by_handle.handle.as_ref().unwrap(), "alice.test");
    let by_did = network
        .resolver
        .resolve(&ALICE.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(by_did, by_handle);

    let thief: Handle = "thief.test".parse().unwrap();
    assert_eq!(
        network.resolver.resolve_handle(&thief).await.unwrap(),
        did(ALICE)
    );
    let error = network.resolver.resolve(&thief.into()).await.unwrap_err();
    assert!(
        matches!(error, ResolveError::HandleMismatch { .. }),
        "{error:?}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_claimed_handle_of_somebody_else_is_left_out() {
    let network = Network::new().await;
    let _bob = network
        .document(BOB, &document(BOB, "alice.test", &key()))
        .await;
    network.handle("alice.test", ALICE).await;
    let bob = network
        .resolver
        .resolve(&BOB.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(bob.handle, None);
    assert_eq!(bob.claimed_handle.unwrap(), "alice.test");
}

#[tokio::test]
async fn a_handle_that_changed_after_it_was_cached_is_found_again() {
    let network = Network::new().await;
    let key = key();
    let before = network
        .document(ALICE, &document(ALICE, "old.test", &key))
        .await;
    network.resolver.resolve_did(&did(ALICE)).await.unwrap();
    drop(before);
    let _after = network
        .document(ALICE, &document(ALICE, "new.test", &key))
        .await;
    network.handle("new.test", ALICE).await;
    let alice = network
        .resolver
        .resolve(&"new.test".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(alice.handle.unwrap(), "new.test");
}

#[tokio::test]
async fn an_answer_is_kept_and_shared() {
    let network = Network::new().await;
    let slow = ResponseTemplate::new(200)
        .set_body_json(document(ALICE, "alice.test", &key()))
        .set_delay(Duration::from_millis(100));
    let _mock = network.answers(ALICE, slow).await;
    let alice = did(ALICE);
    let answers = futures::future::join_all((0..100).map(|_| network.resolver.resolve_did(&alice)));
    assert!(answers.await.iter().all(Result::is_ok));
    network.resolver.clone().resolve_did(&alice).await.unwrap();
    assert_eq!(network.requests().await, 1);
}

#[tokio::test]
async fn a_new_key_is_found_by_refresh_and_after_forget() {
    let network = Network::new().await;
    let alice = did(ALICE);
    let keys = [key(), key(), key()];
    let first = network
        .document(ALICE, &document(ALICE, "alice.test", &keys[0]))
        .await;
    assert_eq!(
        network.resolver.resolve_did(&alice).await.unwrap().key,
        keys[0]
    );

    drop(first);
    let second = network
        .document(ALICE, &document(ALICE, "alice.test", &keys[1]))
        .await;
    assert_eq!(
        network.resolver.resolve_did(&alice).await.unwrap().key,
        keys[0],
        "kept"
    );
    assert_eq!(network.resolver.refresh(&alice).await.unwrap().key, keys[1]);
    assert_eq!(
        network.resolver.resolve_did(&alice).await.unwrap().key,
        keys[1]
    );

    drop(second);
    let _third = network
        .document(ALICE, &document(ALICE, "alice.test", &keys[2]))
        .await;
    network.resolver.forget(&alice).await;
    assert_eq!(
        network.resolver.resolve_did(&alice).await.unwrap().key,
        keys[2]
    );
}

#[tokio::test]
async fn a_flood_of_refreshes_does_not_reach_the_directory() {
    let network = Network::new().await;
    let _mock = network
        .document(ALICE, &document(ALICE, "alice.test", &key()))
        .await;
    let alice = did(ALICE);
    for _ in 0..200 {
        assert!(network.resolver.refresh(&alice).await.is_ok());
    }
    let requests = network.requests().await;
    // One to learn of it, three past the cache, and one more for every ten seconds that this took.
    assert!(
        (2..=5).contains(&requests),
        "{requests} requests for 200 refreshes"
    );
}

#[tokio::test]
async fn a_directory_that_goes_down_proves_nothing_against_the_key() {
    let network = Network::new().await;
    let up = network
        .document(ALICE, &document(ALICE, "alice.test", &key()))
        .await;
    let alice = did(ALICE);
    let known = network.resolver.resolve_did(&alice).await.unwrap();
    drop(up);
    let _down = network.answers(ALICE, ResponseTemplate::new(503)).await;
    assert!(
        network
            .resolver
            .refresh(&alice)
            .await
            .unwrap_err()
            .is_transient()
    );
    assert_eq!(network.resolver.resolve_did(&alice).await.unwrap(), known);
}
