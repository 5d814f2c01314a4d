//! What a PDS, or what stands in its place, may answer instead of an answer.

use std::time::Duration;

use atcomms_publish::{ErrorKind, LoginError, Session, SessionBuilder};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::pds::{
    ALICE, CREATE_SESSION, DELETE, GET, PASSWORD, PUT, Pds, Raw, assert_no_secrets, error,
    for_ever, message, message_uri, ok, shown, tid_key,
};

/// Each answer that is no success and settles nothing, with what the message has to say.
fn odd_answers() -> Vec<(&'static str, ResponseTemplate, &'static str)> {
    let html = |status| ResponseTemplate::new(status).set_body_raw("<html>Sign in", "text/html");
    vec![
        ("an HTML page", html(200), "HTML"),
        ("an HTML 404", html(404), "404"),
        ("an empty body", ResponseTemplate::new(200), "nothing"),
        (
            "cut JSON",
            ResponseTemplate::new(200).set_body_raw("{\"uri\":", "application/json"),
            "broken JSON",
        ),
        ("other JSON", ok(json!({"hello": "world"})), "another shape"),
        ("null", ok(json!(null)), "another shape"),
        (
            "deep JSON",
            ResponseTemplate::new(200).set_body_raw("[".repeat(100_000), "application/json"),
            "not the answer of a PDS",
        ),
        (
            "a redirect",
            ResponseTemplate::new(302).insert_header("location", "https://elsewhere.example/"),
            "elsewhere.example",
        ),
        (
            "a redirect to nowhere",
            ResponseTemplate::new(307),
            "redirects",
        ),
        ("a gateway's 502", html(502), "later"),
        (
            "an opaque 500",
            error(500, "InternalServerError", "Internal Server Error"),
            "later",
        ),
        (
            "429 without headers",
            error(429, "RateLimitExceeded", "Rate Limit Exceeded"),
            "rate limit",
        ),
        (
            "429 with retry-after",
            error(429, "RateLimitExceeded", "").insert_header("retry-after", "77"),
            "77 s",
        ),
        (
            "an unknown refusal",
            error(400, "SomethingNew", "because"),
            "SomethingNew: because",
        ),
        (
            "a taken down account",
            error(401, "AccountTakedown", "Account has been taken down"),
            "operator",
        ),
        (
            "a deactivated account",
            error(401, "AccountDeactivated", ""),
            "activate",
        ),
    ]
}

#[tokio::test]
async fn each_odd_answer_is_an_error_that_says_what_to_do_and_logs_nobody_out() {
    let answers = odd_answers();
    assert!(answers.len() > 10);
    let all = answers.into_iter().map(async |(what, answer, expected)| {
        let pds = Pds::start().await;
        let publisher = pds.impatient(Duration::from_secs(5)).await;
        pds.answers(pds.post(PUT), answer.clone().append_header("x-put", "1"))
            .await;
        pds.answers(pds.get(GET), error(400, "RecordNotFound", ""))
            .await;
        pds.answers(pds.post(DELETE), answer).await;

        let put = publisher.publish(message("hi")).await.unwrap_err();
        assert!(put.to_string().contains(expected), "{what}: {put}");
        assert_no_secrets(&shown(&put));
        match publisher.delete(&message_uri(&tid_key())).await {
            Ok(_) => assert_eq!(what, "other JSON", "which deleteRecord may answer"),
            Err(error) => assert!(error.to_string().contains(expected), "{what}: {error}"),
        }

        pds.server.reset().await;
        pds.commits().await;
        let receipt = publisher.publish(message("again")).await;
        assert!(
            receipt.is_ok(),
            "after {what} the session goes on: {receipt:?}"
        );
    });
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn each_odd_answer_to_a_login_is_an_error_without_the_password() {
    for (what, answer, expected) in odd_answers() {
        let pds = Pds::start().await;
        pds.first(pds.post(CREATE_SESSION), answer).await;
        let refused = Session::login(pds.url(), ALICE, PASSWORD.into())
            .await
            .unwrap_err();
        let known = matches!(refused, LoginError::WrongPassword { .. });
        assert!(
            known || refused.to_string().contains(expected),
            "{what}: {refused}"
        );
        assert_no_secrets(&shown(&refused));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_password() {
    let pds = Pds::start().await;
    let thief = Pds::start().await;
    let to = format!("{}xrpc/{CREATE_SESSION}", thief.url());
    let redirect = ResponseTemplate::new(307).insert_header("location", to.as_str());
    pds.first(pds.post(CREATE_SESSION), redirect).await;
    assert!(
        Session::login(pds.url(), ALICE, PASSWORD.into())
            .await
            .is_err()
    );
    assert_eq!(thief.count(CREATE_SESSION).await, 0);
}

#[tokio::test]
async fn a_pds_that_is_not_there_is_an_error_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let down = Session::login(url, ALICE, PASSWORD.into())
        .await
        .unwrap_err();
    assert_eq!(down.kind(), ErrorKind::Unavailable);
    assert!(
        down.to_string().contains("check that the URL is right"),
        "{down}"
    );
    assert_no_secrets(&shown(&down));
}

#[tokio::test]
async fn a_pds_that_accepts_and_says_nothing_is_timed_out() {
    let silent = Raw::start(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let builder = SessionBuilder::default().timeout(Duration::from_millis(300));
    let login = builder.login(silent.url(), ALICE, PASSWORD.into());
    let login = tokio::time::timeout(Duration::from_secs(10), login);
    let slow = login.await.expect("0.3 s was asked for").unwrap_err();
    assert_eq!(slow.kind(), ErrorKind::TimedOut, "{slow}");
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let endless = Raw::start(|stream| for_ever(stream, HEAD, &[b' '; 65_536])).await;
    let long = Session::login(endless.url(), ALICE, PASSWORD.into())
        .await
        .unwrap_err();
    assert!(long.to_string().contains("more than"), "{long}");

    // A refusal without end is a refusal all the same.
    const REFUSAL: &str = "HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\n\r\n";
    let endless = Raw::start(|stream| for_ever(stream, REFUSAL, &[b' '; 65_536])).await;
    let busy = Session::login(endless.url(), ALICE, PASSWORD.into())
        .await
        .unwrap_err();
    assert!(busy.to_string().contains("503"), "{busy}");
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n";
    let endless = Raw::start(|stream| for_ever(stream, HEAD, b"x-more: and more\r\n")).await;
    let odd = Session::login(endless.url(), ALICE, PASSWORD.into())
        .await
        .unwrap_err();
    assert_eq!(odd.kind(), ErrorKind::Unavailable, "{odd}");
}

#[tokio::test]
async fn bytes_that_are_no_http_are_an_error() {
    let noise = Raw::start(|stream| for_ever(stream, "", &[0xff; 1024])).await;
    let odd = Session::login(noise.url(), ALICE, PASSWORD.into())
        .await
        .unwrap_err();
    assert_eq!(odd.kind(), ErrorKind::Unavailable, "{odd}");
}

#[tokio::test]
async fn the_rate_limit_is_remembered() {
    let pds = Pds::start().await;
    let publisher = pds.publisher().await;
    assert_eq!(publisher.session().rate_limit(), None);
    let spent = error(429, "RateLimitExceeded", "")
        .insert_header("ratelimit-limit", "5000")
        .insert_header("ratelimit-remaining", "0")
        .insert_header("ratelimit-policy", "5000;w=3600");
    pds.answers(pds.post(PUT), spent).await;
    let refused = publisher.publish(message("hi")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.is_transient());
    let limit = publisher.session().rate_limit().unwrap();
    assert_eq!((limit.limit, limit.remaining), (Some(5000), Some(0)));
    assert_eq!(
        pds.count(PUT).await,
        1,
        "a refused write costs points: it is not repeated"
    );
}
