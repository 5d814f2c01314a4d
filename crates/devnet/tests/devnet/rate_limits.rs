//! Rate limits of other sizes than the reference PDS's. What they count, and the headers, is held against the
//! reference PDS itself, in `tests/reference-pds`.

use std::time::{Duration, Instant};

use atcomms_devnet::{Account, Devnet, Fault, FaultCounts, Limit, RateLimits};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Client, NOTE, PATIENCE, alice, answer};

const HOUR: Duration = Duration::from_secs(3_600);

async fn limited(limits: RateLimits) -> (Devnet, Account, Client) {
    let builder = Devnet::builder().account("alice").rate_limits(limits);
    let devnet = builder.start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    (devnet, alice, client)
}

fn creates(account: &Account, count: usize) -> Value {
    let write = json!({
        "$type": "com.atproto.repo.applyWrites#create",
        "collection": NOTE,
        "value": { "text": "x" },
    });
    json!({ "repo": account.did, "writes": vec![write; count] })
}

/// Status, and a header if it is there.
async fn header(request: reqwest::RequestBuilder, name: &str) -> (u16, Option<String>) {
    let response = request.send().await.unwrap();
    let value = response.headers().get(name);
    let text = value.map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), text)
}

#[tokio::test]
async fn there_are_none_by_default() {
    let (devnet, alice, client) = alice().await;
    let write = client.request(Method::POST, "repo.applyWrites");
    let (status, policy) = header(write.json(&creates(&alice, 1)), "ratelimit-policy").await;
    assert_eq!((status, policy), (200, None));
    assert_eq!(devnet.pds()[0].refused_by_rate_limit(), 0);
}

#[tokio::test]
async fn a_refused_batch_is_paid_for_and_at_the_end_of_the_window_all_points_are_back() {
    let window = Duration::from_secs(1);
    let (devnet, alice, client) = limited(RateLimits::default().hour(Limit::new(10, window))).await;
    let began = Instant::now();
    let refused = client.post("repo.applyWrites", creates(&alice, 4)).await;
    assert_eq!(refused.error(), (429, "RateLimitExceeded"));
    // Whatever the machine's load: the first write that is let in comes after the window's end.
    let wait = async {
        while client
            .post("repo.applyWrites", creates(&alice, 1))
            .await
            .status
            == 429
        {}
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert!(
        began.elapsed() >= window,
        "let in after {:?}",
        began.elapsed()
    );
    let pds = &devnet.pds()[0];
    assert!(pds.refused_by_rate_limit() >= 1);
    assert_eq!(pds.faults().counts(), FaultCounts::default());
}

#[tokio::test]
async fn an_account_has_points_of_its_own_on_a_pds_and_the_first_limit_that_refuses_speaks() {
    let limits = RateLimits::default()
        .hour(Limit::new(6, HOUR))
        .day(Limit::new(4, 24 * HOUR));
    let builder = Devnet::builder().account("alice").account("bob");
    let devnet = builder.rate_limits(limits).start().await.unwrap();
    let [alice, bob] = <[Account; 2]>::try_from(devnet.accounts()).unwrap();
    let (client, others) = (Client::log_in(&alice).await, Client::log_in(&bob).await);
    let write = |client: &Client, account: &Account| {
        let request = client.request(Method::POST, "repo.applyWrites");
        header(request.json(&creates(account, 1)), "ratelimit-policy")
    };
    let day = Some("4;w=86400".to_owned());
    assert_eq!(write(&client, &alice).await, (200, day.clone()), "tightest");
    assert_eq!(write(&client, &alice).await, (429, day.clone()), "refuses");
    let hour = Some("6;w=3600".to_owned());
    assert_eq!(write(&client, &alice).await, (429, hour), "both refuse");
    assert_eq!(write(&others, &bob).await, (200, day), "bob has his own");
    assert_eq!(devnet.pds()[0].refused_by_rate_limit(), 2);
}

#[tokio::test]
async fn uploads_logins_and_requests_have_limits_of_their_address() {
    let limits = RateLimits::default()
        .blobs(Limit::new(1, HOUR))
        .logins(Limit::new(2, HOUR));
    let (devnet, alice, client) = limited(limits).await;
    client.upload("text/plain", "one").await.ok();
    let refused = client.upload("text/plain", "two").await;
    assert_eq!(refused.error(), (429, "RateLimitExceeded"));
    let body = json!({ "identifier": "alice.test", "password": alice.password });
    client.post("server.createSession", body.clone()).await.ok();
    let refused = client.post("server.createSession", body.clone()).await;
    assert_eq!(refused.error(), (429, "RateLimitExceeded"), "the third");
    let elsewhere = client
        .request(Method::POST, "server.createSession")
        .header("x-forwarded-for", "192.0.2.1");
    answer(elsewhere.json(&body)).await.ok();
    assert_eq!(devnet.pds()[0].refused_by_rate_limit(), 2);

    let limits = RateLimits::default().requests(Limit::new(3, HOUR));
    let (devnet, alice, client) = limited(limits).await; // the first one
    client.put(&alice.did, "key", "text").await;
    let nobody = Client::new(&alice.pds);
    let denied = nobody.get("server.getSession", &[]).await;
    assert_eq!(denied.error(), (401, "AuthMissing"), "costs nothing");
    client.get("server.getSession", &[]).await.ok();
    let refused = client.get("server.getSession", &[]).await;
    assert_eq!(refused.error(), (429, "RateLimitExceeded"));
    assert_eq!(devnet.pds()[0].refused_by_rate_limit(), 1);
}

#[tokio::test]
async fn a_fault_costs_points_if_its_method_is_carried_out() {
    let limits = RateLimits::default().hour(Limit::new(100, HOUR));
    let (devnet, alice, client) = limited(limits).await;
    let faults = devnet.pds()[0].faults();
    let left = async || {
        let request = client.request(Method::POST, "repo.deleteRecord");
        let body = json!({ "repo": alice.did, "collection": NOTE, "rkey": "not-there" });
        let (status, left) = header(request.json(&body), "ratelimit-remaining").await;
        assert_eq!(status, 200);
        left.unwrap().parse::<u64>().unwrap()
    };
    let costs = [
        (Fault::FailBefore(503), 0),
        (Fault::RequestLost, 0),
        (
            Fault::RateLimited {
                retry_after: Some(1),
            },
            0,
        ),
        (Fault::ExpiredToken, 0),
        (Fault::AnswerLost, 3),
        (Fault::FailAfter(503), 3),
        (Fault::Slow(Duration::from_millis(1)), 3),
    ];
    for (fault, expected) in costs {
        let before = left().await;
        faults.inject("com.atproto.repo.applyWrites", fault.clone(), 1);
        let request = client.request(Method::POST, "repo.applyWrites");
        let _lost = request.json(&creates(&alice, 1)).send().await;
        assert_eq!(before - left().await - 1, expected, "points of {fault:?}");
    }
    assert_eq!(devnet.pds()[0].refused_by_rate_limit(), 0);
}

#[tokio::test]
async fn a_restart_forgets_what_was_used() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        let limits = RateLimits::default().hour(Limit::new(3, HOUR));
        let builder = Devnet::builder().data(folder.path()).account("alice");
        builder.rate_limits(limits)
    };
    let devnet = builder().start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    for status in [200, 429] {
        let answer = client.post("repo.applyWrites", creates(&alice, 1)).await;
        assert_eq!(answer.status, status);
    }
    drop(devnet);
    let _devnet = builder().start().await.unwrap();
    client
        .post("repo.applyWrites", creates(&alice, 1))
        .await
        .ok();
}
