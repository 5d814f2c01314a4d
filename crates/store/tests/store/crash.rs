//! The process dies at each point before and after a commit: the store opens again, and either all of a
//! step is there or nothing of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use atcomms_lexicon::cid_for_cbor;
use atcomms_store::{
    CrashPlan, Entry, Failed, Login, Outcome, Pool, Server, State, Store, StoreError,
};

use crate::child::Child;
use crate::support::{
    NOW, Place, accept, accepted, did, file_name, next, note, once, settle, texts, with_file,
    written,
};

/// Which side of the commit it dies on, and how the point is called.
const SIDES: [(bool, &str); 2] = [(false, "before_commit"), (true, "after_commit")];

/// Does this with the store until the process dies at the point, and asserts that it did.
async fn die_at<T>(place: &Place, point: String, work: impl AsyncFnOnce(Store) -> T) {
    let (at, fired) = (point.clone(), Arc::new(AtomicBool::new(false)));
    let seen = fired.clone();
    let plan = CrashPlan::new(move |reached| {
        let dies = reached == at;
        seen.fetch_or(dies, Ordering::SeqCst);
        dies
    });
    let store = Store::open_to_crash(place.path(), plan.clone()).unwrap();
    tokio::select! {
        _ = work(store) => panic!("it was answered, and did not die at {point}"),
        () = plan.died() => {}
    }
    assert!(fired.load(Ordering::SeqCst), "{point}");
}

#[tokio::test]
async fn accepting() {
    for (kept, side) in SIDES {
        let place = Place::new();
        accept(&place.open(), note("before")).await;
        die_at(&place, format!("accept.{side}"), async |store| {
            let draft = with_file(&store, b"picture", once("k", note("x"))).await;
            accept(&store, draft).await
        })
        .await;
        let store = place.open();
        let there = next(&store).await;
        let expected: &[&str] = if kept { &["before", "x"] } else { &["before"] };
        assert_eq!(texts(&there), expected, "{side}");
        assert_eq!(place.blobs().contains(&file_name(b"picture")), kept);
        assert_eq!(place.blobs().len(), usize::from(kept), "{side}");
        // The caller cannot know, and asks again with its key.
        let draft = with_file(&store, b"picture", once("k", note("x"))).await;
        assert_eq!(accepted(&store, draft).await.fresh, !kept);
        assert_eq!(texts(&next(&store).await), ["before", "x"]);
        assert_eq!(place.blobs(), [file_name(b"picture")]);
    }
}

#[tokio::test]
async fn a_process_that_is_really_killed() {
    for (kept, side) in SIDES {
        let place = Place::new();
        let point = format!("accept.{side}");
        let child = Child::start_to_die(&point, 5, "accept", &place.path());
        let said = child.die();
        assert_eq!(said.last().map(String::as_str), Some("accepted 4"));
        let there = next(&place.open()).await.len();
        assert_eq!(there, if kept { 5 } else { 4 }, "{side}");
    }
}

#[tokio::test]
async fn sending() {
    for (kept, side) in SIDES {
        let place = Place::new();
        let entry = accept(&place.open(), note("x")).await;
        die_at(&place, format!("sent.{side}"), async |store| {
            store.mark_sent(&[entry], NOW).await.unwrap();
        })
        .await;
        let store = place.open();
        let [entry] = &next(&store).await[..] else {
            panic!("still pending")
        };
        assert_eq!(entry.attempts, u32::from(kept), "{side}");
        assert_eq!(entry.doubt_since, kept.then_some(NOW), "{side}");
    }
}

#[tokio::test]
async fn fixing() {
    for (kept, side) in SIDES {
        let place = Place::new();
        let store = place.open();
        let mut draft = with_file(&store, b"picture", note("x")).await;
        draft.cid = None;
        let entry = accept(&store, draft).await;
        drop(store);
        let record = b"fixed".to_vec();
        die_at(&place, format!("fix.{side}"), async |store| {
            let cid = cid_for_cbor(&record);
            store.fix(vec![(entry.id, record, cid)]).await.unwrap();
        })
        .await;
        let there = next(&place.open()).await;
        let expected = if kept { "fixed" } else { "x" };
        assert_eq!(texts(&there), [expected], "{side}");
        assert_eq!(there[0].cid, kept.then(|| cid_for_cbor(b"fixed")));
        assert_eq!(place.blobs(), [file_name(b"picture")], "still to be sent");
    }
}

#[tokio::test]
async fn settling() {
    for (kept, side) in SIDES {
        let place = Place::new();
        let entry = with_picture(&place).await;
        die_at(&place, format!("settle.{side}"), async |store| {
            settle(&store, &entry, written()).await
        })
        .await;
        let store = place.open();
        let state = store.entry(entry.id).await.unwrap().unwrap().state;
        let expected = if kept { State::Written } else { State::Pending };
        assert_eq!(state, expected, "{side}");
        assert_eq!(place.blobs().len(), usize::from(!kept), "swept if written");
    }
}

#[tokio::test]
async fn letting_go_of_files() {
    for (_, side) in SIDES {
        let place = Place::new();
        let entry = with_picture(&place).await;
        die_at(&place, format!("let_go.{side}"), async |store| {
            settle(&store, &entry, written()).await
        })
        .await;
        let store = place.open();
        let state = store.entry(entry.id).await.unwrap().unwrap().state;
        assert_eq!(state, State::Written, "{side}");
        assert!(place.blobs().is_empty(), "{side}");
    }
}

#[tokio::test]
async fn a_file_stays_while_it_is_not_certain_that_nobody_needs_it() {
    let place = Place::new();
    let store = place.open();
    let one = accept(&store, with_file(&store, b"both", note("1")).await).await;
    let two = accept(&store, with_file(&store, b"both", note("2")).await).await;
    drop(store);

    // The transaction of `server` is held open until the others are in line behind it; then the
    // process dies in the transaction in which the second is settled and the file is let go of for
    // the first.
    let (reached, is_reached) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let plan = CrashPlan::new(move |point| {
        match point {
            "settle.after_commit" => reached.send(()).unwrap(),
            "server.before_commit" => {
                reached.send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
            _ => {}
        }
        point == "let_go.before_commit"
    });
    let store = Store::open_to_crash(place.path(), plan.clone()).unwrap();
    let mut settling_one = Box::pin(settle(&store, &one, written()));
    let mut settling_two = Box::pin(settle(&store, &two, written()));
    let mut holding = Box::pin(store.note_server("https://pds.example", Server::default()));
    assert!(futures::poll!(&mut settling_one).is_pending());
    is_reached.recv().unwrap();
    assert!(futures::poll!(&mut holding).is_pending());
    is_reached.recv().unwrap();
    assert!(futures::poll!(&mut settling_two).is_pending());
    assert!(futures::poll!(&mut settling_one).is_pending());
    go_on.send(()).unwrap();
    plan.died().await;
    drop((settling_one, settling_two, holding));
    drop(store);

    let store = place.open();
    assert_eq!(texts(&next(&store).await), ["2"], "its outcome was lost");
    assert_eq!(place.blobs(), [file_name(b"both")], "so it needs its file");
}

#[tokio::test]
async fn giving_up_and_sending_again() {
    for (kept, side) in SIDES {
        let place = Place::new();
        let entry = with_picture(&place).await;
        die_at(&place, format!("give_up.{side}"), async |store| {
            store.give_up(entry.id).await.unwrap();
        })
        .await;
        assert_eq!(next(&place.open()).await.is_empty(), kept, "{side}");
        assert_eq!(place.blobs().is_empty(), kept, "{side}");
    }
    for (kept, side) in SIDES {
        let place = Place::new();
        let store = place.open();
        let entry = accept(&store, note("x")).await;
        let failed = Outcome::Failed(Failed {
            failure: "Refused".to_owned(),
            reason: "no".to_owned(),
            found: None,
        });
        settle(&store, &entry, failed).await;
        drop(store);
        die_at(&place, format!("send_again.{side}"), async |store| {
            store.send_again(entry.id).await.unwrap();
        })
        .await;
        assert_eq!(next(&place.open()).await.len(), usize::from(kept));
    }
}

#[tokio::test]
async fn forgetting() {
    for (kept, side) in SIDES {
        let place = Place::new();
        let store = place.open();
        let entry = accept(&store, note("x")).await;
        settle(&store, &entry, written()).await;
        drop(store);
        die_at(&place, format!("forget.{side}"), async |store| {
            store.forget_settled(&did(), NOW + 10).await.unwrap();
        })
        .await;
        let left = place.open().entry(entry.id).await.unwrap();
        assert_eq!(left.is_none(), kept, "{side}");
    }
}

#[tokio::test]
async fn logging_in() {
    let login = |token: &str| Login {
        did: did(),
        handle: "alice.example".parse().unwrap(),
        pds: "https://pds.example".to_owned(),
        plc: None,
        access: token.to_owned(),
        refresh: token.to_owned(),
    };
    for (kept, side) in SIDES {
        let place = Place::new();
        place.open().keep_login(login("old"), NOW).await.unwrap();
        die_at(&place, format!("login.{side}"), async |store| {
            store.keep_login(login("new"), NOW).await.unwrap();
        })
        .await;
        let there = place.open().login(None).unwrap().unwrap();
        assert_eq!(there.access, if kept { "new" } else { "old" }, "{side}");

        let renewed = login("renewed");
        die_at(&place, format!("tokens.{side}"), async |store| {
            // A thread that is never answered would hold up the end of its runtime for ever.
            let keeping = tokio::task::spawn_blocking(move || store.keep_tokens(renewed));
            let kept = keeping.await.unwrap();
            assert!(matches!(kept, Err(StoreError::Closed)), "{kept:?}");
            std::future::pending::<()>().await;
        })
        .await;
        let renewed = place.open().login(None).unwrap().unwrap();
        let expected = if kept { "renewed" } else { "old" };
        assert_eq!(renewed.refresh, expected, "{side}");
    }
}

#[tokio::test]
async fn noting() {
    for (kept, side) in SIDES {
        let place = Place::new();
        die_at(&place, format!("budget.{side}"), async |store| {
            store.spend(&did(), Pool::Blobs, 1, NOW).await.unwrap();
        })
        .await;
        let buckets = place.open().buckets(&did()).await.unwrap();
        let blobs = buckets.iter().find(|bucket| bucket.pool == Pool::Blobs);
        assert_eq!(blobs.unwrap().left(NOW), 1_000 - u64::from(kept), "{side}");

        die_at(&place, format!("server.{side}"), async |store| {
            let learnt = Server::with_blob_limit(7);
            store
                .note_server("https://pds.example", learnt)
                .await
                .unwrap();
        })
        .await;
        let server = place.open().server("https://pds.example").await.unwrap();
        assert_eq!(server.blob_limit, kept.then_some(7), "{side}");

        let cid = cid_for_cbor(b"x");
        die_at(&place, format!("uploaded.{side}"), async |store| {
            let mime_type = "text/plain".to_owned();
            store
                .note_uploaded(&did(), "https://pds.example", cid, mime_type, NOW)
                .await
                .unwrap();
        })
        .await;
        let store = place.open();
        let uploaded = store
            .uploaded(&did(), "https://pds.example", cid, NOW)
            .await;
        assert_eq!(uploaded.unwrap().is_some(), kept, "{side}");
    }
}

/// A pending entry with an attachment.
async fn with_picture(place: &Place) -> Entry {
    let store = place.open();
    let draft = with_file(&store, b"picture", note("x")).await;
    accept(&store, draft).await
}
