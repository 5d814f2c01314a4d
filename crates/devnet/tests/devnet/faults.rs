//! Faults: each one fires, is counted when it does, and has exactly the effect that it promises.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use atcomms_devnet::{Account, Devnet, Fault, FaultCounts, Replay};
use serde_json::{Value, json};

use crate::common::{Answer, Client, NOTE, PATIENCE, alice, answer};

const PUT: &str = "com.atproto.repo.putRecord";

/// Counts in which only what `set` sets is not 0.
fn only(set: impl FnOnce(&mut FaultCounts)) -> FaultCounts {
    let mut counts = FaultCounts::default();
    set(&mut counts);
    counts
}

fn note(account: &Account, rkey: &str) -> Value {
    json!({ "repo": account.did, "collection": NOTE, "rkey": rkey, "record": { "text": rkey } })
}

/// Whether a record is there.
async fn exists(client: &Client, account: &Account, rkey: &str) -> bool {
    let query = [
        ("repo", account.did.as_str()),
        ("collection", NOTE),
        ("rkey", rkey),
    ];
    let answer = client.get("repo.getRecord", &query).await;
    match answer.error() {
        (200, _) => true,
        (400, "RecordNotFound") => false,
        _ => panic!("{answer:?}"),
    }
}

/// Sends a request whose connection must end without a byte of an answer.
async fn cut(request: reqwest::RequestBuilder) {
    let error = request
        .send()
        .await
        .expect_err("an answer came where the connection was to be closed");
    assert!(
        error.is_request() && !error.is_timeout() && !error.is_connect(),
        "the connection was there, and ended: {error:?}"
    );
}

fn put(client: &Client, account: &Account, rkey: &str) -> reqwest::RequestBuilder {
    client
        .request(reqwest::Method::POST, "repo.putRecord")
        .json(&note(account, rkey))
}

/// Waits for what another task does, and gives up only when it can no longer be slow.
async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

async fn alice_with(fault: Fault) -> (Devnet, Account, Client) {
    let (devnet, account, client) = alice().await;
    devnet.pds()[0].faults().inject(PUT, fault, 1);
    (devnet, account, client)
}

#[tokio::test]
async fn an_answer_is_lost_after_the_record_was_written() {
    let (devnet, alice, client) = alice_with(Fault::AnswerLost).await;
    cut(put(&client, &alice, "key")).await;
    assert!(exists(&client, &alice, "key").await, "it was carried out");
    let counts = devnet.pds()[0].faults().counts();
    assert_eq!(counts, only(|counts| counts.answers_lost = 1));
    answer(put(&client, &alice, "other")).await.ok();
}

#[tokio::test]
async fn a_request_is_lost_before_anything_was_written() {
    let (devnet, alice, client) = alice_with(Fault::RequestLost).await;
    let last = devnet.pds()[0].last_seq();
    cut(put(&client, &alice, "key")).await;
    assert!(!exists(&client, &alice, "key").await);
    assert_eq!(devnet.pds()[0].last_seq(), last, "no commit at all");
    let counts = devnet.pds()[0].faults().counts();
    assert_eq!(counts, only(|counts| counts.requests_lost = 1));
    answer(put(&client, &alice, "key")).await.ok();
}

#[tokio::test]
async fn a_5xx_comes_before_or_after_the_record_was_written() {
    let (devnet, alice, client) = alice().await;
    let faults = devnet.pds()[0].faults();
    let statuses = [
        (500, 500, "InternalServerError"),
        (501, 501, "MethodNotImplemented"),
        (502, 502, "UpstreamFailure"),
        (503, 503, "NotEnoughResources"),
        (504, 504, "UpstreamTimeout"),
        (599, 599, "InternalServerError"),
        (200, 500, "InternalServerError"),
        (7, 500, "InternalServerError"),
    ];
    for (asked, status, name) in statuses {
        let (before, after) = (format!("before-{asked}"), format!("after-{asked}"));
        faults.inject(PUT, Fault::FailBefore(asked), 1);
        faults.inject(PUT, Fault::FailAfter(asked), 1);
        let answers = [
            answer(put(&client, &alice, &before)).await,
            answer(put(&client, &alice, &after)).await,
        ];
        for answer in answers {
            assert_eq!(answer.error(), (status, name));
            assert!(answer.body["message"].is_string());
        }
        assert!(!exists(&client, &alice, &before).await);
        assert!(exists(&client, &alice, &after).await);
    }
    let expected = only(|counts| {
        counts.failed_before = statuses.len() as u64;
        counts.failed_after = statuses.len() as u64;
    });
    assert_eq!(faults.counts(), expected);
}

#[tokio::test]
async fn a_429_says_when_to_come_back_or_nothing_at_all() {
    let (devnet, alice, client) = alice().await;
    let faults = devnet.pds()[0].faults();
    for retry_after in [Some(7), None] {
        faults.inject(PUT, Fault::RateLimited { retry_after }, 1);
        let response = put(&client, &alice, "key").send().await.unwrap();
        assert_eq!(response.status(), 429);
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let now = crate::common::now_micros() / 1_000_000;
        let reset = header("ratelimit-reset").map(|reset| reset.parse::<u64>().unwrap());
        assert_eq!(header("retry-after"), retry_after.map(|_| "7".to_owned()));
        assert_eq!(
            header("ratelimit-remaining"),
            retry_after.map(|_| "0".to_owned())
        );
        assert_eq!(
            header("ratelimit-limit"),
            retry_after.map(|_| "5000".to_owned())
        );
        assert_eq!(
            header("ratelimit-policy"),
            retry_after.map(|_| "5000;w=3600".to_owned())
        );
        assert!(
            reset.is_none_or(|reset| reset <= now + 7),
            "{reset:?} {now}"
        );
        assert_eq!(reset.is_some(), retry_after.is_some());
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(body["error"], "RateLimitExceeded");
        assert!(!exists(&client, &alice, "key").await);
    }
    assert_eq!(faults.counts(), only(|counts| counts.rate_limited = 2));
    assert_eq!(
        devnet.pds()[0].refused_by_rate_limit(),
        0,
        "those are others"
    );
}

#[tokio::test]
async fn a_slow_answer_comes_late_and_its_record_at_once() {
    let wait = Duration::from_millis(300);
    let (devnet, alice, client) = alice_with(Fault::Slow(wait)).await;
    let began = Instant::now();
    let slow = tokio::spawn(answer(put(&client, &alice, "key")));
    let faults = devnet.pds()[0].faults();
    until(|| faults.counts().slowed == 1).await;
    assert!(exists(&client, &alice, "key").await);
    let answer = slow.await.unwrap();
    assert!(began.elapsed() >= wait);
    assert!(answer.ok()["commit"].is_object(), "the method's own answer");
    assert_eq!(faults.counts(), only(|counts| counts.slowed = 1));
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_a_slow_answer_has_written_all_the_same() {
    let (devnet, alice, client) = alice_with(Fault::Slow(Duration::from_secs(3600))).await;
    let request = put(&client, &alice, "key").timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
    assert!(exists(&client, &alice, "key").await);
    assert_eq!(devnet.pds()[0].faults().counts().slowed, 1);
}

#[tokio::test]
async fn an_upload_is_cut_in_its_middle() {
    const UPLOAD: &str = "com.atproto.repo.uploadBlob";
    let (devnet, alice, client) = alice().await;
    let faults = devnet.pds()[0].faults();
    faults.inject(UPLOAD, Fault::CutUpload { after: 1_000_000 }, 1);
    // A body that never ends by itself: only the server can end this request.
    let first = std::iter::repeat_n(Ok::<_, Infallible>(vec![7; 100_000]), 20);
    let endless = futures::StreamExt::chain(
        futures::stream::iter(first),
        futures::stream::pending::<Result<Vec<u8>, Infallible>>(),
    );
    let upload = |body: reqwest::Body| {
        client
            .request(reqwest::Method::POST, "repo.uploadBlob")
            .header("content-type", "application/octet-stream")
            .body(body)
    };
    let sent = tokio::time::timeout(PATIENCE, cut(upload(reqwest::Body::wrap_stream(endless))));
    sent.await.expect("the connection stayed open");
    assert_eq!(faults.counts(), only(|counts| counts.uploads_cut = 1));

    // One that is over before is cut at its end.
    faults.inject(UPLOAD, Fault::CutUpload { after: 1_000_000 }, 1);
    cut(upload("a short one".into())).await;
    assert_eq!(faults.counts(), only(|counts| counts.uploads_cut = 2));
    let blob = atcomms_lexicon::BlobRef::of(b"a short one", "text/plain".to_owned());
    let record = json!({ "repo": alice.did, "collection": NOTE, "record": { "file": blob } });
    let refused = client.post("repo.createRecord", record).await;
    assert_eq!(refused.error(), (400, "BlobNotFound"), "nothing was stored");
    client.upload("text/plain", "a short one").await.ok();
}

#[tokio::test]
async fn a_token_is_refused_as_expired_or_as_revoked() {
    let (devnet, alice, client) = alice().await;
    let faults = devnet.pds()[0].faults();
    faults.inject(PUT, Fault::ExpiredToken, 1);
    faults.inject(PUT, Fault::RevokedToken, 2);
    for name in ["ExpiredToken", "InvalidToken", "InvalidToken"] {
        let answer = answer(put(&client, &alice, "key")).await;
        assert_eq!(answer.error(), (400, name));
        assert!(!exists(&client, &alice, "key").await);
    }
    let expected = only(|counts| {
        counts.tokens_refused = 1;
        counts.tokens_revoked = 2;
    });
    assert_eq!(faults.counts(), expected);
    answer(put(&client, &alice, "key")).await.ok();
}

#[tokio::test]
async fn every_method_can_meet_a_fault_and_only_the_named_one_does() {
    let (devnet, alice, client) = alice().await;
    let session = json!({ "identifier": alice.did, "password": alice.password });
    let session = client.post("server.createSession", session).await.ok();
    let refresh = client.with_token(&session["refreshJwt"]);
    let faults = devnet.pds()[0].faults();
    let methods = [
        "repo.createRecord",
        "repo.putRecord",
        "repo.deleteRecord",
        "repo.applyWrites",
        "repo.uploadBlob",
        "repo.getRecord",
        "server.createSession",
        "server.refreshSession",
        "sync.getLatestCommit",
        "sync.subscribeRepos",
    ];
    for method in methods {
        faults.inject(&format!("com.atproto.{method}"), Fault::FailBefore(503), 1);
    }
    let key = json!({ "repo": alice.did, "collection": NOTE, "rkey": "key" });
    let writes = json!({ "repo": alice.did, "writes": [] });
    let login = json!({ "identifier": "alice.test", "password": "wrong" });
    let answers: [Answer; 10] = [
        client.post("repo.createRecord", note(&alice, "key")).await,
        client.post("repo.putRecord", note(&alice, "key")).await,
        client.post("repo.deleteRecord", key).await,
        client.post("repo.applyWrites", writes).await,
        client.upload("text/plain", "text").await,
        client.get("repo.getRecord", &[]).await,
        client.post("server.createSession", login).await,
        refresh.post_nothing("server.refreshSession").await,
        client.get("sync.getLatestCommit", &[]).await,
        client.get("sync.subscribeRepos", &[]).await,
    ];
    for (method, answer) in methods.iter().zip(answers) {
        assert_eq!(answer.error(), (503, "NotEnoughResources"), "{method}");
    }
    let expected = only(|counts| counts.failed_before = methods.len() as u64);
    assert_eq!(faults.counts(), expected);
    client.put(&alice.did, "key", "text").await;
    refresh.post_nothing("server.refreshSession").await.ok();
}

#[tokio::test]
async fn a_lost_refresh_gives_the_same_successor_to_the_next_one() {
    let (devnet, alice, client) = alice().await;
    let body = json!({ "identifier": alice.did, "password": alice.password });
    let session = client.post("server.createSession", body).await.ok();
    let refresh = client.with_token(&session["refreshJwt"]);
    let method = "com.atproto.server.refreshSession";
    let faults = devnet.pds()[0].faults();
    faults.inject(method, Fault::AnswerLost, 1);
    cut(refresh.request(reqwest::Method::POST, "server.refreshSession")).await;
    assert_eq!(faults.counts().answers_lost, 1);
    let renewed = refresh.post_nothing("server.refreshSession").await.ok();
    client
        .with_token(&renewed["accessJwt"])
        .put(&alice.did, "key", "text")
        .await;
}

#[tokio::test]
async fn faults_of_one_method_fire_in_order_and_what_is_cleared_does_not() {
    let (devnet, alice, client) = alice().await;
    let faults = devnet.pds()[0].faults();
    faults.inject(PUT, Fault::FailBefore(503), 2);
    faults.inject(PUT, Fault::ExpiredToken, 1);
    faults.inject(PUT, Fault::RequestLost, 5);
    faults.expire_tokens(5);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(answer(put(&client, &alice, "key")).await.status);
    }
    assert_eq!(seen, [503, 503, 400]);
    faults.clear();
    let before = faults.counts();
    answer(put(&client, &alice, "key")).await.ok();
    assert_eq!(faults.counts(), before, "what fired stays counted");
    assert_eq!((before.failed_before, before.tokens_refused), (2, 1));
    assert_eq!(before.requests_lost, 0);
}

#[tokio::test]
async fn a_request_that_its_client_gives_up_leaves_the_fault_to_the_next_one() {
    let (devnet, alice, client) = alice().await;
    let faults = devnet.pds()[0].faults();
    faults.inject(PUT, Fault::RequestLost, 1);
    let body =
        reqwest::Body::wrap_stream(futures::stream::pending::<Result<Vec<u8>, Infallible>>());
    let request = client
        .request(reqwest::Method::POST, "repo.putRecord")
        .header("content-type", "application/json")
        .body(body)
        .timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
    // On the same connection's end the fault comes back, which the server notices in its own time.
    let wait = async {
        while faults.counts().requests_lost == 0 {
            match put(&client, &alice, "key").send().await {
                Ok(response) => assert_eq!(response.status(), 200),
                Err(error) => assert!(error.is_request(), "{error:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert_eq!(faults.counts(), only(|counts| counts.requests_lost = 1));
}

#[tokio::test]
async fn a_fault_is_one_pdss_own() {
    let devnet = Devnet::builder()
        .pds(2)
        .account("alice")
        .account("bob")
        .start()
        .await
        .unwrap();
    let [alice, bob] = <[Account; 2]>::try_from(devnet.accounts()).unwrap();
    devnet.pds()[0]
        .faults()
        .inject(PUT, Fault::FailBefore(500), 1);
    Client::log_in(&bob)
        .await
        .put(&bob.did, "key", "text")
        .await;
    let client = Client::log_in(&alice).await;
    assert_eq!(answer(put(&client, &alice, "key")).await.status, 500);
    assert_eq!(devnet.pds()[1].faults().counts(), FaultCounts::default());
}

#[tokio::test]
async fn a_replay_has_faults_too() {
    let replay = Replay::start(Vec::new(), Default::default()).await.unwrap();
    let client = Client::new(replay.plc_url());
    let faults = replay.faults();
    faults.inject(
        "com.atproto.identity.resolveHandle",
        Fault::FailBefore(502),
        1,
    );
    let query = [("handle", "alice.test")];
    let failed = client.get("identity.resolveHandle", &query).await;
    assert_eq!(failed.error(), (502, "UpstreamFailure"));
    let answer = client.get("identity.resolveHandle", &query).await;
    assert_eq!(answer.error(), (400, "HandleNotFound"));
    faults.inject("com.atproto.sync.subscribeRepos", Fault::AnswerLost, 1);
    let url = format!("{}/xrpc/com.atproto.sync.subscribeRepos", replay.ws_url());
    assert!(tokio_tungstenite::connect_async(&url).await.is_err());
    assert!(tokio_tungstenite::connect_async(&url).await.is_ok());
    let expected = only(|counts| {
        counts.failed_before = 1;
        counts.answers_lost = 1;
    });
    assert_eq!(faults.counts(), expected);
}
