//! What a person does with the outbox.

use atcomms_store::{Failed, Outcome, State, Store};

use rusqlite::Connection;

use crate::support::{
    NOW, Place, accept, accepted, did, file_name, next, note, once, put, settle, texts, with_file,
    written,
};

fn failed() -> Outcome {
    Outcome::Failed(Failed {
        failure: "Refused".to_owned(),
        reason: "no".to_owned(),
        found: None,
    })
}

#[tokio::test]
async fn a_failed_entry_is_sent_again_in_its_old_place() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, note("first")).await;
    accept(&store, note("second")).await;
    store
        .mark_sent(std::slice::from_ref(&entry), NOW)
        .await
        .unwrap();
    settle(&store, &entry, failed()).await;
    assert!(store.send_again(entry.id).await.unwrap());
    let waiting = next(&store).await;
    assert_eq!(texts(&waiting), ["first", "second"]);
    let again = &waiting[0];
    assert_eq!(again.rkey, entry.rkey);
    assert!(again.doubt_since.is_some(), "it is read back first");
    assert_eq!((&again.failure, again.settled_at), (&None, None));
}

#[tokio::test]
async fn a_waiting_entry_is_sent_at_once() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, note("x")).await;
    let later = Outcome::NotDone {
        reason: "busy".to_owned(),
        not_before: NOW + 1_000,
    };
    settle(&store, &entry, later).await;
    assert!(next(&store).await.is_empty());
    assert!(store.send_again(entry.id).await.unwrap());
    assert_eq!(texts(&next(&store).await), ["x"]);
    settle(&store, &entry, written()).await;
    assert!(!store.send_again(entry.id).await.unwrap(), "it is written");
    assert!(!store.send_again(999).await.unwrap(), "there is none");
}

#[tokio::test]
async fn what_was_never_sent_can_be_given_up_and_leaves_nothing() {
    let place = Place::new();
    let store = place.open();
    let draft = with_file(&store, b"picture", once("k", note("x"))).await;
    let entry = accept(&store, draft).await;
    assert_eq!(place.blobs(), [file_name(b"picture")]);
    assert!(store.give_up(entry.id).await.unwrap());
    assert_eq!(store.entry(entry.id).await.unwrap(), None);
    assert!(place.blobs().is_empty());
    let again = accepted(&store, once("k", note("x"))).await;
    assert!(again.fresh, "its key is free");
    assert_ne!(again.entry.id, entry.id, "its number is not used again");
    assert!(!store.give_up(entry.id).await.unwrap());
}

#[tokio::test]
async fn what_was_sent_cannot_be_given_up_unless_it_failed() {
    let store = Store::temporary().unwrap();
    let entry = accept(&store, note("x")).await;
    let sent = [entry.clone()];
    store.mark_sent(&sent, NOW).await.unwrap();
    assert!(!store.give_up(entry.id).await.unwrap());
    settle(&store, &entry, failed()).await;
    assert!(store.give_up(entry.id).await.unwrap());
}

#[tokio::test]
async fn what_others_were_folded_into_can_be_given_up() {
    let store = Store::temporary().unwrap();
    let old = accept(&store, put("a", "old")).await;
    let new = accept(&store, put("a", "new")).await;
    assert!(store.give_up(new.id).await.unwrap());
    let old = store.entry(old.id).await.unwrap().unwrap();
    assert_eq!((old.state, old.folded_into), (State::Folded, None));
}

#[tokio::test]
async fn the_settled_are_forgotten_and_once_keys_are_not() {
    let store = Store::temporary().unwrap();
    let plain = accept(&store, note("plain")).await;
    let keyed = accept(&store, once("k", note("keyed"))).await;
    let folded = accept(&store, put("a", "old")).await;
    let updated = accept(&store, put("a", "new")).await;
    let waiting = accept(&store, note("waiting")).await;
    let lost = accept(&store, note("failed")).await;
    for entry in [&plain, &keyed, &updated] {
        settle(&store, entry, written()).await;
    }
    settle(&store, &lost, failed()).await;
    let none = store.forget_settled(&did(), NOW).await.unwrap();
    assert_eq!(none.entries, 0, "not old enough");
    let forgotten = store.forget_settled(&did(), NOW + 2).await.unwrap();
    assert_eq!(forgotten.entries, 4);
    let left: Vec<i64> = store
        .entries(None, true)
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.id)
        .collect();
    assert_eq!(left, [keyed.id, waiting.id, lost.id]);
    assert_eq!(store.entry(folded.id).await.unwrap(), None);
    let again = accepted(&store, once("k", note("keyed"))).await;
    assert!(!again.fresh);
    assert_eq!(
        (again.entry.state, again.entry.record),
        (State::Written, None)
    );
    assert_eq!(again.entry.rkey, keyed.rkey);
}

/// Else to forget ten thousand entries would read the table ten thousand times.
#[test]
fn an_entry_goes_without_a_look_at_all_others() {
    let place = Place::new();
    let _store = place.open();
    let connection = Connection::open(place.path()).unwrap();
    // What SQLite asks of itself for each row that goes, since others may refer to it.
    let plan: String = connection
        .query_row(
            "EXPLAIN QUERY PLAN SELECT 1 FROM outbox WHERE folded_into = 7",
            [],
            |row| row.get("detail"),
        )
        .unwrap();
    assert!(plan.starts_with("SEARCH outbox USING"), "{plan}");
}
