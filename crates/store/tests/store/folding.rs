//! Pending updates of one key fold into the newest.

use atcomms_store::{Draft, Entry, Outcome, State, Store};

use crate::support::{
    NOW, accept, accepted, cid, create, delete, did, next, note, once, put, texts,
};

#[tokio::test]
async fn the_newest_update_is_what_is_sent() {
    let store = Store::temporary().unwrap();
    let first = accept(&store, put("a", "1")).await;
    store.accept(put("b", "other"), NOW + 1).await.unwrap();
    let second = accepted(&store, put("a", "2")).await;
    let third = accepted(&store, put("a", "3")).await;
    assert_eq!(second.folded, [first.id]);
    assert_eq!(third.folded, [second.entry.id]);
    assert_eq!(texts(&next(&store).await), ["3", "other"]);
    let first = store.entry(first.id).await.unwrap().unwrap();
    assert_eq!(first.state, State::Folded);
    assert_eq!(first.folded_into, Some(second.entry.id));
    assert_eq!(first.settled_at, Some(NOW));
}

#[tokio::test]
async fn what_is_updated_all_the_time_keeps_its_place() {
    let store = Store::temporary().unwrap();
    for minute in 0..60 {
        let now = NOW + minute * 60_000;
        store.accept(put("status", "progress"), now).await.unwrap();
        store.accept(note("message"), now + 1).await.unwrap();
    }
    let waiting = next(&store).await;
    assert_eq!(waiting.len(), 61);
    assert_eq!(
        texts(&waiting)[0],
        "progress",
        "its latest state goes where its first was to go"
    );
}

#[tokio::test]
async fn what_stands_for_itself_does_not_fold() {
    let swapping = || Draft {
        swap: Some(cid(b"before")),
        ..put("a", "x")
    };
    let pairs: [(&str, Draft, Draft); 6] = [
        ("a creation stays", create("a", "x"), put("a", "x")),
        ("a delete stays", delete("a"), put("a", "x")),
        ("a swap depends on what is there", put("a", "x"), swapping()),
        ("and its outcome", swapping(), put("a", "x")),
        (
            "a once key stands for one",
            once("k", put("a", "x")),
            put("a", "x"),
        ),
        ("another key", put("b", "x"), put("a", "x")),
    ];
    for (why, first, second) in pairs {
        let store = Store::temporary().unwrap();
        accept(&store, first).await;
        assert!(accepted(&store, second).await.folded.is_empty(), "{why}");
        assert_eq!(store.waiting(&did()).await.unwrap().entries, 2, "{why}");
    }
}

#[tokio::test]
async fn what_was_sent_does_not_fold() {
    let store = Store::temporary().unwrap();
    let first = accept(&store, put("a", "1")).await;
    store.mark_sent(&[first], NOW).await.unwrap();
    assert!(accepted(&store, put("a", "2")).await.folded.is_empty());
}

#[tokio::test]
async fn what_never_reached_the_pds_folds_and_can_be_given_up() {
    let store = Store::temporary().unwrap();
    let (first, note) = (
        accept(&store, put("a", "1")).await,
        accept(&store, note("x")).await,
    );
    let tried = [first.clone(), note.clone()];
    store.mark_sent(&tried, NOW).await.unwrap();
    assert!(!store.give_up(note.id).await.unwrap(), "it may be written");
    let not_done = |entry: Entry| {
        let outcome = Outcome::NotDone {
            reason: "no connection".to_owned(),
            not_before: 0,
        };
        (entry, outcome)
    };
    store.settle(tried.map(not_done).into(), NOW).await.unwrap();
    assert_eq!(accepted(&store, put("a", "2")).await.folded, [first.id]);
    assert!(store.give_up(note.id).await.unwrap());
    assert_eq!(texts(&next(&store).await), ["2"]);
}
