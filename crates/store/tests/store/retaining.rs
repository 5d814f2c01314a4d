//! Asking for some collections only, and retention.

use atcomms_lexicon::cid_for_cbor;
use atcomms_store::{
    Change, Commit, Consumer, Known, LeaseToken, Only, Retained, Retention, Store,
};

use crate::inbox::{ALICE, BOB, TERMS, commit, keys, lease, stage, take_in};

/// The same in another collection.
fn of_collection(mut commit: Commit, collection: &str) -> Commit {
    for event in &mut commit.events {
        event.collection = collection.parse().expect("an NSID");
    }
    commit
}

#[tokio::test]
async fn who_asks_for_one_collection_leaves_the_others() {
    let (store, consumer) = stage().await;
    let broadcast = |n| of_collection(commit(ALICE, n, true), "agent.comms.broadcast");
    let like = of_collection(commit(BOB, 1, true), "agent.comms.messageV2");
    let commits = vec![broadcast(1), commit(ALICE, 2, true), broadcast(3), like];
    take_in(&store, &consumer, commits).await;
    let messages = Only::collections(["agent.comms.message", "agent.comms.older"]);
    for strict in [false, true] {
        let terms = atcomms_store::Terms { strict, ..TERMS };
        let token = LeaseToken(1);
        let taken = store.lease_of(&consumer, &messages, token, terms, 1000);
        let taken = taken.await.expect("it is handed out");
        let expected: &[&str] = if strict { &[] } else { &["m2"] };
        assert_eq!(
            keys(&taken),
            expected,
            "strict, it waits for the one before"
        );
        let ids = taken.iter().map(|event| event.id).collect();
        store.give_back(ids, token).await.expect("it is given back");
    }
    let taken = lease(&store, &consumer, 2, TERMS, 1000).await;
    assert_eq!(
        keys(&taken),
        ["m1", "m2", "m3", "m1"],
        "the others are there"
    );
    let nothing = Only::collections(["a.b.c"]);
    let pending = store.pending_of(&consumer, &nothing, 2000);
    let pending = pending.await.expect("it is read");
    assert!(!pending.due, "nothing of that is due");
    let pending = store.pending_of(&consumer, &messages, 2000).await;
    assert!(pending.expect("it is read").due);
}

async fn retain(store: &Store, consumer: &Consumer, retention: Retention, now: i64) -> Retained {
    let retained = store.retain(consumer, retention, now).await;
    retained.expect("it is kept")
}

/// So many that are dead, each with a record of so many bytes more than the one before.
async fn dead(store: &Store, consumer: &Consumer, count: u64) {
    let commits = (1..=count).map(|n| {
        let mut commit = commit(ALICE, n, true);
        let record = vec![0x60; usize::try_from(n).expect("a few") * 10];
        commit.events[0].record = Some(record);
        commit
    });
    take_in(store, consumer, commits.collect()).await;
    for event in lease(store, consumer, 1, TERMS, 1).await {
        let terminated = store.terminate(event.id, LeaseToken(1), format!("bad {}", event.id));
        terminated.await.expect("it is ours");
        retain(store, consumer, Retention::default(), 1000 + event.id).await;
    }
}

/// Which records are still there.
async fn kept(store: &Store, consumer: &Consumer) -> Vec<bool> {
    let dead = store.inbox(consumer, true, 0, 100).await.expect("the dead");
    for event in &dead {
        let reason = format!("bad {}", event.id);
        assert_eq!(
            event.reason.as_deref(),
            Some(reason.as_str()),
            "it is listed"
        );
        assert_eq!(event.removed_at.is_none(), event.event.record.is_some());
    }
    dead.iter()
        .map(|event| event.event.record.is_some())
        .collect()
}

#[tokio::test]
async fn records_of_the_dead_are_kept_within_time_number_and_bytes() {
    let none = Retention::default();
    for (retention, expected, removed) in [
        (none, [true, true, true, true], 0),
        (
            Retention {
                dead_for: Some(1000),
                ..none
            },
            [false, false, true, true],
            2,
        ),
        (
            Retention {
                dead_count: Some(1),
                ..none
            },
            [false, false, false, true],
            3,
        ),
        (
            Retention {
                dead_bytes: Some(70),
                ..none
            },
            [false, false, true, true],
            2,
        ),
        (
            Retention {
                dead_bytes: Some(0),
                ..none
            },
            [false; 4],
            4,
        ),
    ] {
        let (store, consumer) = stage().await;
        dead(&store, &consumer, 4).await;
        let retained = retain(&store, &consumer, retention, 2002).await;
        assert_eq!(retained.removed, removed, "{retention:?}");
        assert_eq!(kept(&store, &consumer).await, expected, "{retention:?}");
        let again = retain(&store, &consumer, retention, 2002).await;
        assert_eq!(again.removed, 0, "once is enough");
    }
}

#[tokio::test]
async fn without_its_record_an_event_is_not_sent_again_and_can_be_buried() {
    let (store, consumer) = stage().await;
    dead(&store, &consumer, 1).await;
    let nothing = Retention {
        dead_count: Some(0),
        ..Retention::default()
    };
    retain(&store, &consumer, nothing, 2000).await;
    let events = store.inbox(&consumer, true, 0, 10).await.expect("the dead");
    let id = events[0].id;
    assert!(!store.deliver_again(id, 3000).await.expect("it is asked"));
    assert!(store.bury(id).await.expect("it is buried"));
}

#[tokio::test]
async fn what_nobody_takes_is_laid_aside_and_what_is_known_stays() {
    let (store, consumer) = stage().await;
    let mut first = commit(ALICE, 1, true);
    let known = Known {
        collection: first.events[0].collection.clone(),
        rkey: first.events[0].rkey.clone(),
        cid: Some(cid_for_cbor(b"\xa0")),
    };
    first.known = vec![known.clone()];
    let mut gone = commit(BOB, 2, true);
    gone.events[0].change = Change::Delete;
    gone.events[0].record = None;
    take_in(&store, &consumer, vec![first, commit(ALICE, 2, true), gone]).await;
    let one = atcomms_store::Terms { count: 1, ..TERMS };
    let out = lease(&store, &consumer, 1, one, 1000).await;
    assert_eq!(keys(&out), ["m1"]);
    let retention = Retention {
        waiting_for: Some(500),
        dead_count: Some(0),
        ..Retention::default()
    };
    assert_eq!(
        retain(&store, &consumer, retention, 400).await,
        Retained::default()
    );
    let retained = retain(&store, &consumer, retention, 1050).await;
    assert_eq!(
        (retained.laid_aside, retained.removed),
        (2, 1),
        "one is out"
    );
    let dead = store.inbox(&consumer, true, 0, 10).await.expect("the dead");
    let reason = dead[0].reason.as_deref().unwrap_or_default();
    assert!(reason.contains("too long"), "{reason}");
    assert_eq!(dead[1].removed_at, None, "a delete has no record");
    // A delete has nothing to lose, so that it can be sent again; then its time begins anew.
    assert!(
        store
            .deliver_again(dead[1].id, 1060)
            .await
            .expect("it is kept")
    );
    assert_eq!(
        retain(&store, &consumer, retention, 1090).await.laid_aside,
        0
    );
    store
        .ack(out[0].id, LeaseToken(1))
        .await
        .expect("it is ours");
    assert_eq!(
        retain(&store, &consumer, retention, 1560).await.laid_aside,
        1
    );
    let did = ALICE.parse().expect("a DID");
    let still = store.known(&consumer, &did).await.expect("it is read");
    assert_eq!(still, [known]);
    let again = take_in(&store, &consumer, vec![commit(ALICE, 2, true)]).await;
    assert_eq!(again, 0, "what was removed does not come again");
}

#[tokio::test]
async fn who_is_sent_again_and_laid_aside_is_dead_from_then_on() {
    let (store, consumer) = stage().await;
    dead(&store, &consumer, 1).await;
    let events = store.inbox(&consumer, true, 0, 10).await.expect("the dead");
    let again = store.deliver_again(events[0].id, 5000).await;
    assert!(again.expect("it is kept"));
    let retention = Retention {
        waiting_for: Some(100),
        dead_for: Some(500),
        ..Retention::default()
    };
    for (now, laid_aside, removed) in [(6000, 1, 0), (6499, 0, 0), (6500, 0, 1)] {
        let retained = retain(&store, &consumer, retention, now).await;
        let both = (retained.laid_aside, retained.removed);
        assert_eq!(both, (laid_aside, removed), "at {now}");
    }
}
