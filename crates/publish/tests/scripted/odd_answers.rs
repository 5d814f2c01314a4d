//! What a PDS, or what stands in its place, may answer instead of an answer.

use std::fmt::Debug;
use std::time::Duration;

use atcomms_lexicon::cid_for_raw;
use atcomms_publish::{
    Accepted, ErrorKind, FromEntry, LoginError, PublishError, Session, SessionBuilder,
};
use futures::future::join_all;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::pds::{
    ALICE, Broken, CREATE_SESSION, DELETE, GET, PASSWORD, PUT, Pds, REV, assert_no_secrets,
    committed, error, found, message, message_uri, not_found, ok, one_by_one, pass_time, shown,
    tid_key, waits_because, waits_no_more,
};
use crate::raw::{Raw, for_ever};

/// What an answer means for what was accepted.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Means {
    /// It waits for the PDS.
    Waits,
    /// It waits for somebody.
    Stuck,
    /// It has failed.
    Refused,
}

use Means::{Refused, Stuck, Waits};

/// Each answer that is no success, with what it means for a write, and what is said of it.
pub(crate) fn odd_answers() -> Vec<(&'static str, ResponseTemplate, Means, &'static str)> {
    let html = |status| ResponseTemplate::new(status).set_body_raw("<html>Sign in", "text/html");
    let json = |body| ResponseTemplate::new(200).set_body_raw(body, "application/json");
    let redirect =
        ResponseTemplate::new(302).insert_header("location", "https://elsewhere.example/");
    let spent = error(429, "RateLimitExceeded", "").insert_header("retry-after", "77");
    let opaque = error(500, "InternalServerError", "Internal Server Error");
    let down = error(401, "AccountTakedown", "Account has been taken down");
    vec![
        ("an HTML page", html(200), Waits, "HTML"),
        ("an HTML 404", html(404), Waits, "404"),
        (
            "an empty body",
            ResponseTemplate::new(200),
            Waits,
            "nothing",
        ),
        (
            "cut JSON",
            json("{\"uri\":".to_owned()),
            Waits,
            "broken JSON",
        ),
        (
            "other JSON",
            ok(json!({"hello": "world"})),
            Waits,
            "another shape",
        ),
        ("null", ok(json!(null)), Waits, "another shape"),
        (
            "deep JSON",
            json("[".repeat(100_000)),
            Waits,
            "not the answer of a PDS",
        ),
        ("a redirect", redirect, Stuck, "elsewhere.example"),
        (
            "a redirect to nowhere",
            ResponseTemplate::new(307),
            Stuck,
            "redirects",
        ),
        ("a gateway's 502", html(502), Waits, "later"),
        ("an opaque 500", opaque, Waits, "later"),
        (
            "429 without headers",
            error(429, "RateLimitExceeded", "Rate Limit Exceeded"),
            Waits,
            "rate limit",
        ),
        ("429 with retry-after", spent, Waits, "77 s"),
        (
            "an unknown refusal",
            error(400, "SomethingNew", "because"),
            Refused,
            "SomethingNew: because",
        ),
        ("a taken down account", down, Stuck, "operator"),
        (
            "a deactivated account",
            error(401, "AccountDeactivated", ""),
            Stuck,
            "activate",
        ),
    ]
}

/// Has a write meet an odd answer; then the PDS is mended.
async fn meets<T: FromEntry + Debug>(
    what: &str,
    means: Means,
    expected: &str,
    mut accepted: Accepted<T>,
    broken: &Broken,
) {
    let said = match means {
        Waits => {
            let pending = waits_because(&mut accepted, expected).await;
            assert!(!pending.stuck, "{what}: nobody can do anything");
            assert_eq!(pending.attempts, 1, "{what}");
            format!("{pending:?}")
        }
        Stuck => {
            let stuck = accepted.receipt().await.unwrap_err();
            assert!(
                matches!(stuck, PublishError::Stuck { .. }),
                "{what}: {stuck:?}"
            );
            assert!(stuck.to_string().contains(expected), "{what}: {stuck}");
            shown(&stuck)
        }
        Refused => {
            let refused = accepted.receipt().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Refused, "{what}: {refused:?}");
            assert!(refused.to_string().contains(expected), "{what}: {refused}");
            shown(&refused)
        }
    };
    assert_no_secrets(&said);
    broken.mend();
    match means {
        Waits => drop(accepted.receipt().await.unwrap()),
        Stuck => {
            pass_time(Duration::from_secs(31)).await;
            waits_no_more(&mut accepted).await;
            accepted.receipt().await.unwrap();
        }
        Refused => {}
    }
}

#[tokio::test]
async fn each_odd_answer_to_a_write_is_waited_out_or_told_and_logs_nobody_out() {
    let answers = odd_answers();
    assert!(answers.len() > 10);
    for stuck in [false, true] {
        let chosen = answers
            .iter()
            // What the PDS names is waited for, which is for another test.
            .filter(|(what, _, means, _)| {
                *what != "429 with retry-after" && (*means == Stuck) == stuck
            });
        let all = chosen.map(async |(what, odd, means, expected)| {
            let (pds, broken) = (Pds::start().await, Broken::default());
            pds.answers(pds.post(PUT), broken.answer(odd.clone(), committed))
                .await;
            pds.answers(pds.get(GET), not_found()).await;
            let publisher = pds.impatient(Duration::from_secs(5)).await;
            let accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
            meets(what, *means, expected, accepted, &broken).await;
            let written = if *means == Refused { 1 } else { 2 };
            assert_eq!(pds.count(PUT).await, written, "{what}: written once");
            publisher.publish(message("again")).await.unwrap();
            assert_eq!(
                pds.count(CREATE_SESSION).await,
                1,
                "{what}: nobody was logged out"
            );

            if *what == "other JSON" {
                return; // It is what deleteRecord may answer.
            }
            let (pds, broken) = (Pds::start().await, Broken::default());
            let deleted = ok(json!({"commit": {"cid": "x", "rev": REV}}));
            pds.answers(pds.post(DELETE), broken.answer(odd.clone(), deleted))
                .await;
            let there = found("at://x", &cid_for_raw(b"there").to_string());
            pds.answers(pds.get(GET), there).await;
            let publisher = pds.impatient(Duration::from_secs(5)).await;
            let delete = publisher.delete(&message_uri(&tid_key()));
            let accepted = delete.enqueue().await.unwrap();
            meets(what, *means, expected, accepted, &broken).await;
            assert_eq!(pds.count(DELETE).await, written, "{what}: deleted once");
        });
        match stuck {
            false => drop(join_all(all).await),
            true => one_by_one(all).await,
        }
    }
}

#[tokio::test]
async fn each_odd_answer_to_a_login_is_an_error_without_the_password() {
    for (what, answer, _, expected) in odd_answers() {
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
    let broken = Broken::default();
    let spent = error(429, "RateLimitExceeded", "")
        .insert_header("ratelimit-limit", "5000")
        .insert_header("ratelimit-remaining", "0")
        .insert_header("ratelimit-policy", "5000;w=3600");
    pds.answers(pds.post(PUT), broken.answer(spent, committed))
        .await;
    let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    let pending = waits_because(&mut accepted, "rate limit").await;
    assert!(!pending.stuck, "{pending:?}");
    let limit = publisher.session().rate_limit().unwrap();
    assert_eq!((limit.limit, limit.remaining), (Some(5000), Some(0)));
    assert_eq!(
        pds.count(PUT).await,
        1,
        "a refused write costs points: it is not repeated at once"
    );
    broken.mend();
    accepted.receipt().await.unwrap();
    assert_eq!(pds.count(PUT).await, 2);
}
