//! Logins are kept, and kept from others.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use atcomms_lexicon::Address;
use atcomms_store::{Login, Store};
use rusqlite::Connection;

use crate::support::{NOW, Place, did};

fn login(handle: &str, token: &str) -> Login {
    Login {
        did: did(),
        handle: handle.parse().unwrap(),
        pds: "https://pds.example".to_owned(),
        plc: None,
        access: format!("access-{token}"),
        refresh: format!("refresh-{token}"),
    }
}

#[tokio::test]
async fn the_newest_is_used_where_none_is_named() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.login(None).unwrap(), None);
    let alice = login("alice.example", "1");
    let bob = Login {
        did: "did:web:bob.example".parse().unwrap(),
        ..login("bob.example", "2")
    };
    store.keep_login(bob.clone(), NOW).await.unwrap();
    store.keep_login(alice.clone(), NOW + 1).await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.login(None).unwrap().as_ref(), Some(&alice));
    let by_handle: Address = "bob.example".parse().unwrap();
    let by_did: Address = "did:web:bob.example".parse().unwrap();
    for address in [by_handle, by_did] {
        assert_eq!(store.login(Some(&address)).unwrap().as_ref(), Some(&bob));
    }
}

#[tokio::test]
async fn renewed_tokens_take_the_place_of_the_old() {
    let store = Store::temporary().unwrap();
    store
        .keep_login(login("alice.example", "old"), NOW)
        .await
        .unwrap();
    let renewed = login("alice.example", "new");
    let (keeping, wanted) = (store.clone(), renewed.clone());
    tokio::task::spawn_blocking(move || keeping.keep_tokens(wanted))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(store.login(None).unwrap(), Some(renewed));
}

#[test]
fn no_token_is_in_its_debug_output() {
    let text = format!("{:?}", login("alice.example", "SECRET"));
    assert!(text.contains("alice.example"));
    assert!(!text.contains("SECRET"), "{text}");
}

#[tokio::test]
async fn only_its_owner_can_read_it() {
    let place = Place::new();
    let folder = place.path().with_file_name("made");
    let store = Store::open(folder.join("below/store.sqlite3")).unwrap();
    store
        .keep_login(login("alice.example", "1"), NOW)
        .await
        .unwrap();
    let copied = store.blobs().copy(&b"x"[..], 1).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for made in [&folder, &folder.join("below"), store.blobs().path()] {
        assert_eq!(mode(made), 0o700, "{}", made.display());
    }
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder.join("below")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() {
            assert_eq!(mode(&path), 0o600, "{name}");
            seen.push(name);
        }
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "store.sqlite3",
            "store.sqlite3-lock",
            "store.sqlite3-shm",
            "store.sqlite3-wal"
        ]
    );
    drop(copied);
}

#[test]
fn sqlite3_tells_what_the_tables_hold() {
    let place = Place::new();
    drop(place.open());
    let connection = Connection::open(place.path()).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        )
        .unwrap();
    let tables = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let tables: Vec<(String, String)> = tables.map(Result::unwrap).collect();
    let names: Vec<&str> = tables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "login",
            "outbox",
            "attachment",
            "uploaded",
            "bucket",
            "server",
            "clock",
            "consumer",
            "cursor",
            "repository",
            "relayed",
            "known",
            "inbox",
            "heard"
        ]
    );
    for (name, sql) in &tables {
        let heading = sql.lines().next().unwrap();
        assert!(
            heading.contains("-- "),
            "{name} says what it holds: {heading}"
        );
    }
}
