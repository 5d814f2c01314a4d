//! The inbox: what is taken in once, handed out in order, and acknowledged by who has it.

use atcomms_lexicon::{Cid, Did, Tid, cid_for_cbor};
use atcomms_store::{
    AccountChange, Change, Commit, Consumer, Event, Intake, LeaseError, LeaseToken, Received,
    RepositoryHead, Store, Terms,
};

pub(crate) const ALICE: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
pub(crate) const BOB: &str = "did:plc:44ybard66vv44zksje25o7dz";

pub(crate) const TERMS: Terms = Terms {
    count: 10,
    max_in_flight: 10,
    ack_wait: 100,
    max_deliver: 2,
    strict: false,
};

fn cid() -> Cid {
    cid_for_cbor(b"\xa0")
}

fn did(did: &str) -> Did {
    did.parse().expect("a DID")
}

/// The n-th commit of a repository, with one event.
pub(crate) fn commit(of: &str, n: u64, verified: bool) -> Commit {
    let rev = Tid::from_parts(1_700_000_000_000_000 + n, 0);
    let head = RepositoryHead {
        did: did(of),
        rev,
        data: cid(),
    };
    Commit {
        head: verified.then_some(head),
        events: vec![Event {
            did: did(of),
            collection: "agent.comms.message".parse().expect("an NSID"),
            rkey: format!("m{n}").parse().expect("a key"),
            change: Change::Create,
            rev,
            cid: Some(cid()),
            commit: Some(cid()),
            record: Some(b"\xa0".to_vec()),
            trust: Some("verified".to_owned()),
            continuity: Some("proven".to_owned()),
            undecodable: None,
            live: true,
            source: "ws://localhost:1".to_owned(),
            seq: 1,
        }],
        ..Commit::default()
    }
}

pub(crate) async fn take_in(store: &Store, consumer: &Consumer, commits: Vec<Commit>) -> u64 {
    let cursors = Vec::new();
    let intake = Intake {
        commits,
        cursors,
        ..Intake::default()
    };
    store
        .take_in(consumer, intake, 1)
        .await
        .expect("it is taken in")
}

pub(crate) async fn lease(
    store: &Store,
    consumer: &Consumer,
    token: i64,
    terms: Terms,
    now: i64,
) -> Vec<Received> {
    let leased = store.lease(consumer, LeaseToken(token), terms, now).await;
    leased.expect("it is handed out")
}

pub(crate) fn keys(events: &[Received]) -> Vec<&str> {
    let keys = events.iter().map(|event| event.event.rkey.as_str());
    keys.collect()
}

pub(crate) async fn stage() -> (Store, Consumer) {
    let store = Store::temporary().expect("a store");
    let consumer = store.consumer("tests", 1).await.expect("a consumer");
    (store, consumer)
}

#[tokio::test]
async fn a_commit_is_taken_in_once_and_a_relays_word_hides_no_verified_one() {
    let (store, consumer) = stage().await;
    for (of, n, verified, new) in [
        (ALICE, 5, true, 1),
        (ALICE, 5, true, 0),
        (ALICE, 4, true, 0),
        (ALICE, 5, false, 0),
        (ALICE, 6, false, 1),
        (ALICE, 6, false, 0),
        (ALICE, 6, true, 1),
        (BOB, 1, false, 1),
        (BOB, 1, false, 0),
        (BOB, 2, true, 1),
    ] {
        let taken = take_in(&store, &consumer, vec![commit(of, n, verified)]).await;
        assert_eq!(taken, new, "{of} {n}, verified: {verified}");
    }
    let other = store.consumer("other", 1).await.expect("a consumer");
    let taken = take_in(&store, &other, vec![commit(BOB, 1, false)]).await;
    assert_eq!(taken, 1, "another consumer has a story of its own");
}

#[tokio::test]
async fn who_had_it_too_long_has_no_say() {
    let (store, consumer) = stage().await;
    take_in(&store, &consumer, vec![commit(ALICE, 1, true)]).await;
    let first = lease(&store, &consumer, 1, TERMS, 1000).await;
    let id = first[0].id;
    let pending = store.pending(&consumer, 1000).await.expect("it is read");
    assert_eq!(
        (pending.due, pending.out, pending.next),
        (false, true, Some(1100))
    );
    assert!(lease(&store, &consumer, 2, TERMS, 1099).await.is_empty());
    let second = lease(&store, &consumer, 2, TERMS, 1100).await;
    assert_eq!((second[0].id, second[0].attempts), (id, 2));
    let late = store.ack(id, LeaseToken(1)).await;
    assert!(matches!(late, Err(LeaseError::Lost)), "{late:?}");
    store.ack(id, LeaseToken(2)).await.expect("it is its own");
    let twice = store.ack(id, LeaseToken(2)).await;
    assert!(matches!(twice, Err(LeaseError::Lost)), "{twice:?}");
}

#[tokio::test]
async fn what_is_given_back_unseen_does_not_count() {
    let (store, consumer) = stage().await;
    take_in(&store, &consumer, vec![commit(ALICE, 1, true)]).await;
    for token in 0..5 {
        let taken = lease(&store, &consumer, token, TERMS, 1000).await;
        assert_eq!(taken[0].attempts, 1);
        let given = store.give_back(vec![taken[0].id], LeaseToken(token));
        given.await.expect("it is given back");
    }
    for (token, now) in [(6, 2000), (7, 3000)] {
        assert_eq!(lease(&store, &consumer, token, TERMS, now).await.len(), 1);
    }
    assert!(lease(&store, &consumer, 8, TERMS, 4000).await.is_empty());
    let dead = store.inbox(&consumer, true, 0, 10).await.expect("the dead");
    assert_eq!(keys(&dead), ["m1"], "seen twice, and never done");
}

#[tokio::test]
async fn what_comes_back_is_in_its_old_place_and_no_more_are_out_than_may_be() {
    let (store, consumer) = stage().await;
    let commits = (1..=4).map(|n| commit(ALICE, n, true)).collect();
    take_in(&store, &consumer, commits).await;
    let terms = Terms {
        count: 2,
        max_in_flight: 3,
        ..TERMS
    };
    let first = lease(&store, &consumer, 1, terms, 1000).await;
    assert_eq!(keys(&first), ["m1", "m2"]);
    // Put off to the distant past: that is at once.
    let put_off = store.put_off(first[1].id, LeaseToken(1), -5).await;
    put_off.expect("it is put off");
    let second = lease(&store, &consumer, 2, terms, 1000).await;
    assert_eq!(keys(&second), ["m2", "m3"]);
    assert!(lease(&store, &consumer, 3, terms, 1000).await.is_empty());
    let pending = store.pending(&consumer, 1000).await.expect("it is read");
    assert!(pending.due && pending.out, "one waits for room");
    store
        .ack(first[0].id, LeaseToken(1))
        .await
        .expect("it is done");
    assert_eq!(
        keys(&lease(&store, &consumer, 4, terms, 1000).await),
        ["m4"]
    );
}

#[tokio::test]
async fn strict_hands_out_the_first_of_each_repository() {
    let (store, consumer) = stage().await;
    let mut commits: Vec<Commit> = (1..=3).map(|n| commit(ALICE, n, true)).collect();
    commits.push(commit(BOB, 9, true));
    take_in(&store, &consumer, commits).await;
    let strict = Terms {
        strict: true,
        max_deliver: 1,
        ..TERMS
    };
    let first = lease(&store, &consumer, 1, strict, 1000).await;
    assert_eq!(keys(&first), ["m1", "m9"]);
    assert!(lease(&store, &consumer, 2, strict, 1050).await.is_empty());
    store
        .ack(first[1].id, LeaseToken(1))
        .await
        .expect("it is done");
    assert!(lease(&store, &consumer, 3, strict, 1050).await.is_empty());
    let next = lease(&store, &consumer, 4, strict, 1100).await;
    assert_eq!(keys(&next), ["m2"], "the one before it is dead");
}

#[tokio::test]
async fn what_comes_after_paused_events_waits_behind_them() {
    let store = Store::temporary().unwrap();
    let consumer = store.consumer("test", 0).await.unwrap();
    let take_in = async |commits, accounts| {
        let intake = Intake {
            commits,
            accounts,
            ..Intake::default()
        };
        store.take_in(&consumer, intake, 0).await.unwrap()
    };
    let keys = async |token| {
        let leased = store.lease(&consumer, LeaseToken(token), TERMS, 0).await;
        let leased = leased.unwrap().into_iter();
        let keys = leased.map(|received| (received.event.did, received.event.rkey.to_string()));
        keys.collect::<Vec<_>>()
    };
    let pause = vec![(did(ALICE), AccountChange::Pause)];
    take_in(vec![commit(ALICE, 1, true)], pause).await;
    take_in(
        vec![commit(ALICE, 2, true), commit(BOB, 3, true)],
        Vec::new(),
    )
    .await;
    assert_eq!(
        keys(1).await,
        [(did(BOB), "m3".to_owned())],
        "the second would come before the first"
    );
    let resume = vec![(did(ALICE), AccountChange::Resume)];
    take_in(vec![commit(ALICE, 4, true)], resume).await;
    let all = ["m1", "m2", "m4"].map(|key| (did(ALICE), key.to_owned()));
    assert_eq!(keys(2).await, all);
}
