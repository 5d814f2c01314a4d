//! Events that come alone, on a word or with a proof of their own: each once, and none in the way of what is
//! verified.

use atcomms_lexicon::cid_for_cbor;
use atcomms_store::{Commit, Event};

use crate::inbox::{ALICE, BOB, commit, take_in};
use crate::support::Place;

/// The k-th operation of the n-th commit of a repository, alone.
fn alone(of: &str, n: u64, k: u64) -> Commit {
    let mut commit = commit(of, n, false);
    commit.alone = true;
    for event in &mut commit.events {
        event.rkey = format!("m{n}-{k}").parse().expect("a key");
    }
    commit
}

/// The n-th commit, verified, with these of its operations.
fn whole(of: &str, n: u64, ops: impl IntoIterator<Item = u64>) -> Commit {
    let events = ops.into_iter().flat_map(|k| alone(of, n, k).events);
    Commit {
        events: events.collect(),
        ..commit(of, n, true)
    }
}

#[tokio::test]
async fn the_operations_of_a_commit_come_one_by_one_and_each_once() {
    let place = Place::new();
    let store = place.open();
    let consumer = store.consumer("worker", 1).await.unwrap();
    for (expected, commit, why) in [
        (1, alone(ALICE, 2, 1), "the first"),
        (1, alone(ALICE, 2, 2), "another of the same commit"),
        (0, alone(ALICE, 2, 1), "the first again"),
        (0, alone(ALICE, 1, 1), "an older one"),
        (1, alone(BOB, 1, 1), "somebody else's"),
        (1, alone(ALICE, 3, 1), "a newer one"),
        (0, alone(ALICE, 2, 3), "an older one, now"),
    ] {
        assert_eq!(
            take_in(&store, &consumer, vec![commit]).await,
            expected,
            "{why}"
        );
    }
    drop(store);
    let store = place.open();
    assert_eq!(
        take_in(&store, &consumer, vec![alone(ALICE, 3, 1)]).await,
        0
    );
    assert_eq!(
        store.heads(&consumer, 9).await.unwrap(),
        [],
        "no head has moved"
    );
}

#[tokio::test]
async fn a_verified_commit_brings_what_was_not_taken_just_so() {
    let place = Place::new();
    let store = place.open();
    let consumer = store.consumer("worker", 1).await.unwrap();
    let mut lie = alone(ALICE, 1, 2);
    lie.events[0].cid = Some(cid_for_cbor(b"a lie"));
    let before = vec![alone(ALICE, 1, 1), lie, alone(ALICE, 5, 1)];
    assert_eq!(take_in(&store, &consumer, before).await, 3);
    let commit = whole(ALICE, 1, [1, 2, 3]);
    assert_eq!(take_in(&store, &consumer, vec![commit.clone()]).await, 2);
    let events = store.inbox(&consumer, false, 0, 9).await.unwrap();
    let keys: Vec<_> = events
        .iter()
        .map(|event| event.event.rkey.as_str())
        .collect();
    assert_eq!(keys, ["m1-1", "m1-2", "m5-1", "m1-2", "m1-3"]);
    assert_eq!(take_in(&store, &consumer, vec![commit]).await, 0);
    assert_eq!(
        take_in(&store, &consumer, vec![whole(ALICE, 5, [1, 2])]).await,
        1
    );
    assert_eq!(
        take_in(&store, &consumer, vec![alone(ALICE, 5, 3)]).await,
        0,
        "its head is there"
    );
}

#[tokio::test]
async fn what_a_relay_vouches_for_comes_once_however_it_comes() {
    let place = Place::new();
    let store = place.open();
    let consumer = store.consumer("worker", 1).await.unwrap();
    let relayed = |n, ops| Commit {
        head: None,
        ..whole(ALICE, n, ops)
    };
    for (expected, commit, why) in [
        (1, alone(ALICE, 1, 1), "the first"),
        (1, relayed(1, [1, 2]), "the other one"),
        (0, alone(ALICE, 1, 2), "that again"),
        (0, relayed(1, [1, 2]), "all again"),
        (2, relayed(2, [1, 2]), "a newer one"),
        (0, alone(ALICE, 2, 1), "one of it"),
    ] {
        let taken = take_in(&store, &consumer, vec![commit]).await;
        assert_eq!(taken, expected, "{why}");
    }
}

#[tokio::test]
async fn what_is_remembered_of_a_repository_is_bounded() {
    let place = Place::new();
    let store = place.open();
    let consumer = store.consumer("worker", 1).await.unwrap();
    let commits = (0..500).map(|n| alone(ALICE, n, 0)).collect();
    assert_eq!(take_in(&store, &consumer, commits).await, 500);
    let rows = |store: atcomms_store::Store| async move {
        let rows = atcomms_store::rusqlite::Connection::open(store.path()).unwrap();
        rows.query_row("SELECT count(*) FROM heard", [], |row| row.get::<_, u64>(0))
            .unwrap()
    };
    assert_eq!(rows(store.clone()).await, 257);
    // All of one commit stay, however many they are.
    let commits = (0..300).map(|k| alone(ALICE, 1000, k)).collect();
    assert_eq!(take_in(&store, &consumer, commits).await, 300);
    let again: Vec<Event> = (0..300)
        .flat_map(|k| alone(ALICE, 1000, k).events)
        .collect();
    let again = Commit {
        events: again,
        ..alone(ALICE, 1000, 0)
    };
    assert_eq!(take_in(&store, &consumer, vec![again]).await, 0);
    assert_eq!(rows(store).await, 300);
}
