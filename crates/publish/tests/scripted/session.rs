//! Tokens that expire, and a PDS that cannot renew them just now.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use atcomms_publish::{ErrorKind, PublishError, Publisher, SavedSession, Session};
use atrium_xrpc::{OutputDataOrBytes, XrpcClient, XrpcRequest};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use wiremock::matchers::header;
use wiremock::{Request, ResponseTemplate};

use crate::pds::{
    ALICE, BOB, Broken, CREATE_SESSION, GET, PASSWORD, PUT, Pds, REFRESH, TestStore,
    assert_no_secrets, committed, error, jwt, message, message_uri, not_found, ok, pass_time,
    shown, tid_key, tokens_for, waits_because,
};

/// As long as is waited at most before it is seen whether somebody has done something.
const STUCK_PAUSE: Duration = Duration::from_secs(31);

/// Refuses the tokens of the login and takes those of the renewal.
async fn expire_first_tokens(pds: &Pds, name: &str) {
    for (mock, good) in [
        (pds.post(PUT), committed as fn(&Request) -> _),
        (pds.get(GET), |_| not_found()),
    ] {
        let name = name.to_owned();
        let answer = move |request: &Request| {
            let token = request.headers["authorization"].to_str().unwrap();
            match token.ends_with("access-second") {
                true => good(request),
                false => error(400, &name, "Token could not be verified"),
            }
        };
        pds.answers(mock, answer).await;
    }
}

#[tokio::test]
async fn one_renewal_serves_all_who_wait() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    let slow = ok(tokens_for(ALICE, "second", 7200)).set_delay(Duration::from_millis(200));
    pds.answers(pds.post(REFRESH), slow).await;
    let publisher = pds.publisher().await;
    let uri = message_uri(&tid_key());
    let all = (0..16).map(|_| publisher.get_record(&uri));
    for read in futures::future::join_all(all).await {
        assert_eq!(read.unwrap(), None);
    }
    publisher.publish(message("hi")).await.unwrap();
    let renewals = pds.requests(REFRESH).await;
    assert_eq!(renewals.len(), 1, "one renewal for all sixteen");
    let token = renewals[0].headers["authorization"].to_str().unwrap();
    assert!(token.ends_with("refresh-first"), "the refresh token renews");
    assert!(renewals[0].body.is_empty(), "refreshSession has no input");
    assert!(!renewals[0].headers.contains_key("content-type"));
}

#[tokio::test]
async fn a_token_that_was_revoked_is_renewed_too() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "InvalidToken").await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    pds.publisher().await.publish(message("hi")).await.unwrap();
}

#[tokio::test]
async fn tokens_are_renewed_before_they_expire() {
    let pds = Pds::start().await;
    pds.first(pds.post(CREATE_SESSION), ok(tokens_for(ALICE, "short", 0)))
        .await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    let publisher = pds.publisher().await;
    publisher.publish(message("hi")).await.unwrap();
    publisher.publish(message("ho")).await.unwrap();
    assert_eq!(
        (pds.count(REFRESH).await, pds.count(PUT).await),
        (1, 2),
        "nothing was sent in vain"
    );
}

#[tokio::test]
async fn a_pds_that_cannot_renew_does_not_log_out() {
    let outages = [
        error(503, "NotReady", "starting"),
        ResponseTemplate::new(502).set_body_raw("<html>", "text/html"),
        ResponseTemplate::new(200).set_body_raw("<html>", "text/html"),
        error(429, "RateLimitExceeded", "").insert_header("retry-after", "2"),
    ];
    let all = outages.into_iter().map(async |outage| {
        let pds = Pds::start().await;
        expire_first_tokens(&pds, "ExpiredToken").await;
        let publisher = pds.publisher().await;
        let broken = Broken::default();
        let renewed = ok(tokens_for(ALICE, "second", 7200));
        pds.answers(pds.post(REFRESH), broken.answer(outage, renewed))
            .await;
        let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
        let pending = waits_because(&mut accepted, "could not be renewed").await;
        assert!(!pending.stuck, "nobody has to log in: {pending:?}");
        assert_no_secrets(&format!("{pending:?}"));
        broken.mend();
        accepted.receipt().await.unwrap();
        publisher.publish(message("ho")).await.unwrap();
        assert_eq!(
            pds.count(CREATE_SESSION).await,
            1,
            "nobody had to log in again"
        );
    });
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn a_restart_of_the_pds_within_a_second_goes_unnoticed() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    pds.loses_first_answer(pds.post(REFRESH)).await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    pds.publisher().await.publish(message("hi")).await.unwrap();
    assert_eq!(pds.count(REFRESH).await, 2);
}

#[tokio::test]
async fn a_renewal_ahead_of_time_that_fails_does_not_stop_anything() {
    let pds = Pds::start().await;
    pds.first(
        pds.post(CREATE_SESSION),
        ok(tokens_for(ALICE, "first", 3600)),
    )
    .await;
    pds.answers(pds.post(REFRESH), error(503, "NotReady", ""))
        .await;
    pds.commits().await;
    let publisher = pds.publisher().await;
    // Due, and still good for a minute.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3600 - 60)).await;
    tokio::time::resume();
    publisher.publish(message("hi")).await.unwrap();
    let tries = pds.count(REFRESH).await;
    assert!(tries > 0, "the renewal was tried");
    publisher.publish(message("ho")).await.unwrap();
    assert_eq!(
        pds.count(REFRESH).await,
        tries,
        "and not again for every request"
    );
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_ends_the_session() {
    for name in ["ExpiredToken", "InvalidToken"] {
        let pds = Pds::start().await;
        expire_first_tokens(&pds, "ExpiredToken").await;
        pds.answers(
            pds.post(REFRESH),
            error(400, name, "Token has been revoked"),
        )
        .await;
        let publisher = pds.publisher().await;
        let accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
        let ended = accepted.receipt().await.unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::Refused);
        assert!(matches!(ended, PublishError::Stuck { .. }), "{ended:?}");
        let again = publisher.publish(message("ho")).await.unwrap_err();
        assert!(
            matches!(again, PublishError::Stuck { .. }),
            "who comes later is told at once: {again:?}"
        );
        assert!(ended.to_string().contains("log in again"), "{ended}");
        assert_no_secrets(&shown(&ended));
        assert_eq!(pds.count(REFRESH).await, 1, "a refusal is final");
    }
}

#[tokio::test]
async fn a_refusal_for_another_reason_is_told_and_is_not_the_end() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    pds.first(pds.post(REFRESH), error(401, "AccountTakedown", ""))
        .await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    let publisher = pds.publisher().await;
    let accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    let down = accepted.receipt().await.unwrap_err();
    assert!(matches!(down, PublishError::Stuck { .. }), "{down:?}");
    assert!(down.to_string().contains("operator"), "{down}");
    assert!(
        !down.to_string().contains("log in again"),
        "that would not help: {down}"
    );
    pass_time(STUCK_PAUSE).await;
    publisher.flush().await;
    accepted.receipt().await.unwrap();
    publisher.publish(message("reinstated")).await.unwrap();
}

#[tokio::test]
async fn tokens_of_another_account_are_not_taken() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(BOB, "second", 7200)))
        .await;
    let publisher = pds.publisher().await;
    let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    waits_because(&mut accepted, "another account").await;
    assert_eq!(
        pds.count(PUT).await,
        1,
        "Alice's message was not written as Bob"
    );
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_lose_the_new_tokens() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    let arrived = Arc::new(Notify::new());
    let signal = arrived.clone();
    let answer = move |_: &Request| {
        signal.notify_one();
        ok(tokens_for(ALICE, "second", 7200)).set_delay(Duration::from_millis(300))
    };
    pds.answers(pds.post(REFRESH), answer).await;
    let publisher = pds.publisher().await;
    let (reader, uri) = (publisher.clone(), message_uri(&tid_key()));
    let impatient = tokio::spawn(async move { reader.get_record(&uri).await });
    arrived.notified().await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    publisher.publish(message("ho")).await.unwrap();
    assert_eq!(
        pds.count(REFRESH).await,
        1,
        "the renewal went on without its first caller"
    );
}

fn saved(pds: &Pds, name: &str, life: u64) -> SavedSession {
    SavedSession {
        pds: pds.url(),
        did: ALICE.parse().unwrap(),
        handle: "alice.test".parse().unwrap(),
        access: jwt(&format!("access-{name}"), life).into(),
        refresh: jwt(&format!("refresh-{name}"), 7_776_000).into(),
    }
}

#[tokio::test]
async fn what_another_process_has_renewed_is_taken_over() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    let store = Arc::new(TestStore::default());
    let session = Session::builder()
        .store(store.clone())
        .resume(saved(&pds, "first", 3600))
        .unwrap();
    *store.saved.lock().unwrap() = Some(saved(&pds, "second", 7200));
    Publisher::temporary(session)
        .unwrap()
        .publish(message("hi"))
        .await
        .unwrap();
    assert_eq!(
        pds.count(REFRESH).await,
        0,
        "the other process's renewal was enough"
    );
}

#[tokio::test]
async fn what_is_older_in_the_store_is_not() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    let store = Arc::new(TestStore::default());
    let session = Session::builder()
        .store(store.clone())
        .resume(saved(&pds, "first", 3600))
        .unwrap();
    *store.saved.lock().unwrap() = Some(saved(&pds, "zeroth", 1800));
    Publisher::temporary(session)
        .unwrap()
        .publish(message("hi"))
        .await
        .unwrap();
    assert_eq!(pds.count(REFRESH).await, 1);
    assert_eq!(
        store.saves.load(Ordering::SeqCst),
        1,
        "the new tokens were saved"
    );
}

#[tokio::test]
async fn a_store_that_cannot_save_does_not_stop_the_agent() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    let store = Arc::new(TestStore::default());
    let builder = Session::builder().store(store.clone());
    let session = builder
        .login(pds.url(), ALICE, PASSWORD.into())
        .await
        .unwrap();
    store.broken.store(true, Ordering::SeqCst);
    let publisher = Publisher::temporary(session).unwrap();
    publisher.publish(message("hi")).await.unwrap();
    publisher.publish(message("ho")).await.unwrap();
    assert_eq!(pds.count(REFRESH).await, 1);
}

#[tokio::test]
async fn a_saved_session_that_has_expired_is_renewed_first() {
    let pds = Pds::start().await;
    expire_first_tokens(&pds, "ExpiredToken").await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    let session = Session::resume(saved(&pds, "first", 0)).unwrap();
    Publisher::temporary(session)
        .unwrap()
        .publish(message("hi"))
        .await
        .unwrap();
    assert_eq!((pds.count(REFRESH).await, pds.count(PUT).await), (1, 1));
}

/// Other methods of the PDS, with atrium's types, go the same way.
#[tokio::test]
async fn any_method_can_be_called_through_the_session() {
    let pds = Pds::start().await;
    pds.first(pds.post(CREATE_SESSION), ok(tokens_for(ALICE, "short", 0)))
        .await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    let session = pds.session().await;
    let token = session.authorization_token(false).await;
    let Some(atrium_xrpc::types::AuthorizationToken::Bearer(token)) = token else {
        panic!("a bearer token was expected");
    };
    let mock = pds
        .get("com.example.ping")
        .and(header("authorization", format!("Bearer {token}")));
    pds.answers(mock, ok(json!({"pong": 1}))).await;
    let request = XrpcRequest::<(), ()> {
        method: http::Method::GET,
        nsid: "com.example.ping".into(),
        parameters: None,
        input: None,
        encoding: None,
    };
    match session
        .send_xrpc::<_, _, Json, Json>(&request)
        .await
        .unwrap()
    {
        OutputDataOrBytes::Data(pong) => assert_eq!(pong, json!({"pong": 1})),
        OutputDataOrBytes::Bytes(_) => panic!("JSON was expected"),
    }
    let odd = pds.url().join("/xrpc/com.example.odd").unwrap();
    let request = http::Request::get(odd.as_str()).body(Vec::new()).unwrap();
    let response = atrium_xrpc::HttpClient::send_http(&session, request)
        .await
        .unwrap();
    assert_eq!(response.status(), 404);
}
