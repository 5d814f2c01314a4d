//! A file that is no store of ours, or a broken one: a clear error, and it stays as it is.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use atcomms_store::{OpenError, Store};
use rusqlite::Connection;

use crate::support::{Place, accept, next, note, texts};

/// "atcm".
const APPLICATION_ID: i32 = 0x6174_636d;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn not_a_database() {
    for bytes in [&b"hi"[..], &b"Dear diary, ".repeat(1_000)[..]] {
        let place = Place::new();
        fs::write(place.path(), bytes).unwrap();
        let error = Store::open(place.path()).unwrap_err();
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
        assert!(error.to_string().contains("move this one away"), "{error}");
        assert_eq!(fs::read(place.path()).unwrap(), bytes);
        assert_eq!(names(place.path().parent().unwrap()), ["store.sqlite3"]);
        fs::remove_file(place.path()).unwrap();
        place.open();
    }
}

#[test]
fn the_database_of_somebody_else() {
    for made in [
        "CREATE TABLE bookmark (url TEXT)",
        "PRAGMA application_id = 7; VACUUM",
        "PRAGMA user_version = 1; VACUUM",
    ] {
        let place = Place::new();
        let theirs = Connection::open(place.path()).unwrap();
        theirs.execute_batch(made).unwrap();
        drop(theirs);
        let before = fs::read(place.path()).unwrap();
        let error = Store::open(place.path()).unwrap_err();
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
        assert_eq!(fs::read(place.path()).unwrap(), before, "it is unchanged");
        assert_eq!(names(place.path().parent().unwrap()), ["store.sqlite3"]);
    }
}

#[tokio::test]
async fn a_newer_version() {
    let place = Place::new();
    accept(&place.open(), note("x")).await;
    let newer = Connection::open(place.path()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let error = Store::open(place.path()).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Newer {
            found: 99,
            known: 4,
            ..
        }
    ));
    assert!(error.to_string().contains("use a newer atcomms"), "{error}");
    let newer = Connection::open(place.path()).unwrap();
    newer.pragma_update(None, "user_version", 4).unwrap();
    drop(newer);
    assert_eq!(texts(&next(&place.open()).await), ["x"]);
}

#[tokio::test]
async fn an_older_version_is_updated_once_nobody_uses_it() {
    let place = Place::new();
    let older = Connection::open(place.path()).unwrap();
    older
        .pragma_update(None, "application_id", APPLICATION_ID)
        .unwrap();
    older.execute_batch("CREATE TABLE early (x)").unwrap();
    drop(older);
    let lock = place.path().with_file_name("store.sqlite3-lock");
    let older_program = fs::File::create(lock).unwrap();
    older_program.lock_shared().unwrap();
    let error = Store::open(place.path()).unwrap_err();
    assert!(matches!(
        error,
        OpenError::InUse {
            found: 0,
            known: 4,
            ..
        }
    ));
    assert!(
        error.to_string().contains("stop the other programs"),
        "{error}"
    );
    older_program.unlock().unwrap();
    let store = place.open();
    accept(&store, note("x")).await;
    let beside = place.open();
    assert_eq!(texts(&next(&beside).await), ["x"], "and is shared again");
}

#[tokio::test]
async fn a_store_from_before_the_inbox_keeps_what_waits() {
    let place = Place::new();
    let before = Connection::open(place.path()).unwrap();
    before
        .execute_batch(include_str!("../../src/schema/1.sql"))
        .unwrap();
    before
        .pragma_update(None, "application_id", APPLICATION_ID)
        .unwrap();
    before.pragma_update(None, "user_version", 1).unwrap();
    drop(before);
    let newer = Place::new();
    accept(&newer.open(), note("x")).await;
    // The outbox has not changed since.
    let copy = Connection::open(newer.path()).unwrap();
    let path = place.path();
    copy.execute("ATTACH ?1 AS before", [path.to_str().unwrap()])
        .unwrap();
    copy.execute("INSERT INTO before.outbox SELECT * FROM outbox", [])
        .unwrap();
    drop(copy);
    let store = place.open();
    assert_eq!(texts(&next(&store).await), ["x"]);
    let consumer = store.consumer("new", 1).await.unwrap();
    assert_eq!(store.inbox_len(&consumer).await.unwrap(), 0);
}

#[tokio::test]
async fn a_store_from_before_resynchronisation_keeps_its_inbox() {
    let place = Place::new();
    let before = Connection::open(place.path()).unwrap();
    for step in [
        include_str!("../../src/schema/1.sql"),
        include_str!("../../src/schema/2.sql"),
    ] {
        before.execute_batch(step).unwrap();
    }
    before
        .pragma_update(None, "application_id", APPLICATION_ID)
        .unwrap();
    before.pragma_update(None, "user_version", 2).unwrap();
    before
        .execute_batch(
            "INSERT INTO consumer VALUES (1, 'worker', 0);
             INSERT INTO inbox (id, consumer_id, did, collection, rkey, action, rev, commit_cid, live, source,
                 seq, received_at, state, reason)
             VALUES (7, 1, 'did:web:a.example', 'agent.comms.message', 'x', 'delete', '3l2kdqixyzs2a',
                 'bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae', 1, 'ws://localhost:1', 5, 9,
                 'dead', 'it was too much');",
        )
        .unwrap();
    drop(before);
    let store = place.open();
    let consumer = store.consumer("worker", 1).await.unwrap();
    let dead = store.inbox(&consumer, true, 0, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    let event = &dead[0];
    assert_eq!((event.id, event.received_at, event.event.seq), (7, 9, 5));
    assert_eq!(event.reason.as_deref(), Some("it was too much"));
    assert!(event.event.commit.is_some() && event.event.cid.is_none());
}

#[tokio::test]
async fn a_damaged_page() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..50 {
        accept(&store, note(&"much ".repeat(400))).await;
    }
    drop(store);
    let size = fs::metadata(place.path()).unwrap().len();
    assert!(size > 100_000, "the log was moved into the file: {size}");
    let mut file = OpenOptions::new().write(true).open(place.path()).unwrap();
    file.seek(SeekFrom::Start(size - 3 * 4096)).unwrap();
    file.write_all(&[0xff; 4096]).unwrap();
    drop(file);
    let error = Store::open(place.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("restore it from a backup"), "{message}");
    assert!(message.contains(".recover"), "{message}");
}

#[tokio::test]
async fn a_value_that_we_never_wrote() {
    let place = Place::new();
    let store = place.open();
    let entry = accept(&store, note("x")).await;
    let by_hand = Connection::open(place.path()).unwrap();
    by_hand
        .execute("UPDATE outbox SET did = 'nobody'", [])
        .unwrap();
    let error = store.entry(entry.id).await.unwrap_err();
    assert!(
        error.to_string().contains("the store is damaged"),
        "{error}"
    );
}

#[test]
fn a_folder() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    let error = Store::open(place.path()).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(error.to_string().contains("it is not a file"), "{error}");
    assert!(names(&place.path()).is_empty());
}

#[test]
fn a_folder_that_cannot_be_made() {
    let place = Place::new();
    fs::write(place.path(), b"").unwrap();
    let error = Store::open(place.path().join("below/store.sqlite3")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_link_to_a_store_is_that_store() {
    let place = Place::new();
    let store = place.open();
    let draft = crate::support::with_file(&store, b"picture", note("x")).await;
    let entry = accept(&store, draft).await;
    let link = place.path().with_file_name("link.sqlite3");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let linked = Store::open(&link).unwrap();
    assert_eq!(next(&linked).await, [entry]);
    assert_eq!(linked.blobs().path(), store.blobs().path());
}

#[tokio::test]
async fn a_name_that_sqlite_would_take_for_something_else() {
    let place = Place::new();
    let odd = place.path().with_file_name(":memory:");
    accept(&Store::open(&odd).unwrap(), note("x")).await;
    assert_eq!(texts(&next(&Store::open(&odd).unwrap()).await), ["x"]);
}
