//! Several processes, and several handles in one, use one store.

use std::collections::BTreeSet;

use atcomms_lexicon::Did;
use atcomms_store::{Purpose, Store};

use crate::child::Child;
use crate::support::{NOW, Place, accept, did, next, note, texts};

/// The numbers of what a child says that it accepted.
fn accepted(said: &[String]) -> Vec<i64> {
    said.iter()
        .filter_map(|line| line.strip_prefix("accepted ")?.parse().ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_handles_and_a_process_accept_at_once() {
    let place = Place::new();
    let (one, two) = (place.open(), place.open());
    let mut child = Child::start("accept many", &place.path());
    child.until("ready");
    let many = |store: Store| {
        tokio::spawn(async move {
            let notes = (0..200).map(|_| store.accept(note("from here"), NOW));
            let accepted = futures::future::join_all(notes).await;
            accepted
                .into_iter()
                .map(|accepted| accepted.unwrap().entry.id)
                .collect::<Vec<i64>>()
        })
    };
    let (ours, theirs) = (many(one.clone()), many(two));
    let mut ids = ours.await.unwrap();
    ids.extend(theirs.await.unwrap());
    ids.extend(accepted(&child.end()));
    assert_eq!(ids.len(), 600);
    let distinct: BTreeSet<i64> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), 600, "no number twice");
    let entries = one.entries(None, false).await.unwrap();
    let kept: BTreeSet<i64> = entries.iter().map(|entry| entry.id).collect();
    assert_eq!(kept, distinct, "all are there, and nothing else");
    assert!(
        entries.is_sorted_by(|before, after| before.rkey.as_str() < after.rkey.as_str()),
        "record keys grow in the order of acceptance"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_process_does_not_lock_out_another() {
    let place = Place::new();
    let store = place.open();
    let mut busy = Child::start("accept", &place.path());
    busy.until("accepted");
    for _ in 0..50 {
        accept(&store, note("from here")).await;
        busy.until("accepted");
    }
}

#[test]
fn many_open_a_new_store_at_once() {
    let place = Place::new();
    let visitors: Vec<Child> = (0..4)
        .map(|_| Child::start("open", &place.path()))
        .collect();
    let here: Vec<_> = (0..8)
        .map(|_| {
            let path = place.path();
            std::thread::spawn(move || Store::open(path).map(drop))
        })
        .collect();
    for thread in here {
        thread.join().unwrap().unwrap();
    }
    for visitor in visitors {
        assert_eq!(visitor.end(), ["opened"]);
    }
}

#[tokio::test]
async fn a_visit_by_another_process_costs_nothing() {
    let place = Place::new();
    let store = place.open();
    accept(&store, note("1")).await;
    let twice = place.open();
    Child::start("visit", &place.path()).end();
    accept(&store, note("2")).await;
    Child::start("visit", &place.path()).end();
    assert_eq!(texts(&next(&twice).await), ["1", "2"]);
    drop((store, twice));
    assert_eq!(texts(&next(&place.open()).await), ["1", "2"]);
}

/// Whoever leaves a file that nobody else has locked removes its log. SQLite looks twice since 3.51; the
/// `sqlite3` of most systems is older.
#[cfg(target_os = "linux")]
#[test]
fn to_open_it_twice_costs_no_lock() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let shows_lock = || {
        // A line: `1: POSIX ADVISORY READ pid major:minor:inode first last`
        let inode = std::fs::metadata(place.path()).unwrap().ino();
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let mut fields = locks.lines().map(|line| line.split_whitespace().collect());
        fields.any(|line: Vec<&str>| {
            line.contains(&"POSIX")
                && line
                    .iter()
                    .any(|field| field.ends_with(&format!(":{inode}")))
        })
    };
    // The system skips lines while other tests lock and unlock; it shows none that is not there.
    let is_locked = || (0..1_000).any(|_| shows_lock());
    let _once = place.open();
    assert!(is_locked(), "open");
    let _twice = place.open();
    assert!(is_locked(), "open twice");
}

#[tokio::test]
async fn what_a_killed_process_had_accepted_is_there() {
    let place = Place::new();
    let mut child = Child::start("accept", &place.path());
    child.until("accepted 50");
    let mut promised: BTreeSet<i64> = (1..=50).collect();
    promised.extend(accepted(&child.kill()));
    let kept = place.open().entries(None, false).await.unwrap();
    let kept: BTreeSet<i64> = kept.iter().map(|entry| entry.id).collect();
    assert!(kept.is_superset(&promised), "{promised:?} but {kept:?}");
    let last = promised.last().unwrap();
    assert!(
        kept.last().unwrap() - last <= 1,
        "at most the one that it could not tell of"
    );
}

#[test]
fn a_lock_is_one_handles() {
    let place = Place::new();
    let (store, beside) = (place.open(), place.open());
    let try_lock = |store: &Store| store.try_lock(&did(), Purpose::Drain).unwrap();
    let held = try_lock(&store).expect("it is free");
    assert!(try_lock(&beside).is_none(), "another handle");
    assert!(try_lock(&store).is_none(), "not even the same one twice");
    assert_eq!(Child::start("lock", &place.path()).end(), ["taken"]);
    let other = store.try_lock(&did(), Purpose::Refresh).unwrap();
    assert!(other.is_some(), "another purpose");
    let stranger: Did = format!("did:web:{}.com", "a.".repeat(200)).parse().unwrap();
    assert!(store.try_lock(&stranger, Purpose::Drain).unwrap().is_some());
    drop(held);
    assert!(try_lock(&beside).is_some());
}

#[test]
fn the_lock_of_a_killed_process_is_free_at_once() {
    let place = Place::new();
    let store = place.open();
    let mut child = Child::start("lock", &place.path());
    child.until("locked");
    assert!(store.try_lock(&did(), Purpose::Drain).unwrap().is_none());
    child.kill();
    assert!(store.try_lock(&did(), Purpose::Drain).unwrap().is_some());
}

#[test]
fn who_waits_for_a_lock_gets_it() {
    let place = Place::new();
    let (store, beside) = (place.open(), place.open());
    let held = store.lock(&did(), Purpose::Refresh).unwrap();
    let waiting = std::thread::spawn(move || beside.lock(&did(), Purpose::Refresh).map(drop));
    drop(held);
    waiting.join().unwrap().unwrap();
}

#[tokio::test]
async fn a_temporary_store_is_gone_with_its_last_handle() {
    let store = Store::temporary().unwrap();
    let folder = store.path().parent().unwrap().to_owned();
    let clone = store.clone();
    drop(store);
    accept(&clone, note("x")).await;
    assert!(folder.exists());
    drop(clone);
    assert!(!folder.exists());
}
