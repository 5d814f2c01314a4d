//! What a PDS may answer where it is asked what is there: after a lost answer, and before pruning.

use std::time::Duration;

use atcomms_lexicon::{AtUri, cid_for_raw};
use atcomms_publish::{ErrorKind, PublishError, Publisher, SessionBuilder};
use futures::future::join_all;
use serde_json::{Value as Json, json};
use wiremock::{Request, Respond, ResponseTemplate};

use crate::odd_answers::{Means, odd_answers};
use crate::pds::{
    ALICE, Broken, DELETE, GET, LIST, PUT, Pds, assert_no_secrets, error, message, ok, one_by_one,
    pass_time, shown, waits, waits_because,
};
use crate::raw::{Cut, Raw};
use crate::repository::Repository;

/// A PDS that has written a record and lost the answer.
async fn after_a_loss() -> (Pds, Repository) {
    let (pds, repository) = (Pds::start().await, Repository::default());
    repository.serve(&pds).await;
    let lost = Repository::but(repository.put(), ResponseTemplate::new(504));
    pds.first(pds.post(PUT), lost).await;
    (pds, repository)
}

/// A publisher that goes through another server.
async fn through(raw: &Raw, pds: &Pds, timeout: Duration) -> Publisher {
    let mut saved = pds.session().await.saved();
    saved.pds = raw.url();
    let session = SessionBuilder::default().timeout(timeout).resume(saved);
    Publisher::temporary(session.unwrap()).unwrap()
}

#[tokio::test]
async fn what_cannot_be_read_back_is_not_sent_again() {
    let odd = |cid: Json| ok(json!({"uri": "at://x", "cid": cid, "value": {}}));
    let mut answers = odd_answers();
    answers.push(("no CID", odd(json!(null)), Means::Waits, "no CID"));
    answers.push(("an odd CID", odd(json!("x")), Means::Waits, "no CID"));
    assert!(answers.len() > 12);
    for stuck in [false, true] {
        let chosen = answers.iter().filter(|(what, _, means, _)| {
            *what != "429 with retry-after" && (*means == Means::Stuck) == stuck
        });
        let all = chosen.map(async |(what, odd, _, expected)| {
            let (pds, repository) = after_a_loss().await;
            let broken = Broken::default();
            let get = broken.answer(odd.clone(), repository.get());
            pds.answers(pds.get(GET), get).await;
            let publisher = pds.publisher().await;
            let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
            let pending = waits_because(&mut accepted, expected).await;
            assert_eq!((pending.stuck, pending.attempts), (stuck, 1), "{what}");
            broken.mend();
            if stuck {
                pass_time(Duration::from_secs(31)).await;
                publisher.flush().await;
            }
            let receipt = accepted.receipt().await;
            let receipt = receipt.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(receipt.rev, None, "{what}");
            assert_eq!(pds.count(PUT).await, 1, "{what}");
        });
        match stuck {
            false => drop(join_all(all).await),
            true => one_by_one(all).await,
        }
    }
}

#[tokio::test]
async fn a_reading_back_without_an_end_is_given_up_and_made_again() {
    let all = [Cut::silent(200), Cut::endless(200), Cut::silent(503)];
    let all = all.into_iter().map(async |cut| {
        let (pds, _repository) = after_a_loss().await;
        let raw = Raw::before(&pds, GET, cut.clone()).await;
        let publisher = through(&raw, &pds, Duration::from_millis(700)).await;
        let mut accepted = publisher.publish(message("hi")).enqueue().await.unwrap();
        waits_because(&mut accepted, GET).await;
        assert!(cut.spoken() > 0);
        cut.mend();
        accepted.receipt().await.unwrap();
        assert_eq!(pds.count(PUT).await, 1);
    });
    join_all(all).await;
}

/// A record that cannot be read back holds up no other.
#[tokio::test]
async fn what_cannot_be_read_back_does_not_hold_up_others() {
    let odd = [
        error(500, "InternalServerError", ""),
        error(400, "InvalidRequest", "no"),
    ];
    let all = odd.map(async |odd| {
        let (pds, repository) = after_a_loss().await;
        pds.answers(pds.get(GET), odd).await;
        let publisher = pds.publisher().await;
        let mut poison = publisher.publish(message("hi")).enqueue().await.unwrap();
        waits_because(&mut poison, GET).await;
        publisher.publish(message("ho")).await.unwrap();
        assert_eq!(repository.len(), 2);
        waits(&mut poison, |pending| {
            pending.attempts == 1 && !pending.stuck
        })
        .await;
    });
    join_all(all).await;
}

/// What listRecords answers for the messages, and that there is nothing else.
fn lists(page: Json) -> impl Respond + 'static {
    move |request: &Request| {
        let messages = request
            .url
            .query_pairs()
            .any(|(_, value)| value == "agent.comms.message");
        match messages {
            true => ok(&page),
            false => ok(json!({"records": []})),
        }
    }
}

fn expired(key: &str) -> Json {
    let value = json!({"$type": "agent.comms.message", "expiresAt": "2020-01-01T00:00:00.000Z"});
    let cid = cid_for_raw(key.as_bytes()).to_string();
    json!({"uri": format!("at://{ALICE}/agent.comms.message/{key}"), "cid": cid, "value": value})
}

#[tokio::test]
async fn what_is_not_listed_is_not_pruned() {
    let answers = odd_answers();
    assert!(answers.len() > 10);
    let all = answers.into_iter().map(async |(what, odd, _, expected)| {
        let pds = Pds::start().await;
        let broken = Broken::default();
        let page = lists(json!({"records": [expired("3k2yiron5vc23")]}));
        pds.answers(pds.get(LIST), broken.answer(odd, page)).await;
        pds.answers(pds.post(DELETE), ok(json!({}))).await;
        let publisher = pds.publisher().await;
        let failed = publisher.prune().await.unwrap_err();
        assert!(failed.to_string().contains(expected), "{what}: {failed}");
        assert!(
            matches!(failed, PublishError::Record(_)),
            "{what}: {failed:?}"
        );
        assert_no_secrets(&shown(&failed));
        let waiting = publisher.budget().await.unwrap().waiting;
        assert_eq!(waiting, 0, "{what}: nothing is deleted on a guess");

        broken.mend();
        let pruned = publisher.prune().await.unwrap();
        let [delete] = pruned.deletes.as_slice() else {
            panic!("{what}: {pruned:?}")
        };
        delete.receipt().await.unwrap();
        assert_eq!(pds.count(DELETE).await, 1);
    });
    join_all(all).await;
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let all = [
        (Cut::silent(200), ErrorKind::TimedOut),
        (Cut::endless(200), ErrorKind::Unavailable),
    ];
    let all = all.into_iter().map(async |(cut, kind)| {
        let pds = Pds::start().await;
        let raw = Raw::before(&pds, LIST, cut.clone()).await;
        // Long enough to read eight megabytes, and then no more.
        let publisher = through(&raw, &pds, Duration::from_secs(3)).await;
        let failed = publisher.prune().await.unwrap_err();
        assert_eq!(failed.kind(), kind, "{failed}");
        assert_eq!(cut.spoken(), 1, "whoever prunes tries again, or not");
    });
    join_all(all).await;
}

#[tokio::test]
async fn a_list_that_begins_anew_ends() {
    let pds = Pds::start().await;
    let records: Vec<Json> = ["3k2yiron5vc23", "3k2yiron5vd23"].map(expired).into();
    let page = json!({"cursor": "again", "records": records});
    pds.answers(pds.get(LIST), lists(page)).await;
    let publisher = pds.publisher().await;
    let pruning = tokio::time::timeout(Duration::from_secs(20), publisher.prune());
    let pruned = pruning.await.expect("it ends").unwrap();
    let mut uris: Vec<&AtUri> = pruned.deletes.iter().map(|delete| delete.uri()).collect();
    uris.dedup();
    assert_eq!(uris.len(), pruned.deletes.len(), "each once");
}
