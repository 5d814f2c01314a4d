//! What is sent next, and what is known of it.

use atcomms_store::{Blob, MAX_PRIORITY, Outcome, PRIORITY_STEP, Pool, Store};

use crate::support::{
    NOW, accept, create, delete, did, next, note, put, settle, texts, with_file, written,
};

#[tokio::test]
async fn what_is_urgent_overtakes() {
    let store = Store::temporary().unwrap();
    for (text, priority) in [
        ("low", 0),
        ("high", MAX_PRIORITY),
        ("middle", 2),
        ("beyond", 200),
    ] {
        let mut draft = note(text);
        draft.priority = priority;
        let entry = accept(&store, draft).await;
        assert_eq!(entry.priority, priority.min(MAX_PRIORITY));
    }
    assert_eq!(
        texts(&next(&store).await),
        ["high", "beyond", "middle", "low"]
    );
}

#[tokio::test]
async fn what_is_not_urgent_is_overtaken_for_some_hours_only() {
    let store = Store::temporary().unwrap();
    let longest = i64::from(MAX_PRIORITY) * PRIORITY_STEP;
    for (text, priority, after) in [
        ("patient", 0, 0),
        ("just in time", MAX_PRIORITY, longest - 1),
        ("too late", MAX_PRIORITY, longest + 1),
    ] {
        let mut draft = note(text);
        draft.priority = priority;
        store.accept(draft, NOW + after).await.unwrap();
    }
    assert_eq!(
        texts(&next(&store).await),
        ["just in time", "patient", "too late"]
    );
}

#[tokio::test]
async fn a_key_waits_for_what_was_accepted_for_it_before() {
    let store = Store::temporary().unwrap();
    let first = accept(&store, create("a", "first")).await;
    let mut urgent = put("a", "second");
    urgent.priority = MAX_PRIORITY;
    let second = accept(&store, urgent).await;
    accept(&store, delete("a")).await;
    accept(&store, create("b", "other")).await;
    assert_eq!(texts(&next(&store).await), ["first", "other"]);
    settle(&store, &first, written()).await;
    assert_eq!(texts(&next(&store).await), ["second", "other"]);
    settle(&store, &second, written()).await;
    assert_eq!(texts(&next(&store).await), ["", "other"]);
}

#[tokio::test]
async fn no_more_than_asked_for() {
    let store = Store::temporary().unwrap();
    for text in ["a", "b", "c"] {
        accept(&store, note(text)).await;
    }
    let two = store.next(&did(), NOW, 2).await.unwrap();
    assert_eq!(texts(&two), ["a", "b"]);
    let nobody = "did:web:example.com".parse().unwrap();
    assert!(store.next(&nobody, NOW, 2).await.unwrap().is_empty());
}

#[tokio::test]
async fn when_to_look_again_is_when_there_is_something() {
    let store = Store::temporary().unwrap();
    assert_eq!(store.next_due(&did()).await.unwrap(), None);
    let first = accept(&store, create("a", "first")).await;
    // It waits for the first, and is no reason to look before that one is due.
    accept(&store, put("a", "second")).await;
    let not_yet = Outcome::NotDone {
        reason: "busy".to_owned(),
        not_before: NOW + 60_000,
    };
    settle(&store, &first, not_yet).await;
    assert!(next(&store).await.is_empty());
    assert_eq!(store.next_due(&did()).await.unwrap(), Some(NOW + 60_000));
    let due = store.next(&did(), NOW + 60_000, 10).await.unwrap();
    assert_eq!(texts(&due), ["first"]);
}

#[tokio::test]
async fn what_is_sent_is_in_doubt_and_points_are_counted() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, note("x")).await;
    let sent = [entry.clone()];
    store.mark_sent(&sent, NOW + 7).await.unwrap();
    let entry = store.entry(entry.id).await.unwrap().unwrap();
    assert_eq!((entry.attempts, entry.doubt_since), (1, Some(NOW + 7)));
    store.spend(&did(), Pool::Writes, 3, NOW + 7).await.unwrap();
    let buckets = store.buckets(&did()).await.unwrap();
    let left: Vec<_> = buckets
        .iter()
        .map(|bucket| (bucket.pool, bucket.left(NOW + 8)))
        .collect();
    assert_eq!(
        left,
        [
            (Pool::Writes, 4_997),
            (Pool::Writes, 34_997),
            (Pool::Blobs, 1_000)
        ]
    );
}

#[tokio::test]
async fn what_was_given_up_or_replaced_meanwhile_is_not_sent() {
    let store = Store::temporary().unwrap();
    let other = accept(&store, note("other")).await;
    let given_up = accept(&store, note("given up")).await;
    let replaced = accept(&store, put("a", "old")).await;
    let read = next(&store).await;
    assert_eq!(read.len(), 3);
    assert!(store.give_up(given_up.id).await.unwrap());
    accept(&store, put("a", "new")).await;
    for gone in [&given_up, &replaced] {
        let batch = [other.clone(), gone.clone()];
        let sent = store.mark_sent(&batch, NOW).await.unwrap();
        assert_eq!(sent, [other.id], "the other is still to be sent");
        let gone = store.entry(gone.id).await.unwrap();
        assert!(gone.is_none_or(|gone| gone.attempts == 0));
    }
    assert_eq!(texts(&next(&store).await), ["other", "new"]);
}

#[tokio::test]
async fn a_record_is_fixed_once_its_files_are_uploaded() {
    let store = Store::temporary().unwrap();
    let mut draft = with_file(&store, b"picture", note("with a picture")).await;
    draft.cid = None;
    let entry = accept(&store, draft).await;
    assert_eq!(
        entry.blobs,
        [Blob {
            cid: crate::support::cid(b"picture"),
            size: 7,
            mime_type: "text/plain".to_owned()
        }]
    );
    let record = b"fixed".to_vec();
    let cid = atcomms_lexicon::cid_for_cbor(&record);
    store
        .fix(vec![(entry.id, record.clone(), cid)])
        .await
        .unwrap();
    let [fixed] = &next(&store).await[..] else {
        panic!("one is pending")
    };
    assert_eq!((&fixed.record, fixed.cid), (&Some(record), Some(cid)));
    assert_eq!(fixed.blobs, entry.blobs);
}
