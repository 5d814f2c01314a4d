//! What a PDS may answer to an upload, for a record that was accepted with an attachment.

use std::time::Duration;

use atcomms_lexicon::cid_for_raw;
use atcomms_publish::{Attachment, ErrorKind, PublishError, Publisher, SessionBuilder};
use futures::future::join_all;
use wiremock::ResponseTemplate;

use crate::odd_answers::{Means, odd_answers};
use crate::pds::{
    Broken, Gate, PUT, Pds, UPLOAD, error, message, one_by_one, pass_time, waits, waits_because,
};
use crate::raw::{Cut, Raw};
use crate::repository::Repository;
use crate::upload::{blob, stored};

fn attached() -> Attachment {
    Attachment::bytes("attached").name("attached.txt")
}

#[tokio::test]
async fn each_odd_answer_to_an_upload_is_waited_out_or_told() {
    let answers = odd_answers();
    assert!(answers.len() > 10);
    for stuck in [false, true] {
        let chosen = answers.iter().filter(|(what, _, means, _)| {
            *what != "429 with retry-after" && (*means == Means::Stuck) == stuck
        });
        let all = chosen.map(async |(what, odd, means, expected)| {
            let (pds, broken) = (Pds::start().await, Broken::default());
            let repository = Repository::default();
            repository.serve(&pds).await;
            pds.answers(pds.post(UPLOAD), broken.answer(odd.clone(), stored))
                .await;
            let publisher = pds.publisher().await;
            let publish = publisher.publish(message("hi")).attach(attached());
            let mut accepted = publish.enqueue().await.unwrap();
            if *means == Means::Refused {
                let refused = accepted.receipt().await.unwrap_err();
                assert!(refused.to_string().contains(expected), "{what}: {refused}");
                assert!(
                    matches!(refused, PublishError::Attachment { .. }),
                    "{what}: {refused:?}"
                );
                return;
            }
            let pending = waits_because(&mut accepted, expected).await;
            assert_eq!(pending.stuck, stuck, "{what}");
            assert_eq!(
                pds.count(PUT).await,
                0,
                "{what}: no record without its blob"
            );
            broken.mend();
            if stuck {
                pass_time(Duration::from_secs(31)).await;
                publisher.flush().await;
            }
            let receipt = accepted.receipt().await;
            receipt.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((repository.len(), pds.count(PUT).await), (1, 1), "{what}");
        });
        match stuck {
            false => drop(join_all(all).await),
            true => one_by_one(all).await,
        }
    }
}

#[tokio::test]
async fn an_answer_to_an_upload_without_an_end_is_given_up_and_it_is_made_again() {
    let all = [Cut::silent(200), Cut::endless(200), Cut::silent(503)];
    let all = all.into_iter().map(async |cut| {
        let (pds, repository) = (Pds::start().await, Repository::default());
        repository.serve(&pds).await;
        pds.answers(pds.post(UPLOAD), stored).await;
        let raw = Raw::before(&pds, UPLOAD, cut.clone()).await;
        let mut saved = pds.session().await.saved();
        saved.pds = raw.url();
        let builder = SessionBuilder::default().timeout(Duration::from_millis(700));
        let publisher = Publisher::temporary(builder.resume(saved).unwrap()).unwrap();
        let publish = publisher.publish(message("hi")).attach(attached());
        let mut accepted = publish.enqueue().await.unwrap();
        waits_because(&mut accepted, UPLOAD).await;
        assert!(cut.spoken() > 0);
        cut.mend();
        accepted.receipt().await.unwrap();
        assert_eq!(repository.len(), 1);
    });
    join_all(all).await;
}

#[tokio::test]
async fn an_upload_that_fails_does_not_hold_up_what_has_none() {
    let opaque = error(500, "InternalServerError", "Internal Server Error");
    let gateway = ResponseTemplate::new(504);
    let all = [opaque, gateway].into_iter().map(async |odd| {
        let (pds, repository) = (Pds::start().await, Repository::default());
        repository.serve(&pds).await;
        pds.answers(pds.post(UPLOAD), odd).await;
        let publisher = pds.publisher().await;
        let publish = publisher.publish(message("hi")).attach(attached());
        let mut poison = publish.enqueue().await.unwrap();
        waits_because(&mut poison, UPLOAD).await;
        for text in ["one", "two", "three"] {
            publisher.publish(message(text)).await.unwrap();
        }
        assert_eq!(repository.len(), 3);
        waits(&mut poison, |pending| !pending.stuck).await;
    });
    join_all(all).await;
}

#[tokio::test]
async fn a_blob_that_the_pds_does_not_keep_is_not_uploaded_for_ever() {
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    pds.answers(
        pds.post(PUT),
        error(400, "BlobNotFound", "Could not find blob: bafk"),
    )
    .await;
    let publisher = pds.publisher().await;
    let lost = publisher.publish(message("hi")).attach(attached()).await;
    let lost = lost.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Refused, "{lost:?}");
    assert!(lost.to_string().contains("BlobNotFound"), "{lost}");
    assert_eq!((pds.count(UPLOAD).await, pds.count(PUT).await), (4, 4));
}

/// Failures of another kind do not count as uploads.
#[tokio::test]
async fn a_blob_that_is_lost_after_failures_is_uploaded_again() {
    let pds = Pds::start().await;
    let repository = Repository::default();
    repository.serve(&pds).await;
    pds.answers(pds.post(UPLOAD), stored).await;
    let opaque = error(500, "InternalServerError", "Internal Server Error");
    pds.first_few(2, pds.post(PUT), opaque).await;
    let collected = error(400, "BlobNotFound", "Could not find blob: bafk");
    pds.first_few(3, pds.post(PUT), collected).await;
    let publisher = pds.publisher().await;
    let publish = publisher.publish(message("hi")).attach(attached());
    publish.await.unwrap();
    assert_eq!((pds.count(UPLOAD).await, pds.count(PUT).await), (4, 6));
}

/// What the PDS says of the same blob may change from one upload to the next: the record follows.
#[tokio::test]
async fn a_blob_that_comes_back_as_another_type_changes_the_record() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let cid = cid_for_raw(b"attached");
    pds.first(pds.post(UPLOAD), blob(cid, 8, "text/x-first"))
        .await;
    pds.answers(pds.post(UPLOAD), blob(cid, 8, "text/x-second"))
        .await;
    let collected = error(400, "BlobNotFound", "Could not find blob: bafk");
    pds.first(pds.post(PUT), collected).await;
    let publisher = pds.publisher().await;
    let publish = publisher.publish(message("hi")).attach(attached());
    publish
        .await
        .expect("the CID is that of the record with the second type");
    let written = pds.requests(PUT).await.remove(1);
    let written = String::from_utf8(written.body).unwrap();
    assert!(written.contains("text/x-second") && !written.contains("text/x-first"));
}

/// Whoever gives a record up while its attachment is on its way has given it up.
#[tokio::test]
async fn what_is_given_up_during_its_upload_is_not_written() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let gate = Gate::default();
    pds.answers(pds.post(UPLOAD), gate.before(stored)).await;
    let publisher = pds.publisher().await;
    let publish = publisher.publish(message("hi")).attach(attached());
    let accepted = publish.enqueue().await.unwrap();
    gate.arrived().await;
    assert!(publisher.store().give_up(accepted.id()).await.unwrap());
    gate.open();
    let given_up = accepted.receipt().await.unwrap_err();
    assert!(
        matches!(given_up, PublishError::GivenUp { .. }),
        "{given_up:?}"
    );
    publisher.flush().await;
    assert_eq!((repository.len(), pds.count(PUT).await), (0, 0));
}

#[tokio::test]
async fn a_shutdown_waits_for_one_upload_and_not_for_all() {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let gate = Gate::default();
    pds.answers(pds.post(UPLOAD), gate.before(stored)).await;
    let publisher = pds.publisher().await;
    let mut publish = publisher.publish(message("hi"));
    for bytes in ["one", "two", "three"] {
        publish = publish.attach(Attachment::bytes(bytes));
    }
    let accepted = publish.enqueue().await.unwrap();
    gate.arrived().await;
    let shutdown = publisher.shutdown();
    let opened = async { gate.open() };
    futures::join!(shutdown, opened);
    assert_eq!((pds.count(UPLOAD).await, pds.count(PUT).await), (1, 0));
    let closed = accepted.receipt().await.unwrap_err();
    assert!(matches!(closed, PublishError::Closed { .. }), "{closed:?}");
}
