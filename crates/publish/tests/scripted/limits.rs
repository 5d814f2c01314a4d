//! Rate limits: no request before the window opens, no loop where the PDS names no time or one that is
//! over, and no points for what was never sent.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use atcomms_publish::store::Pool;
use atcomms_publish::{Attachment, Publisher, Session};
use wiremock::{MockBuilder, Request, Respond, ResponseTemplate};

use crate::pds::{
    APPLY, GET, Gate, PUT, Pds, REFRESH, UPLOAD, error, message, waits, waits_because,
};
use crate::repository::Repository;
use crate::upload::stored;

/// Refuses the first request, and remembers when each came.
#[derive(Clone, Default)]
struct Refusing(Arc<Mutex<Vec<Instant>>>);

impl Refusing {
    async fn first(
        &self,
        pds: &Pds,
        mock: MockBuilder,
        refusal: ResponseTemplate,
        good: impl Respond + 'static,
    ) {
        let times = self.0.clone();
        let answer = move |request: &Request| {
            let mut times = times.lock().unwrap();
            times.push(Instant::now());
            match times.len() {
                1 => refusal.clone(),
                _ => good.respond(request),
            }
        };
        pds.answers(mock, answer).await;
    }

    /// How long it was from the first request to the second.
    fn pause(&self) -> Duration {
        let times = self.0.lock().unwrap();
        assert_eq!(times.len(), 2, "refused, and carried out");
        times[1] - times[0]
    }
}

/// Refusals, with the pause that they ask for, in milliseconds.
fn refusals() -> Vec<(&'static str, ResponseTemplate, u64)> {
    let limited = || error(429, "RateLimitExceeded", "Rate Limit Exceeded");
    let bucket = || {
        limited()
            .insert_header("ratelimit-limit", "5000")
            .insert_header("ratelimit-remaining", "0")
            .insert_header("ratelimit-policy", "5000;w=3600")
    };
    vec![
        ("without headers", limited(), 500),
        (
            "retry-after",
            limited().insert_header("retry-after", "2"),
            2000,
        ),
        (
            "a bucket and retry-after",
            bucket().insert_header("retry-after", "2"),
            2000,
        ),
        (
            "retry-after of nothing",
            limited().insert_header("retry-after", "0"),
            500,
        ),
        (
            "retry-after of no number",
            limited().insert_header("retry-after", "soon"),
            500,
        ),
        (
            "a reset by a clock that is late",
            bucket().insert_header("ratelimit-reset", "1000"),
            500,
        ),
        (
            "an HTML page",
            ResponseTemplate::new(429).set_body_raw("<html>", "text/html"),
            500,
        ),
    ]
}

#[tokio::test]
async fn a_refusal_by_rate_is_waited_for_as_long_as_it_says() {
    let all = refusals();
    assert_eq!(all.len(), 7);
    let all = all.into_iter().map(async |(what, refusal, least)| {
        let (put, upload, read) = (refusal.clone(), refusal.clone(), refusal);
        let put = async {
            let (pds, repository) = (Pds::start().await, Repository::default());
            let refusing = Refusing::default();
            let good = repository.put();
            refusing.first(&pds, pds.post(PUT), put, good).await;
            let publisher = pds.publisher().await;
            publisher.publish(message("hi")).await.unwrap();
            assert_eq!(repository.len(), 1, "{what}");
            refusing
        };
        let upload = async {
            let (pds, repository) = (Pds::start().await, Repository::default());
            repository.serve(&pds).await;
            let refusing = Refusing::default();
            refusing.first(&pds, pds.post(UPLOAD), upload, stored).await;
            let publisher = pds.publisher().await;
            let publish = publisher.publish(message("hi"));
            publish.attach(Attachment::bytes("x")).await.unwrap();
            refusing
        };
        let read = async {
            let (pds, repository) = (Pds::start().await, Repository::default());
            repository.serve(&pds).await;
            let lost = Repository::but(repository.put(), ResponseTemplate::new(504));
            pds.first(pds.post(PUT), lost).await;
            let refusing = Refusing::default();
            let good = repository.get();
            refusing.first(&pds, pds.get(GET), read, good).await;
            let publisher = pds.publisher().await;
            publisher.publish(message("hi")).await.unwrap();
            assert_eq!(pds.count(PUT).await, 1, "{what}");
            refusing
        };
        let (put, upload, read) = futures::join!(put, upload, read);
        for (method, refusing) in [(PUT, put), (UPLOAD, upload), (GET, read)] {
            let (least, pause) = (Duration::from_millis(least), refusing.pause());
            assert!(pause >= least, "{what}, {method}: {pause:?}");
            // A second more at most by the jitter, and much for a slow machine.
            let most = least + Duration::from_secs(10);
            assert!(pause < most, "{what}, {method}: {pause:?}");
        }
    });
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn a_batch_that_is_refused_by_rate_waits_as_a_whole() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let refusing = Refusing::default();
    let limited = error(429, "RateLimitExceeded", "").insert_header("retry-after", "2");
    refusing
        .first(&pds, pds.post(APPLY), limited, repository.apply())
        .await;
    let gate = Gate::default();
    pds.first(pds.post(PUT), gate.before(repository.put()))
        .await;
    let publisher = pds.publisher().await;
    let mut all = vec![publisher.publish(message("first")).enqueue().await.unwrap()];
    gate.arrived().await;
    for _ in 0..3 {
        all.push(publisher.publish(message("more")).enqueue().await.unwrap());
    }
    gate.open();
    let mut batch = all.split_off(1);
    for one in &mut batch {
        let pending = waits_because(one, "rate limit").await;
        assert!(!pending.stuck && pending.retry_at.is_some(), "{pending:?}");
    }
    let mut late = publisher.publish(message("late")).enqueue().await.unwrap();
    let told = waits_because(&mut late, "rate limit").await;
    assert_eq!(told.attempts, 0, "who comes later is told, and not tried");
    batch.push(late);
    for one in batch {
        one.receipt().await.unwrap();
    }
    assert!(refusing.pause() >= Duration::from_secs(2));
}

/// The points that are counted as used in each window, where the PDS has not told of any.
async fn used(publisher: &Publisher) -> Vec<u64> {
    let limits = publisher.budget().await.unwrap().limits;
    let writes = limits.iter().filter(|limit| limit.pool == Pool::Writes);
    writes.map(|limit| limit.used).collect()
}

#[tokio::test]
async fn what_was_never_sent_costs_nothing() {
    // Nobody is there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut saved = Pds::start().await.session().await.saved();
    saved.pds = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let publisher = Publisher::temporary(Session::resume(saved).unwrap()).unwrap();
    let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    waits(&mut accepted, |pending| pending.attempts >= 2).await;
    assert_eq!(used(&publisher).await, [0, 0]);

    // The session has ended.
    let pds = Pds::start().await;
    let expired = error(400, "ExpiredToken", "Token has expired");
    pds.answers(pds.post(PUT), expired.clone()).await;
    pds.answers(pds.post(REFRESH), expired).await;
    let publisher = pds.publisher().await;
    publisher.publish(message("hi")).await.unwrap_err();
    assert_eq!(used(&publisher).await, [0, 0]);
}

#[tokio::test]
async fn what_was_refused_or_lost_is_counted() {
    let pds = Pds::start().await;
    pds.answers(pds.post(PUT), error(400, "InvalidRequest", "no"))
        .await;
    let publisher = pds.publisher().await;
    publisher.publish(message("hi")).await.unwrap_err();
    assert_eq!(
        used(&publisher).await,
        [2, 2],
        "a refused write costs points"
    );

    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    pds.first(
        pds.post(PUT),
        Repository::but(repository.put(), ResponseTemplate::new(504)),
    )
    .await;
    let publisher = pds.publisher().await;
    publisher.publish(message("hi")).await.unwrap();
    assert_eq!(
        used(&publisher).await,
        [2, 2],
        "so does one whose answer was lost"
    );
}

/// A refusal to upload anything in the next hour.
pub(crate) fn no_more_uploads() -> ResponseTemplate {
    error(429, "RateLimitExceeded", "Rate Limit Exceeded")
        .insert_header("ratelimit-limit", "1000")
        .insert_header("ratelimit-remaining", "0")
        .insert_header("ratelimit-policy", "1000;w=86400")
        .insert_header("retry-after", "3600")
}

/// Uploads that are used up for today hold up only what has attachments.
#[tokio::test]
async fn used_up_uploads_do_not_hold_up_what_has_none() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    pds.answers(pds.post(UPLOAD), no_more_uploads()).await;
    let publisher = pds.publisher().await;
    let mut waiting = Vec::new();
    for bytes in ["one", "two"] {
        let publish = publisher
            .publish(message(bytes))
            .attach(Attachment::bytes(bytes));
        waiting.push(publish.enqueue().await.unwrap());
    }
    for one in &mut waiting {
        let pending = waits_because(one, "rate limit").await;
        assert!(!pending.stuck, "{pending:?}");
    }
    publisher.publish(message("plain")).await.unwrap();
    assert_eq!(repository.len(), 1);
    assert_eq!(pds.count(UPLOAD).await, 1, "what is used up is not tried");
}
