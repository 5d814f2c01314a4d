//! Requests and answers, where something else than the obvious happens.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atcomms::lexicon::{
    AtUri, Datetime, Payload, Request, Response, StrongRef, Value, cid_for_cbor, derived_key,
};
use atcomms::subscribe::From;
use atcomms::{Agent, Job, Outcome, RequestError, Server, TaskError};
use atcomms_devnet::Devnet;
use futures::StreamExt;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough for an answer on the devnet, in which nothing takes a tenth of it.
const NO_ANSWER: Duration = Duration::from_secs(3);

async fn agent(net: &Devnet, name: &str) -> Agent {
    let account = net.create_account(name).await.expect("an account");
    let builder = Agent::builder().plc(net.plc_url().parse().expect("a URL"));
    let builder = builder.pds(account.pds.parse().expect("a URL"));
    let login = builder.login(account.handle, account.password.into());
    login.await.expect("a login")
}

/// Answers `count` requests, and counts how often the handler ran.
fn serve(agent: &Agent, runs: &Arc<AtomicUsize>) -> Server {
    let runs = runs.clone();
    let handler = move |_: Job| {
        let run = i64::try_from(runs.fetch_add(1, Ordering::SeqCst)).unwrap_or(i64::MAX);
        async move { Ok::<_, TaskError>(Value::from(run)) }
    };
    let serving = agent.serve("count").from(From::Start).handle(handler);
    serving.expect("it starts")
}

async fn outcome(server: &mut Server) -> Outcome {
    let served = timeout(PATIENCE, server.next()).await.expect("in time");
    served.expect("it goes on").outcome
}

#[tokio::test]
async fn an_answer_to_another_version_of_the_request_is_none() {
    let net = Devnet::start().await.expect("a network");
    let (alice, bob) = (agent(&net, "alice").await, agent(&net, "bob").await);
    let mut requests = bob.watch().expect("a source").start().expect("it starts");
    requests.connected().await;
    let asking = tokio::spawn({
        let (alice, bob) = (alice.clone(), bob.did().clone());
        async move { alice.request(bob, "count").deadline(NO_ANSWER).await }
    });
    let asked: AtUri = loop {
        let item = timeout(PATIENCE, requests.next()).await.expect("in time");
        let delivery = item.expect("it goes on").expect("it can be read");
        if delivery.author == *alice.did() {
            break delivery.uri;
        }
    };
    let other = StrongRef::new(asked, cid_for_cbor(b"what alice never asked"));
    let answer = Response::ok(bob.did(), other, Payload::untyped(Value::from(7)));
    bob.publish(answer).await.expect("it is published");
    let outcome = asking.await.expect("it ends");
    assert!(
        matches!(outcome, Err(RequestError::TimedOut { .. })),
        "an answer names the very request that it answers: {outcome:?}"
    );
}

#[tokio::test]
async fn what_was_answered_is_not_done_again() {
    let net = Devnet::start().await.expect("a network");
    let (alice, bob) = (agent(&net, "alice").await, agent(&net, "bob").await);
    let runs = Arc::new(AtomicUsize::new(0));
    let mut first = serve(&bob, &runs);
    let asked = alice.request(bob.did().clone(), "count").deadline(PATIENCE);
    let answer = asked.await.expect("an answer");
    assert_eq!(
        answer.uri.rkey().expect("a key"),
        derived_key(&answer.request)
    );
    assert!(matches!(outcome(&mut first).await, Outcome::Answered(_)));
    first.shutdown().await;

    let mut second = serve(&bob, &runs);
    let again = outcome(&mut second).await;
    assert!(matches!(again, Outcome::AlreadyAnswered), "{again:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1, "the handler ran once");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_done() {
    let net = Devnet::start().await.expect("a network");
    let (alice, bob) = (agent(&net, "alice").await, agent(&net, "bob").await);
    let mut request = Request::new(alice.did(), "count").assignee(bob.did());
    request.deadline = Some(Datetime::from_unix_millis(1_700_000_000_000));
    alice.publish(request).await.expect("it is published");
    let runs = Arc::new(AtomicUsize::new(0));
    let mut server = serve(&bob, &runs);
    let outcome = outcome(&mut server).await;
    assert!(matches!(outcome, Outcome::Expired), "{outcome:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 0, "the handler did not run");
}
