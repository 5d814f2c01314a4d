//! What became of what was sent.

use atcomms_store::{Failed, Outcome, State, Store};

use crate::support::{self, NOW, accept, cid, create, delete, did, next, note, put, settle, texts};

fn failed() -> Outcome {
    Outcome::Failed(Failed {
        failure: "KeyTaken".to_owned(),
        reason: "another record is there".to_owned(),
        found: Some(cid(b"other")),
    })
}

#[tokio::test]
async fn written() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, note("x")).await;
    store
        .mark_sent(std::slice::from_ref(&entry), NOW)
        .await
        .unwrap();
    let outcome = Outcome::Written {
        rev: Some("3lkabcdefgh2k".parse().unwrap()),
        commit: Some(cid(b"commit")),
    };
    settle(&store, &entry, outcome).await;
    let settled = store.entry(entry.id).await.unwrap().unwrap();
    assert_eq!(settled.state, State::Written);
    assert_eq!(settled.rev.unwrap().to_string(), "3lkabcdefgh2k");
    assert_eq!(settled.commit, Some(cid(b"commit")));
    assert_eq!(settled.settled_at, Some(NOW + 1));
    assert_eq!(settled.doubt_since, None);
    assert!(next(&store).await.is_empty());
    // What is settled stays as it is.
    settle(&store, &entry, failed()).await;
    assert_eq!(store.entry(entry.id).await.unwrap(), Some(settled));
}

#[tokio::test]
async fn failed_for_good() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, note("x")).await;
    settle(&store, &entry, failed()).await;
    let [entry] = &store.entries(Some(&did()), false).await.unwrap()[..] else {
        panic!("a failed one is shown with those that wait")
    };
    assert_eq!(entry.state, State::Failed);
    assert_eq!(entry.failure.as_deref(), Some("KeyTaken"));
    assert_eq!(entry.reason.as_deref(), Some("another record is there"));
    assert_eq!(entry.found, Some(cid(b"other")));
    assert!(next(&store).await.is_empty());
}

#[tokio::test]
async fn not_done() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, note("x")).await;
    store
        .mark_sent(std::slice::from_ref(&entry), NOW)
        .await
        .unwrap();
    let outcome = Outcome::NotDone {
        reason: "slow down".to_owned(),
        not_before: NOW + 10,
    };
    settle(&store, &entry, outcome).await;
    assert!(next(&store).await.is_empty(), "not before its time");
    let due = store.next(&did(), NOW + 10, 10).await.unwrap();
    let [entry] = &due[..] else {
        panic!("still pending")
    };
    assert_eq!((entry.attempts, entry.doubt_since), (1, None));
    assert_eq!(entry.reason.as_deref(), Some("slow down"));
}

#[tokio::test]
async fn in_doubt() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, note("x")).await;
    store
        .mark_sent(std::slice::from_ref(&entry), NOW)
        .await
        .unwrap();
    let outcome = Outcome::InDoubt {
        reason: "no answer".to_owned(),
        not_before: NOW + 10,
    };
    settle(&store, &entry, outcome).await;
    assert!(next(&store).await.is_empty(), "not before its time");
    let due = store.next(&did(), NOW + 10, 10).await.unwrap();
    let [entry] = &due[..] else {
        panic!("still pending")
    };
    assert_eq!(entry.doubt_since, Some(NOW));
    assert_eq!(entry.reason.as_deref(), Some("no answer"));
}

#[tokio::test]
async fn what_depends_on_a_failed_creation_fails_with_it() {
    let store = Store::temporary().unwrap();
    let creation = accept(&store, create("a", "create")).await;
    let change = accept(&store, put("a", "change")).await;
    let removal = accept(&store, delete("a")).await;
    accept(&store, put("b", "another key")).await;
    accept(&store, create("a", "once more")).await;
    accept(&store, put("a", "and its change")).await;
    let dependents = settle(&store, &creation, failed()).await;
    assert_eq!(dependents, [change.id, removal.id]);
    for id in dependents {
        let entry = store.entry(id).await.unwrap().unwrap();
        assert_eq!(entry.state, State::Failed);
        assert_eq!(entry.failure.as_deref(), Some("NotWritten"));
        assert!(entry.reason.unwrap().contains("another record is there"));
    }
    assert_eq!(texts(&next(&store).await), ["another key", "once more"]);
    assert_eq!(
        store.waiting(&did()).await.unwrap().entries,
        3,
        "what depends on the second creation waits for that one"
    );
}

#[tokio::test]
async fn a_change_that_failed_takes_nothing_with_it() {
    let store = Store::temporary().unwrap();
    let change = accept(&store, put("a", "change")).await;
    store
        .mark_sent(std::slice::from_ref(&change), NOW)
        .await
        .unwrap();
    accept(&store, put("a", "newer")).await;
    assert!(settle(&store, &change, failed()).await.is_empty());
    assert_eq!(texts(&next(&store).await), ["newer"]);
}

#[tokio::test]
async fn several_at_once() {
    let store = Store::temporary().unwrap();
    let one = accept(&store, note("1")).await;
    let two = accept(&store, note("2")).await;
    let outcomes = vec![(one.clone(), support::written()), (two, failed())];
    store.settle(outcomes, NOW).await.unwrap();
    let states: Vec<State> = store
        .entries(None, true)
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.state)
        .collect();
    assert_eq!(states, [State::Written, State::Failed]);
}
