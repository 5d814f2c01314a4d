//! Records that come while a request is under way go together in the next one: what a PDS may answer to
//! that, and what becomes of each.

use std::time::Duration;

use atcomms_lexicon::cid_for_raw;
use atcomms_publish::{Accepted, ErrorKind, PublishError, Publisher};
use futures::future::join_all;
use serde_json::{Value as Json, json};
use wiremock::{Request, Respond, ResponseTemplate};

use crate::odd_answers::{Means, odd_answers};
use crate::pds::{
    APPLY, Broken, GET, Gate, PUT, Pds, REV, batch, error, message, not_found, ok, one_by_one,
    pass_time, result, waits_because,
};
use crate::repository::{Repository, text};

/// Records that go in one batch: they are accepted while an earlier one is under way.
async fn together(pds: &Pds, publisher: &Publisher, texts: &[String]) -> Vec<Accepted> {
    let gate = Gate::default();
    let repository = Repository::default();
    pds.first(pds.post(PUT), gate.before(repository.put()))
        .await;
    let first = publisher.publish(message("first")).enqueue().await.unwrap();
    gate.arrived().await;
    let mut accepted = Vec::new();
    for text in texts {
        accepted.push(publisher.publish(message(text)).enqueue().await.unwrap());
    }
    gate.open();
    first.receipt().await.unwrap();
    accepted
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("number {i}")).collect()
}

/// How many writes the batches had that a PDS was sent.
async fn sizes(pds: &Pds) -> Vec<usize> {
    let batches = pds.requests(APPLY).await;
    batches.iter().map(|request| batch(request).len()).collect()
}

#[tokio::test]
async fn what_comes_meanwhile_goes_in_one_commit_in_its_order() {
    let pds = Pds::start().await;
    pds.commits().await;
    let publisher = pds.publisher().await;
    let accepted = together(&pds, &publisher, &texts(3)).await;
    for one in &accepted {
        let receipt = one.receipt().await.unwrap();
        assert_eq!(receipt.rev.unwrap().to_string(), REV);
    }
    let requests = pds.requests(APPLY).await;
    assert_eq!(requests.len(), 1);
    let body: Json = requests[0].body_json().unwrap();
    let keys: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["repo", "writes"], "nothing of `validate`");
    let writes = batch(&requests[0]);
    for (i, (write, one)) in writes.iter().zip(&accepted).enumerate() {
        assert_eq!(write["$type"], "com.atproto.repo.applyWrites#create");
        assert_eq!(text(&write["value"]), format!("number {i}"));
        assert_eq!(write["rkey"], one.uri().rkey().unwrap().as_str());
    }
    assert_eq!(writes.len(), 3);
}

/// Nothing was written: all stay pending, and are written once when the PDS is mended.
#[tokio::test]
async fn each_odd_answer_to_a_batch_is_waited_out_or_told() {
    let answers = odd_answers();
    assert!(answers.len() > 10);
    for stuck in [false, true] {
        let chosen = answers.iter().filter(|(what, _, means, _)| {
            let tested_elsewhere = *what == "429 with retry-after"
                || *what == "other JSON"
                || *means == Means::Refused;
            !tested_elsewhere && (*means == Means::Stuck) == stuck
        });
        let all = chosen.map(async |(what, odd, _, expected)| {
            let (pds, broken) = (Pds::start().await, Broken::default());
            let repository = Repository::default();
            repository.serve(&pds).await;
            let meets = broken.answer(odd.clone(), repository.apply());
            pds.answers(pds.post(APPLY), meets).await;
            let publisher = pds.impatient(Duration::from_secs(5)).await;
            let mut accepted = together(&pds, &publisher, &texts(3)).await;
            for one in &mut accepted {
                let pending = waits_because(one, expected).await;
                assert_eq!((pending.stuck, pending.attempts), (stuck, 1), "{what}");
            }
            broken.mend();
            if stuck {
                pass_time(Duration::from_secs(31)).await;
                publisher.flush().await;
            }
            for one in &accepted {
                let receipt = one.receipt().await;
                receipt.unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            assert_eq!(repository.len(), 3, "{what}");
            assert!(repository.doubled().is_empty(), "{what}: written once");
        });
        match stuck {
            false => drop(join_all(all).await),
            true => one_by_one(all).await,
        }
    }
}

/// All was written, and the answer was lost: it is found by reading back.
#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_not_written_twice() {
    let all = crate::settle::losses();
    assert_eq!(all.len(), 7);
    let all = all.into_iter().map(async |(what, answer)| {
        let pds = Pds::start().await;
        let repository = Repository::default();
        repository.serve(&pds).await;
        let lost = Repository::but(repository.apply(), answer);
        pds.answers(pds.post(APPLY), lost).await;
        let publisher = pds.impatient(Duration::from_secs(2)).await;
        for one in together(&pds, &publisher, &texts(3)).await {
            let receipt = one.receipt().await;
            let receipt = receipt.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(receipt.rev, None, "{what}: the rev went with the answer");
        }
        assert_eq!(sizes(&pds).await, [3], "{what}: it was not sent again");
        assert_eq!(repository.len(), 3, "{what}");
    });
    join_all(all).await;
}

#[tokio::test]
async fn a_wrong_cid_in_a_batch_is_the_failure_of_that_one() {
    let pds = Pds::start().await;
    let altered = cid_for_raw(b"altered");
    let alters = move |request: &Request| {
        let mut results: Vec<Json> = batch(request).iter().map(result).collect();
        results[1]["cid"] = altered.to_string().into();
        ok(json!({"commit": {"cid": "x", "rev": REV}, "results": results}))
    };
    pds.answers(pds.post(APPLY), alters).await;
    let publisher = pds.publisher().await;
    let accepted = together(&pds, &publisher, &texts(3)).await;
    accepted[0].receipt().await.unwrap();
    let wrong = accepted[1].receipt().await.unwrap_err();
    assert!(
        matches!(&wrong, PublishError::CidMismatch { got, .. } if **got == altered),
        "{wrong:?}"
    );
    accepted[2].receipt().await.unwrap();

    let pds = Pds::start().await;
    let repository = Repository::default();
    repository.serve(&pds).await;
    let unreadable = ok(json!({"results": [{"cid": "no cid"}, {"cid": "no cid"}]}));
    let odd = Repository::but(repository.apply(), unreadable);
    pds.answers(pds.post(APPLY), odd).await;
    let publisher = pds.publisher().await;
    for one in together(&pds, &publisher, &texts(2)).await {
        one.receipt().await.expect("it was read back");
    }
    assert_eq!(sizes(&pds).await, [2]);
}

/// An answer that does not say what was stored is not believed: what is there is read back.
#[tokio::test]
async fn an_answer_with_fewer_results_than_writes_is_checked() {
    for keep in [0, 1] {
        let pds = Pds::start().await;
        let repository = Repository::default();
        repository.serve(&pds).await;
        let write = repository.apply();
        let short = move |request: &Request| {
            write.respond(request);
            // The last ones: their places in the answer are not those in the request.
            let results: Vec<Json> = batch(request).iter().rev().take(keep).map(result).collect();
            ok(json!({"commit": {"cid": "x", "rev": REV}, "results": results}))
        };
        pds.answers(pds.post(APPLY), short).await;
        let publisher = pds.publisher().await;
        for one in together(&pds, &publisher, &texts(3)).await {
            one.receipt().await.unwrap();
        }
        assert_eq!(pds.count(GET).await, 3, "each was read back");
        assert_eq!(sizes(&pds).await, [3], "none was sent again");
    }
}

#[tokio::test]
async fn a_pds_that_says_yes_and_does_nothing_is_not_asked_in_a_loop() {
    let pds = Pds::start().await;
    let nothing = ok(json!({"commit": {"cid": "x", "rev": REV}}));
    pds.answers(pds.post(APPLY), nothing).await;
    pds.answers(pds.get(GET), not_found()).await;
    let publisher = pds.publisher().await;
    let mut accepted = together(&pds, &publisher, &texts(2)).await;
    for one in &mut accepted {
        let pending = waits_because(one, "without saying").await;
        assert_eq!(pending.attempts, 1);
        assert!(pending.retry_at.is_some(), "{pending:?}");
    }
    assert_eq!(sizes(&pds).await, [2]);
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_sent_in_halves_and_one_record_fails() {
    let xrpc = || error(413, "PayloadTooLargeError", "request entity too large");
    let proxy = || ResponseTemplate::new(413).set_body_raw("<html>Too Large", "text/html");
    let bare = || ResponseTemplate::new(413);
    let all = [
        ("the PDS's", xrpc()),
        ("a proxy's", proxy()),
        ("a bare one", bare()),
    ];
    let all = all.into_iter().map(async |(what, too_large)| {
        let pds = Pds::start().await;
        let repository = Repository::default();
        repository.serve(&pds).await;
        let (write, refusal) = (repository.apply(), too_large.clone());
        let at_most_two = move |request: &Request| match batch(request).len() {
            0..=2 => write.respond(request),
            _ => refusal.clone(),
        };
        pds.answers(pds.post(APPLY), at_most_two).await;
        let publisher = pds.publisher().await;
        for one in together(&pds, &publisher, &texts(7)).await {
            let receipt = one.receipt().await;
            receipt.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        assert_eq!(repository.len(), 7, "{what}");
        assert!(repository.doubled().is_empty(), "{what}");
        let sizes = sizes(&pds).await;
        assert_eq!(sizes[..3], [7, 4, 2], "{what}: halved, and halved again");

        let pds = Pds::start().await;
        pds.answers(pds.post(PUT), too_large).await;
        let publisher = pds.publisher().await;
        let refused = publisher.publish(message("hi")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{what}: {refused:?}");
        assert!(
            refused.to_string().contains("larger than"),
            "{what}: {refused}"
        );
        assert_eq!(pds.count(PUT).await, 1, "{what}: it will not get smaller");
    });
    join_all(all).await;
}

#[tokio::test]
async fn a_record_that_is_refused_fails_alone() {
    let refusals = [
        (400, "InvalidRequest"),
        (400, "InvalidSwap"),
        (400, "BlobNotFound"),
        (413, "PayloadTooLargeError"),
        (501, "MethodNotImplemented"),
    ];
    let all = refusals.into_iter().map(async |(status, name)| {
        for culprit in ["number 0", "number 2", "number 5"] {
            let (pds, repository) = (Pds::start().await, Repository::default());
            let odd = error(status, name, "because");
            let broken = Broken::default();
            repository.serve_but(&pds, culprit, odd, &broken).await;
            let publisher = pds.publisher().await;
            let accepted = together(&pds, &publisher, &texts(6)).await;
            for (mut one, text) in accepted.into_iter().zip(texts(6)) {
                if text != culprit {
                    one.receipt().await.unwrap();
                } else if name == "InvalidSwap" {
                    // Nothing is there, by the same PDS's word.
                    waits_because(&mut one, name).await;
                } else {
                    let refused = one.receipt().await.unwrap_err();
                    assert!(refused.to_string().contains(name), "{refused}");
                    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused:?}");
                }
            }
            assert_eq!(
                repository.len(),
                5,
                "{name} for {culprit}: the others are there"
            );
            assert!(repository.doubled().is_empty());
        }
    });
    join_all(all).await;
}

#[tokio::test]
async fn a_record_on_which_the_pds_fails_is_retried_alone() {
    let opaque = error(500, "InternalServerError", "Internal Server Error");
    let all = ["number 0", "number 3"].map(async |culprit| {
        let (pds, repository) = (Pds::start().await, Repository::default());
        let broken = Broken::default();
        repository
            .serve_but(&pds, culprit, opaque.clone(), &broken)
            .await;
        let publisher = pds.publisher().await;
        let accepted = together(&pds, &publisher, &texts(6)).await;
        let mut late = None;
        for (one, text) in accepted.into_iter().zip(texts(6)) {
            match text == culprit {
                true => late = Some(one),
                false => drop(one.receipt().await.unwrap()),
            }
        }
        let mut late = late.unwrap();
        waits_because(&mut late, "500").await;
        assert_eq!(repository.len(), 5, "the others are there");
        broken.mend();
        late.receipt().await.unwrap();
        assert!(repository.doubled().is_empty());
    });
    join_all(all).await;
}

/// A PDS, or a gateway, for which a batch is too much may never answer it.
#[tokio::test]
async fn a_batch_that_is_never_answered_is_sent_in_halves() {
    let gateway = ResponseTemplate::new(504);
    let silence = ok(json!({})).set_delay(Duration::from_secs(60));
    let all = [gateway, silence].into_iter().map(async |too_much| {
        let pds = Pds::start().await;
        let repository = Repository::default();
        repository.serve(&pds).await;
        let write = repository.apply();
        let at_most_two = move |request: &Request| match batch(request).len() {
            0..=2 => write.respond(request),
            _ => too_much.clone(),
        };
        pds.answers(pds.post(APPLY), at_most_two).await;
        let publisher = pds.impatient(Duration::from_millis(500)).await;
        for one in together(&pds, &publisher, &texts(4)).await {
            one.receipt().await.unwrap();
        }
        assert_eq!(sizes(&pds).await[..2], [4, 2]);
        assert!(repository.doubled().is_empty());
    });
    join_all(all).await;
}

/// The PDS carries out a batch after we have given it up: it is met when it is sent again.
#[tokio::test]
async fn a_batch_that_is_carried_out_late_is_not_written_twice() {
    let pds = Pds::start().await;
    let repository = Repository::default();
    repository.serve(&pds).await;
    pds.first(pds.post(APPLY), ResponseTemplate::new(504)).await;
    pds.first_few(4, pds.get(GET), not_found()).await;
    // What the first request was for, just before the second one comes.
    let late = Repository::but(
        repository.apply(),
        error(500, "InternalServerError", "Internal Server Error"),
    );
    pds.first(pds.post(APPLY), late).await;
    let publisher = pds.publisher().await;
    for one in together(&pds, &publisher, &texts(4)).await {
        one.receipt().await.unwrap();
    }
    assert!(repository.doubled().is_empty());
    assert_eq!(repository.len(), 4);
    assert_eq!(sizes(&pds).await, [4, 2]);
}
