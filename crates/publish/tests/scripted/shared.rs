//! Several publishers of one account on one store, and sessions that end while they send.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use atcomms_publish::{PublishError, Publisher, Session, Store};
use wiremock::Request;

use crate::pds::{
    ALICE, Broken, Gate, PASSWORD, PUT, Pds, REFRESH, TestStore, error, jwt, message, waits,
    waits_no_more,
};
use crate::repository::Repository;

/// Two publishers of Alice on one store.
async fn two(pds: &Pds) -> (Publisher, Publisher) {
    let store = Store::temporary().unwrap();
    let one = Publisher::new(pds.session().await, store.clone());
    let other = Publisher::new(pds.session().await, store);
    (one, other)
}

#[tokio::test]
async fn both_publishers_of_an_account_get_their_receipts() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let gate = Gate::default();
    pds.first(pds.post(PUT), gate.before(repository.put()))
        .await;
    let (one, other) = two(&pds).await;
    let first = one.publish(message("first")).enqueue().await.unwrap();
    gate.arrived().await;
    // The one that sends has it in hand when the other one's records come.
    let second = other.publish(message("second")).enqueue().await.unwrap();
    let third = one.publish(message("third")).enqueue().await.unwrap();
    let fourth = other.publish(message("fourth")).enqueue().await.unwrap();
    gate.open();
    for accepted in [first, second, third, fourth] {
        let receipt = tokio::time::timeout(Duration::from_secs(10), accepted.receipt()).await;
        receipt.expect("whoever wrote it").unwrap();
    }
    assert_eq!(repository.len(), 4);
    assert!(repository.doubled().is_empty());

    for i in 0..20 {
        let (a, b) = (message(&format!("a {i}")), message(&format!("b {i}")));
        let (a, b) = (one.publish(a).into_future(), other.publish(b).into_future());
        let both = tokio::time::timeout(Duration::from_secs(10), futures::future::join(a, b));
        let (a, b) = both.await.expect("both are told");
        a.unwrap();
        b.unwrap();
    }
    assert!(repository.doubled().is_empty());
}

#[tokio::test]
async fn the_other_publisher_goes_on_when_one_is_dropped() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let gate = Gate::default();
    pds.first(pds.post(PUT), gate.before(repository.put()))
        .await;
    let (one, other) = two(&pds).await;
    let first = one.publish(message("first")).enqueue().await.unwrap();
    gate.arrived().await;
    let second = other.publish(message("second")).enqueue().await.unwrap();
    drop(one);
    let closed = first.receipt().await.unwrap_err();
    assert!(matches!(closed, PublishError::Closed { .. }), "{closed:?}");
    gate.open();
    let dropped = Instant::now();
    second.receipt().await.unwrap();
    assert!(dropped.elapsed() < Duration::from_secs(2), "at once");
    other.flush().await;
    assert!(
        repository.has(first.uri().as_str()),
        "what was left is done too"
    );
    assert_eq!(repository.len(), 2);
    assert!(repository.doubled().is_empty());
}

#[tokio::test]
async fn the_other_publisher_goes_on_when_one_is_shut_down() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let (one, other) = two(&pds).await;
    one.publish(message("first")).await.unwrap();
    one.shutdown().await;
    let left = one.publish(message("left")).enqueue().await.unwrap();
    other.publish(message("second")).await.unwrap();
    other.flush().await;
    assert!(repository.has(left.uri().as_str()));
    assert_eq!(repository.len(), 3);
}

/// Who folds an update of another's does not lose the other.
#[tokio::test]
async fn an_update_that_gives_way_has_the_outcome_of_the_one_that_took_its_place() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let gate = Gate::default();
    pds.first(pds.post(PUT), gate.before(repository.put()))
        .await;
    let (one, other) = two(&pds).await;
    let key = crate::pds::tid_key();
    let hold = one.publish(message("hold")).enqueue().await.unwrap();
    gate.arrived().await;
    let put = |publisher: &Publisher, text| {
        let put = publisher.put(message(text)).key(key.clone());
        put.enqueue()
    };
    let older = put(&one, "older").await.unwrap();
    let newer = put(&other, "newer").await.unwrap();
    gate.open();
    hold.receipt().await.unwrap();
    let both = futures::future::join(older.receipt(), newer.receipt());
    let both = tokio::time::timeout(Duration::from_secs(10), both).await;
    let (older, newer) = both.expect("both are told");
    assert_eq!(older.unwrap().cid, newer.unwrap().cid);
    assert_eq!(pds.count(PUT).await, 2, "one write for both");
}

/// The session ends while a record is on its way; somebody logs in again, in another process.
#[tokio::test]
async fn what_is_stuck_goes_on_when_new_tokens_are_in_the_store() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let put = repository.put();
    let (again, ended) = (
        Broken::default(),
        error(400, "ExpiredToken", "Token has expired"),
    );
    let refused = ended.clone();
    let by_token = move |request: &Request| {
        let token = request.headers["authorization"].to_str().unwrap();
        match token.ends_with("access-again") {
            true => wiremock::Respond::respond(&put, request),
            false => refused.clone(),
        }
    };
    pds.answers(pds.post(PUT), again.answer(repository.put(), by_token))
        .await;
    pds.answers(pds.post(REFRESH), ended).await;
    let tokens = Arc::new(TestStore::default());
    let builder = Session::builder().store(tokens.clone());
    let session = builder
        .login(pds.url(), ALICE, PASSWORD.into())
        .await
        .unwrap();
    let publisher = Publisher::temporary(session).unwrap();
    publisher.publish(message("while it lasts")).await.unwrap();

    again.mend();
    let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    let stuck = accepted.receipt().await.unwrap_err();
    assert!(matches!(stuck, PublishError::Stuck { .. }), "{stuck:?}");
    assert!(stuck.to_string().contains("log in again"), "{stuck}");
    let pending = waits(&mut accepted, |pending| pending.stuck).await;
    assert_eq!(pending.attempts, 1);

    let mut saved = publisher.session().saved();
    saved.access = jwt("access-again", 9000).into();
    saved.refresh = jwt("refresh-again", 7_776_000).into();
    *tokens.saved.lock().unwrap() = Some(saved);
    let signed_in = Instant::now();
    waits_no_more(&mut accepted).await;
    accepted.receipt().await.unwrap();
    assert!(
        signed_in.elapsed() < Duration::from_secs(10),
        "the store is looked at every two seconds"
    );
    assert_eq!(repository.len(), 2);
    assert_eq!(tokens.saves.load(Ordering::SeqCst), 1, "only the login's");
}
