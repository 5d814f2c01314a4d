//! What is accepted has its place, its key and its number, whatever happens after.

use atcomms_lexicon::Tid;
use atcomms_store::{AcceptError, State, Store};

use crate::support::{NOW, Place, accept, accepted, create, did, next, note, once, put, texts};

#[tokio::test]
async fn it_is_there_as_it_was_given_after_reopening() {
    let place = Place::new();
    let store = place.open();
    let draft = once("greeting", create("self", "hello"));
    let entry = accept(&store, draft).await;
    assert_eq!(entry.state, State::Pending);
    drop(store);
    let store = place.open();
    assert_eq!(store.entry(entry.id).await.unwrap().as_ref(), Some(&entry));
    assert_eq!(next(&store).await, [entry]);
}

#[tokio::test]
async fn what_came_first_is_sent_first() {
    let store = Store::temporary().unwrap();
    for (text, now) in [("a", NOW), ("b", NOW), ("c", NOW - 50_000), ("d", NOW + 1)] {
        store.accept(note(text), now).await.unwrap();
    }
    assert_eq!(
        texts(&next(&store).await),
        ["a", "b", "c", "d"],
        "a clock that was set back does not overtake"
    );
    assert_eq!(
        texts(&store.entries(None, true).await.unwrap()),
        ["a", "b", "c", "d"]
    );
}

#[tokio::test]
async fn record_keys_only_grow() {
    let place = Place::new();
    let mut keys: Vec<Tid> = Vec::new();
    for moment in [NOW, NOW, NOW - 86_400_000, 0, NOW + 5, i64::MIN] {
        // Also when another process goes on.
        let store = place.open();
        for _ in 0..3 {
            let entry = store.accept(note("x"), moment).await.unwrap().entry;
            keys.push(entry.rkey.as_str().parse().unwrap());
        }
    }
    assert_eq!(keys.len(), 18);
    assert!(
        keys.is_sorted_by(|before, after| before < after),
        "every key is greater than all before it: {keys:?}"
    );
    assert_eq!(
        keys.first().map(|key| key.micros()),
        Some(NOW.unsigned_abs() * 1000),
        "a key tells the time if the clock goes well"
    );
    assert!(keys.iter().all(|key| key.clock_id() == 1));
}

#[tokio::test]
async fn the_same_once_key_is_the_same_entry() {
    let place = Place::new();
    let store = place.open();
    let first = accepted(&store, once("job-7", note("first"))).await;
    assert!(first.fresh);
    drop(store);
    let store = place.open();
    let again = accepted(&store, once("job-7", note("built anew"))).await;
    assert!(!again.fresh);
    assert_eq!(again.entry, first.entry, "the entry of before, unchanged");
    assert_eq!(next(&store).await.len(), 1);
    let other = accepted(&store, once("job-8", note("second"))).await;
    assert!(other.fresh);
}

#[tokio::test]
async fn a_once_key_stands_for_one_record() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, once("job", create("here", "x"))).await;
    let mut elsewhere = once("job", create("here", "x"));
    elsewhere.collection = "com.example.other".parse().unwrap();
    for other in [
        once("job", create("there", "x")),
        once("job", put("here", "x")),
        elsewhere,
    ] {
        let refused = store.accept(other, NOW).await.unwrap_err();
        assert!(
            matches!(&refused, AcceptError::OnceTaken { once, uri } if once == "job" && *uri == entry.uri())
        );
        assert!(refused.to_string().contains("com.example.note/here"));
    }
    assert_eq!(next(&store).await, [entry], "nothing else was kept");
    // Another account has its own keys.
    let mut theirs = once("job", note("x"));
    theirs.did = "did:web:example.com".parse().unwrap();
    assert!(accepted(&store, theirs).await.fresh);
    assert_eq!(store.waiting(&did()).await.unwrap().entries, 1);
}

#[tokio::test]
async fn one_that_is_refused_takes_nobody_with_it() {
    let store = Store::temporary().unwrap();
    accept(&store, once("job", create("here", "x"))).await;
    // All at once, so that they share transactions.
    let drafts = (0..200).map(|number| match number % 2 {
        0 => note("good"),
        _ => once("job", create("there", "bad")),
    });
    let results = futures::future::join_all(drafts.map(|draft| store.accept(draft, NOW))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 100);
    assert_eq!(store.waiting(&did()).await.unwrap().entries, 101);
}

#[tokio::test]
async fn what_is_waited_for_no_more_is_still_accepted() {
    let place = Place::new();
    let store = place.open();
    let mut accepting = Box::pin(store.accept(note("x"), NOW));
    // It is handed over, and its answer is never looked at.
    let _answer = futures::poll!(&mut accepting);
    drop(accepting);
    drop(store);
    assert_eq!(texts(&next(&place.open()).await), ["x"]);
}
