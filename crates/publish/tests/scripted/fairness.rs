//! One record in trouble holds up no other, and nobody waits for ever: not who waits for a receipt, not
//! who flushes or shuts down, not who comes later.

use std::task::Poll;
use std::time::Duration;

use atcomms_lexicon::encode;
use atcomms_publish::store::{Action, Draft, Key};
use atcomms_publish::{Attachment, Progress, PublishError, Publisher, Store};
use futures::FutureExt;
use rusqlite::Connection;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::limits::no_more_uploads;
use crate::pds::{
    ALICE, Broken, PUT, Pds, UPLOAD, error, message, ok, tid_key, waits, waits_because,
};
use crate::repository::Repository;

#[tokio::test]
async fn a_record_on_which_the_pds_fails_or_hangs_holds_up_no_other() {
    let opaque = error(500, "InternalServerError", "Internal Server Error");
    let gateway = ResponseTemplate::new(504);
    let hangs = ok(json!({})).set_delay(Duration::from_secs(60));
    let all = [opaque, gateway, hangs].into_iter().map(async |odd| {
        let (pds, repository) = (Pds::start().await, Repository::default());
        let broken = Broken::default();
        repository.serve_but(&pds, "poison", odd, &broken).await;
        let publisher = pds.impatient(Duration::from_millis(300)).await;
        let mut poison = publisher
            .publish(message("poison"))
            .enqueue()
            .await
            .unwrap();
        // Even where it is met again and again.
        for attempts in 1..=3 {
            waits(&mut poison, |pending| pending.attempts >= attempts).await;
            let publish = publisher.publish(message("good")).into_future();
            let good = tokio::time::timeout(Duration::from_secs(8), publish).await;
            good.expect("it is not held up").unwrap();
        }
        assert_eq!(repository.len(), 3);
        let kept = publisher.store().entry(poison.id()).await.unwrap().unwrap();
        assert_eq!(kept.failure, None, "it is not given up either: {kept:?}");
    });
    futures::future::join_all(all).await;
}

/// Polls a future so many times, each time when it can go on; true if it was over by then.
async fn polled<T>(future: &mut (impl Future<Output = T> + Unpin), times: usize) -> bool {
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.poll_unpin(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A writer may be gone before its record is handed over, or right after: it is accepted or it is not,
/// and what was accepted is written once.
#[tokio::test]
async fn a_caller_who_gives_up_at_any_point_leaves_no_half_record() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let publisher = pds.publisher().await;
    let (mut accepted, mut over) = (0, 0);
    for round in 0..60 {
        let once = format!("number {round}");
        let publish = || publisher.publish(message(&once)).once(once.clone());
        let mut dropped = publish().into_future();
        let was_over = polled(&mut dropped, round % 6).await;
        drop(dropped);
        publisher.flush().await;
        let entries = publisher.store().entries(None, true).await.unwrap();
        let known = entries
            .iter()
            .any(|entry| entry.once.as_ref() == Some(&once));
        over += usize::from(was_over);
        accepted += usize::from(known && !was_over);
        publish().await.unwrap();
        assert_eq!(repository.len(), round + 1, "written, and once");
    }
    assert!(over > 0, "it was dropped up to its end");
    assert!(accepted > 0, "and between its acceptance and its end");
    assert!(repository.doubled().is_empty());
}

/// The one who waits may be slower than the one who sends.
#[tokio::test]
async fn a_receipt_comes_to_who_begins_to_wait_after_the_write() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store.sqlite3")).unwrap();
    let publisher = Publisher::new(pds.session().await, store.clone());
    let mut accepting = Box::pin(publisher.publish(message("hi")).enqueue());
    // The record is handed to the store, which cannot take it in while somebody else writes.
    let another = Connection::open(store.path()).unwrap();
    another.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..20 {
        assert!(futures::poll!(&mut accepting).is_pending());
        assert_eq!(store.entries(None, true).await.unwrap(), []);
    }
    another.execute_batch("ROLLBACK").unwrap();
    let written = async {
        while repository.len() == 0 {
            publisher.flush().await;
        }
        publisher.flush().await;
    };
    let written = tokio::time::timeout(Duration::from_secs(20), written).await;
    written.expect("it was handed over");
    let accepted = accepting.await.unwrap();
    let receipt = tokio::time::timeout(Duration::from_secs(10), accepted.receipt()).await;
    receipt.expect("it is told").unwrap();
}

/// Something waits for its time; what is put into the outbox by another process goes meanwhile.
#[tokio::test]
async fn what_others_put_into_the_outbox_is_not_left_until_something_else_is_due() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    pds.answers(pds.post(UPLOAD), no_more_uploads()).await;
    let publisher = pds.publisher().await;
    let publish = publisher.publish(message("in an hour"));
    let publish = publish.attach(Attachment::bytes("x"));
    let mut waiting = publish.enqueue().await.unwrap();
    waits_because(&mut waiting, "rate limit").await;
    publisher.flush().await;
    // Accepted by somebody who tells nobody.
    let encoded = encode(&message("quiet")).unwrap();
    let draft = Draft {
        did: ALICE.parse().unwrap(),
        collection: "agent.comms.message".parse().unwrap(),
        key: Key::Is(tid_key()),
        action: Action::Create,
        swap: None,
        cid: Some(encoded.cid),
        record: Some(encoded.cbor),
        blobs: Vec::new(),
        copied: Vec::new(),
        once: None,
        priority: 0,
    };
    publisher.store().accept(draft, 0).await.unwrap();
    let written = async {
        while repository.len() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let written = tokio::time::timeout(Duration::from_secs(5), written).await;
    written.expect("the outbox is looked at every two seconds");
}

#[tokio::test]
async fn a_flush_and_a_shutdown_end_while_the_pds_is_away() {
    let down = error(503, "NotReady", "starting");
    let silent = ok(json!({})).set_delay(Duration::from_secs(60));
    let all = [down, silent].into_iter().map(async |odd| {
        let pds = Pds::start().await;
        pds.answers(pds.post(PUT), odd).await;
        let publisher = pds.impatient(Duration::from_millis(300)).await;
        let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
        let patience = Duration::from_secs(10);
        let flush = tokio::time::timeout(patience, publisher.flush()).await;
        flush.expect("there is nothing that can be sent");
        waits(&mut accepted, |pending| pending.attempts > 0).await;
        let shutdown = tokio::time::timeout(patience, publisher.shutdown()).await;
        shutdown.expect("the attempt under way ends");
        let closed = accepted.receipt().await.unwrap_err();
        assert!(matches!(closed, PublishError::Closed { .. }), "{closed:?}");
        assert!(matches!(accepted.progress(), Progress::Pending(_)));

        let late = publisher.publish(message("late")).into_future();
        let late = tokio::time::timeout(patience, late).await;
        let late = late
            .expect("nobody sends any more, which is told")
            .unwrap_err();
        assert!(matches!(late, PublishError::Closed { .. }), "{late:?}");
        let flush = tokio::time::timeout(patience, publisher.flush()).await;
        flush.expect("nor is there anything to flush");
        let waiting = publisher.budget().await.unwrap().waiting;
        assert_eq!(waiting, 2, "both are kept for the next publisher");
    });
    futures::future::join_all(all).await;
}

/// The publisher may be dropped while its future is awaited.
#[tokio::test]
async fn a_publish_that_is_awaited_keeps_its_publisher() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let publish = {
        let publisher = pds.publisher().await;
        publisher.publish(message("hi")).into_future()
    };
    publish.await.unwrap();
    let put = {
        let publisher = pds.publisher().await;
        let put = publisher.put(message("hi"));
        put.key(tid_key()).into_future()
    };
    put.await.unwrap();
    assert_eq!(repository.len(), 2);
}

/// Progress tells of one record what is about it, and not what is about another.
#[tokio::test]
async fn a_reason_is_told_to_whom_it_concerns() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    let opaque = error(500, "InternalServerError", "Internal Server Error");
    let broken = Broken::default();
    repository.serve_but(&pds, "poison", opaque, &broken).await;
    let publisher = pds.publisher().await;
    let mut poison = publisher
        .publish(message("poison"))
        .enqueue()
        .await
        .unwrap();
    let pending = waits_because(&mut poison, "500").await;
    assert_eq!(pending.attempts, 1);
    assert!(pending.retry_at.is_some(), "{pending:?}");
    publisher.publish(message("good")).await.unwrap();
    let pending = waits_because(&mut poison, "500").await;
    assert!(pending.attempts > 0, "{pending:?}");
}
