//! Logging in, and what stands against it.

use std::sync::Arc;

use atcomms_publish::{ErrorKind, LoginError, Session};
use serde_json::{Value as Json, json};

use crate::pds::{
    ALICE, BOB, CREATE_SESSION, PASSWORD, Pds, TestStore, assert_no_secrets, error, ok, shown,
    tokens_for,
};

#[tokio::test]
async fn a_login_gives_a_session_and_saves_it() {
    let pds = Pds::start().await;
    let store = Arc::new(TestStore::default());
    let builder = Session::builder().store(store.clone());
    let session = builder
        .login(pds.url(), "alice.test", PASSWORD.into())
        .await
        .unwrap();
    assert_eq!(
        (session.did().as_str(), session.handle().as_str()),
        (ALICE, "alice.test")
    );
    assert_eq!(*session.pds(), pds.url());
    assert_eq!(
        store.saved.lock().unwrap().as_ref().unwrap().did,
        *session.did()
    );
    let body: Json = pds.requests(CREATE_SESSION).await[0].body_json().unwrap();
    assert_eq!(
        body,
        json!({"identifier": "alice.test", "password": PASSWORD})
    );
    assert_no_secrets(&format!("{session:?} {store:?}"));

    let opened = Session::builder().store(store).open().await.unwrap();
    assert_eq!(
        opened.did(),
        session.did(),
        "and what was saved is opened again"
    );
    let nobody = Session::builder()
        .store(TestStore::default())
        .open()
        .await
        .unwrap_err();
    assert!(matches!(nobody, LoginError::NotLoggedIn), "{nobody}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_not_the_password() {
    let says = |name, text: &str| (error(401, name, &format!("{PASSWORD} {text}")), name);
    let cases = [
        (
            says("AuthenticationRequired", "Invalid identifier or password"),
            "app password",
        ),
        (
            says("AuthFactorTokenRequired", "A sign in code has been sent"),
            "second factor",
        ),
        (
            says("AccountTakedown", "Account has been taken down"),
            "operator",
        ),
    ];
    for ((answer, name), expected) in cases {
        let pds = Pds::start().await;
        pds.first(pds.post(CREATE_SESSION), answer).await;
        let refused = Session::login(pds.url(), ALICE, PASSWORD.into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{name}: {refused}");
        assert!(refused.to_string().contains(expected), "{name}: {refused}");
        assert_no_secrets(&shown(&refused));
    }
}

#[tokio::test]
async fn an_account_that_is_another_or_cannot_write_is_no_session() {
    let pds = Pds::start().await;
    pds.first(pds.post(CREATE_SESSION), ok(tokens_for(BOB, "bob", 7200)))
        .await;
    let other = Session::login(pds.url(), ALICE, PASSWORD.into())
        .await
        .unwrap_err();
    assert!(matches!(other, LoginError::OtherAccount { .. }), "{other}");

    let mut asleep = tokens_for(ALICE, "asleep", 7200);
    asleep["active"] = json!(false);
    asleep["status"] = json!("deactivated");
    pds.first(pds.post(CREATE_SESSION), ok(asleep)).await;
    let inactive = Session::login(pds.url(), ALICE, PASSWORD.into())
        .await
        .unwrap_err();
    assert!(inactive.to_string().contains("deactivated"), "{inactive}");
}

#[tokio::test]
async fn tokens_that_cannot_be_sent_are_no_session() {
    for token in ["", "two words", "line\nbreak", &"x".repeat(9000)] {
        let pds = Pds::start().await;
        let mut odd = tokens_for(ALICE, "odd", 7200);
        odd["accessJwt"] = json!(token);
        pds.first(pds.post(CREATE_SESSION), ok(odd)).await;
        let refused = Session::login(pds.url(), ALICE, PASSWORD.into())
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("not the answer of a PDS"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_url_that_would_give_the_password_away_is_refused_unsent() {
    for url in [
        "http://pds.example.com",
        "http://10.0.0.1",
        "ftp://localhost",
        "data:text/plain,x",
        "https://alice:hunter2-hunter2@pds.example.com",
        "http://localhost/xrpc",
        "http://localhost/?a=b",
    ] {
        let refused = Session::login(url.parse().unwrap(), ALICE, PASSWORD.into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{url}: {refused}");
        assert_no_secrets(&shown(&refused));
    }
}

#[tokio::test]
async fn a_store_that_cannot_save_is_said_at_login() {
    let pds = Pds::start().await;
    let store = TestStore::default();
    store
        .broken
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let builder = Session::builder().store(store);
    let full = builder
        .login(pds.url(), ALICE, PASSWORD.into())
        .await
        .unwrap_err();
    assert!(full.to_string().contains("the disk is full"), "{full}");
}
