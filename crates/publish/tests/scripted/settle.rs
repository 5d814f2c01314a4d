//! Answers that were lost: what became of the write is found out, and it is written once.

use std::time::Duration;

use atcomms_lexicon::cid_for_raw;
use atcomms_publish::store::State;
use atcomms_publish::{ErrorKind, PublishError};
use serde_json::json;
use wiremock::{Request, ResponseTemplate};

use crate::pds::{
    Broken, DELETE, GET, PUT, Pds, REV, Remembered, committed, error, found, message, message_uri,
    not_found, ok, tid_key, waits, waits_because,
};
use crate::repository::Repository;

/// Ways in which an answer is lost although the record was written.
pub(crate) fn losses() -> Vec<(&'static str, ResponseTemplate)> {
    vec![
        (
            "500",
            error(500, "InternalServerError", "Internal Server Error"),
        ),
        (
            "502 from a gateway",
            ResponseTemplate::new(502).set_body_raw("<html>", "text/html"),
        ),
        ("504", ResponseTemplate::new(504)),
        ("an empty 200", ResponseTemplate::new(200)),
        (
            "an HTML 200",
            ResponseTemplate::new(200).set_body_raw("<html>", "text/html"),
        ),
        (
            "an answer that comes too late",
            ok(json!({})).set_delay(Duration::from_secs(60)),
        ),
        (
            "an answer beyond all bounds",
            ok(json!({"uri": "x".repeat(9 << 20)})),
        ),
    ]
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_not_written_twice() {
    let all = losses();
    assert_eq!(all.len(), 7);
    let all = all.into_iter().map(async |(what, answer)| {
        let pds = Pds::start().await;
        let store = Remembered::default();
        let written = store.clone();
        let lost = move |request: &Request| {
            written.put(request);
            answer.clone()
        };
        pds.answers(pds.post(PUT), lost).await;
        pds.answers(pds.get(GET), store.get()).await;
        let publisher = pds.impatient(Duration::from_secs(2)).await;
        let receipt = publisher.publish(message("hi")).key(tid_key()).await;
        let receipt = receipt.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(receipt.uri, message_uri(&tid_key()));
        assert_eq!(receipt.rev, None, "{what}: the rev went with the answer");
        assert_eq!(
            pds.count(PUT).await,
            1,
            "{what}: it was there, and not sent again"
        );
    });
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn a_connection_that_broke_before_the_write_is_made_good() {
    let pds = Pds::start().await;
    pds.loses_first_answer(pds.post(PUT)).await;
    pds.commits().await;
    pds.answers(pds.get(GET), not_found()).await;
    let receipt = pds.publisher().await.publish(message("hi")).await.unwrap();
    assert_eq!(receipt.rev.unwrap().to_string(), REV);
    assert_eq!((pds.count(PUT).await, pds.count(GET).await), (2, 1));
    let requests = pds.requests(PUT).await;
    assert_eq!(
        requests[0].body, requests[1].body,
        "the same key, the same bytes, the same null"
    );
}

#[tokio::test]
async fn a_key_that_holds_another_record_is_taken() {
    let other = cid_for_raw(b"another").to_string();
    let race = error(400, "InvalidSwap", &format!("Record was at {other}"));
    let crash = error(500, "InternalServerError", "Internal Server Error");
    for (what, answer) in [("a lost race", race), ("a lost answer", crash)] {
        let pds = Pds::start().await;
        pds.answers(pds.post(PUT), answer).await;
        let uri = message_uri(&tid_key());
        pds.answers(pds.get(GET), found(uri.as_str(), &other)).await;
        let publisher = pds.publisher().await;
        let taken = publisher
            .publish(message("hi"))
            .key(tid_key())
            .await
            .unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::KeyTaken, "{what}: {taken}");
        assert!(taken.to_string().contains(&other), "{what}: {taken}");
        assert_eq!(
            pds.count(PUT).await,
            1,
            "{what}: it was not pushed over the other"
        );
    }
}

#[tokio::test]
async fn the_same_record_under_its_key_is_success() {
    let pds = Pds::start().await;
    let store = Remembered::default();
    let there = store.clone();
    let race = move |request: &Request| {
        there.put(request);
        error(400, "InvalidSwap", "Record was at what you sent")
    };
    pds.answers(pds.post(PUT), race).await;
    pds.answers(pds.get(GET), store.get()).await;
    let receipt = pds.publisher().await.publish(message("hi")).await.unwrap();
    assert_eq!(receipt.rev, None);
}

#[tokio::test]
async fn what_cannot_be_found_out_waits_and_is_written_once() {
    let pds = Pds::start().await;
    let publisher = pds.impatient(Duration::from_millis(500)).await;
    let broken = Broken::default();
    let down = || error(503, "NotReady", "");
    pds.answers(pds.post(PUT), broken.answer(down(), committed))
        .await;
    pds.answers(pds.get(GET), broken.answer(down(), not_found()))
        .await;
    let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    let pending = waits_because(&mut accepted, "getRecord").await;
    assert_eq!((pending.attempts, pending.stuck), (1, false), "{pending:?}");
    assert!(pending.retry_at.is_some(), "{pending:?}");
    assert_eq!(
        pds.count(PUT).await,
        1,
        "it is not sent again before it is known what became of it"
    );
    broken.mend();
    let receipt = accepted.receipt().await.unwrap();
    assert_eq!(receipt.rev.unwrap().to_string(), REV);
    assert_eq!(pds.count(PUT).await, 2);
}

#[tokio::test]
async fn a_pds_that_fails_again_and_again_is_asked_ever_less() {
    let pds = Pds::start().await;
    let broken = Broken::default();
    let failing = error(500, "InternalServerError", "");
    pds.answers(pds.post(PUT), broken.answer(failing, committed))
        .await;
    pds.answers(pds.get(GET), not_found()).await;
    let publisher = pds.publisher().await;
    let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    let began = waits_because(&mut accepted, "500").await.retry_at.unwrap();
    let second = waits(&mut accepted, |pending| pending.attempts == 2).await;
    let pause = second.retry_at.unwrap().unix_millis() - began.unix_millis();
    assert!(
        pause >= 2000,
        "the second pause is twice as long: {pause} ms"
    );
    assert!(!second.stuck, "nobody here can do anything");
    broken.mend();
    accepted.receipt().await.unwrap();
    assert_eq!(
        (pds.count(PUT).await, pds.count(GET).await),
        (3, 2),
        "it was read back before each time"
    );
}

#[tokio::test]
async fn a_plain_refusal_is_neither_read_back_nor_repeated() {
    let pds = Pds::start().await;
    pds.answers(
        pds.post(PUT),
        error(400, "InvalidRequest", "Invalid record: no"),
    )
    .await;
    let refused = pds
        .publisher()
        .await
        .publish(message("hi"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(
        refused.to_string().contains("Invalid record: no"),
        "{refused}"
    );
    assert_eq!((pds.count(PUT).await, pds.count(GET).await), (1, 0));
}

#[tokio::test]
async fn a_cid_that_is_not_ours_is_an_error() {
    let pds = Pds::start().await;
    let other = cid_for_raw(b"another").to_string();
    let altered = json!({"uri": "at://x", "cid": other, "commit": {"cid": other, "rev": REV}});
    pds.first(pds.post(PUT), ok(altered)).await;
    let publisher = pds.publisher().await;
    let wrong = publisher.publish(message("hi")).await.unwrap_err();
    assert!(
        matches!(wrong, PublishError::CidMismatch { .. }),
        "{wrong:?}"
    );
    assert!(
        wrong.to_string().contains(&other) && wrong.kind() == ErrorKind::Failed,
        "{wrong}"
    );
    let kept = publisher.store().entries(None, false).await.unwrap();
    let [kept] = kept.as_slice() else {
        panic!("{kept:?}")
    };
    assert_eq!(
        (kept.state, kept.found),
        (State::Failed, Some(cid_for_raw(b"another"))),
        "a person can look at it"
    );

    let odd = json!({"uri": "at://x", "cid": "no cid", "commit": {"cid": other, "rev": REV}});
    pds.answers(pds.post(PUT), ok(odd)).await;
    pds.answers(pds.get(GET), not_found()).await;
    let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    let pending = waits_because(&mut accepted, "no CID").await;
    assert!(!pending.stuck, "{pending:?}");
}

#[tokio::test]
async fn a_compare_and_swap_that_is_too_late_says_what_is_there() {
    let pds = Pds::start().await;
    let (expected, there) = (cid_for_raw(b"expected"), cid_for_raw(b"there"));
    pds.answers(pds.post(PUT), error(400, "InvalidSwap", ""))
        .await;
    let uri = message_uri(&tid_key());
    pds.first(pds.get(GET), found(uri.as_str(), &there.to_string()))
        .await;
    let publisher = pds.publisher().await;
    let put = || publisher.put(message("hi")).key(tid_key()).swap(expected);
    let late = put().await.unwrap_err();
    assert!(late.to_string().contains(&there.to_string()), "{late}");
    pds.answers(pds.get(GET), not_found()).await;
    let gone = put().await.unwrap_err();
    assert!(gone.to_string().contains("gone"), "{gone}");
    assert_eq!(gone.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn an_update_whose_answer_was_lost_is_settled_too() {
    let pds = Pds::start().await;
    pds.loses_first_answer(pds.post(PUT)).await;
    pds.answers(pds.post(PUT), committed).await;
    let before = cid_for_raw(b"before").to_string();
    pds.answers(pds.get(GET), found("at://x", &before)).await;
    let publisher = pds.publisher().await;
    let receipt = publisher.put(message("new")).key(tid_key()).await.unwrap();
    assert!(
        receipt.rev.is_some(),
        "the old record was still there, so it was sent again"
    );
    assert_eq!(pds.count(PUT).await, 2);
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_sent_again() {
    let pds = Pds::start().await;
    pds.loses_first_answer(pds.post(DELETE)).await;
    pds.answers(pds.post(DELETE), ok(json!({}))).await;
    let there = cid_for_raw(b"there").to_string();
    pds.answers(pds.get(GET), found("at://x", &there)).await;
    let deleted = pds
        .publisher()
        .await
        .delete(&message_uri(&tid_key()))
        .await
        .unwrap();
    assert_eq!(deleted.rev, None);
    assert_eq!(pds.count(DELETE).await, 2);
}

#[tokio::test]
async fn a_delete_that_was_done_is_not_sent_again() {
    let pds = Pds::start().await;
    pds.loses_first_answer(pds.post(DELETE)).await;
    pds.answers(pds.get(GET), not_found()).await;
    let publisher = pds.publisher().await;
    let deleted = publisher.delete(&message_uri(&tid_key())).await.unwrap();
    assert_eq!(deleted.rev, None);
    assert_eq!((pds.count(DELETE).await, pds.count(GET).await), (1, 1));
}

/// The PDS carries the write out after we have given it up: it is met when it is sent again.
#[tokio::test]
async fn a_write_that_is_carried_out_late_is_not_written_twice() {
    let pds = Pds::start().await;
    let repository = Repository::default();
    repository.serve(&pds).await;
    let late = ok(json!({})).set_delay(Duration::from_secs(60));
    pds.first(pds.post(PUT), late).await;
    pds.first(pds.get(GET), not_found()).await;
    // The first request's write, just before the second one comes.
    let race = Repository::but(repository.put(), error(400, "InvalidSwap", "Record was at"));
    pds.first(pds.post(PUT), race).await;
    let publisher = pds.impatient(Duration::from_millis(500)).await;
    let receipt = publisher.publish(message("hi")).await.unwrap();
    assert_eq!(receipt.rev, None);
    assert!(repository.has(receipt.uri.as_str()));
    assert!(repository.doubled().is_empty());
    assert_eq!((pds.count(PUT).await, pds.count(GET).await), (2, 2));
}

/// What was in the way is gone when it is looked at: it is written after all, and not in a loop.
#[tokio::test]
async fn a_race_that_leaves_nothing_is_run_again() {
    let pds = Pds::start().await;
    let repository = Repository::default();
    repository.serve(&pds).await;
    let race = error(400, "InvalidSwap", "Record was at another");
    pds.first_few(2, pds.post(PUT), race).await;
    let publisher = pds.publisher().await;
    let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
    let pending = waits_because(&mut accepted, "InvalidSwap").await;
    assert!(pending.retry_at.is_some(), "not at once: {pending:?}");
    let uri = accepted.receipt().await.unwrap().uri;
    assert!(repository.has(uri.as_str()));
    assert_eq!((pds.count(PUT).await, pds.count(GET).await), (3, 2));
}

#[tokio::test]
async fn a_conditional_delete_of_what_has_changed_or_is_gone() {
    let pds = Pds::start().await;
    let (expected, there) = (cid_for_raw(b"expected"), cid_for_raw(b"there"));
    pds.answers(pds.post(DELETE), error(400, "InvalidSwap", ""))
        .await;
    pds.first(pds.get(GET), found("at://x", &there.to_string()))
        .await;
    pds.answers(pds.get(GET), not_found()).await;
    let publisher = pds.publisher().await;
    let delete = || publisher.delete(&message_uri(&tid_key())).swap(expected);
    let late = delete().await.unwrap_err();
    let PublishError::SwapFailed { found, .. } = &late else {
        panic!("{late:?}")
    };
    assert_eq!(found.as_deref(), Some(&there));
    delete().await.expect("what is gone is deleted");
}
