//! Attachments are copied when a message is accepted, and stay for as long as it needs them.

use std::fs::{self, File};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use atcomms_store::{AcceptError, CopyError, Draft, Failed, OpenError, Outcome, Store, StoreError};
use tokio::io::{AsyncRead, ReadBuf};

use crate::support::{
    NOW, Place, accept, cid, file_name, next, note, once, put, settle, texts, with_file, written,
};

#[tokio::test]
async fn it_is_copied_under_its_hash_until_the_message_is_written() {
    let place = Place::new();
    let store = place.open();
    let draft = with_file(&store, b"picture", note("x")).await;
    let entry = accept(&store, draft).await;
    let file = store.blobs().file(&cid(b"picture"));
    assert_eq!(fs::read(&file).unwrap(), b"picture");
    assert_eq!(place.blobs(), [file_name(b"picture")]);
    drop(store);
    let store = place.open();
    assert_eq!(fs::read(&file).unwrap(), b"picture", "it survives");
    settle(&store, &entry, written()).await;
    assert!(place.blobs().is_empty());
}

#[tokio::test]
async fn two_messages_share_a_file() {
    let place = Place::new();
    let store = place.open();
    let one = accept(&store, with_file(&store, b"both", note("1")).await).await;
    let two = accept(&store, with_file(&store, b"both", note("2")).await).await;
    assert_eq!(place.blobs().len(), 1);
    settle(&store, &one, written()).await;
    assert_eq!(place.blobs(), [file_name(b"both")], "the other needs it");
    settle(&store, &two, written()).await;
    assert!(place.blobs().is_empty());
}

#[tokio::test]
async fn a_failed_message_keeps_its_files() {
    let place = Place::new();
    let store = place.open();
    let entry = accept(&store, with_file(&store, b"picture", note("x")).await).await;
    let failed = Outcome::Failed(Failed {
        failure: "Refused".to_owned(),
        reason: "no".to_owned(),
        found: None,
    });
    settle(&store, &entry, failed).await;
    drop(store);
    let store = place.open();
    assert_eq!(place.blobs(), [file_name(b"picture")]);
    fs::remove_file(store.blobs().file(&cid(b"picture"))).unwrap();
    let error = store.send_again(entry.id).await.unwrap_err();
    assert!(matches!(error, StoreError::NoBlob { cid: gone } if gone == cid(b"picture")));
    drop(store);
    assert!(
        next(&place.open()).await.is_empty(),
        "it opens, still failed"
    );
}

#[tokio::test]
async fn an_update_that_is_replaced_needs_its_files_no_more() {
    let place = Place::new();
    let store = place.open();
    accept(&store, with_file(&store, b"old", put("a", "old")).await).await;
    accept(&store, with_file(&store, b"new", put("a", "new")).await).await;
    assert_eq!(place.blobs(), [file_name(b"new")]);
}

#[tokio::test]
async fn what_is_not_accepted_leaves_no_file() {
    let place = Place::new();
    let store = place.open();
    accept(&store, once("k", note("x"))).await;
    let refused = with_file(&store, b"one", once("k", put("a", "other"))).await;
    store.accept(refused, NOW).await.unwrap_err();
    let known = with_file(&store, b"two", once("k", note("x"))).await;
    assert!(!store.accept(known, NOW).await.unwrap().fresh);
    let dropped = store.blobs().copy(&b"three"[..], 100).await.unwrap();
    assert_eq!(place.blobs().len(), 1, "it has no name yet");
    drop(dropped);
    assert!(place.blobs().is_empty());
}

#[tokio::test]
async fn a_message_whose_file_is_not_there_is_not_accepted() {
    let place = Place::new();
    let store = place.open();
    let lacking = |bytes: &[u8], size| Draft {
        blobs: vec![atcomms_store::Blob {
            cid: cid(bytes),
            size,
            mime_type: "text/plain".to_owned(),
        }],
        ..note("x")
    };
    accept(&store, with_file(&store, b"there", note("y")).await).await;
    for draft in [lacking(b"nowhere", 7), lacking(b"there", 99)] {
        let error = store.accept(draft, NOW).await.unwrap_err();
        assert!(matches!(
            error,
            AcceptError::Store(StoreError::NoBlob { .. })
        ));
        assert!(error.to_string().contains("attach it again"));
    }
    accept(&store, lacking(b"there", 5)).await;
    // Its own files go too, unless somebody needs them.
    let mut half = with_file(&store, b"mine", note("z")).await;
    half.blobs.extend(lacking(b"nowhere", 7).blobs);
    store.accept(half, NOW).await.unwrap_err();
    assert_eq!(place.blobs(), [file_name(b"there")]);
    drop(store);
    assert_eq!(texts(&next(&place.open()).await), ["y", "x"]);
}

#[tokio::test]
async fn a_store_whose_message_lacks_a_file_says_so_and_how_to_go_on() {
    let truncated: fn(&std::path::Path) = |file| fs::write(file, b"pic").unwrap();
    let removed: fn(&std::path::Path) = |file| fs::remove_file(file).unwrap();
    for (damage, what) in [
        (truncated, "has 3 bytes instead of 7"),
        (removed, "cannot be read"),
    ] {
        let place = Place::new();
        let store = place.open();
        accept(&store, note("before")).await;
        let entry = accept(&store, with_file(&store, b"picture", note("x")).await).await;
        let file = store.blobs().file(&cid(b"picture"));
        drop(store);
        damage(&file);
        let error = Store::open(place.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }));
        let message = error.to_string();
        assert!(message.contains(what), "{message}");
        assert!(message.contains(&entry.uri().to_string()), "{message}");
        assert!(
            message.contains(&format!("put the file back as {}", file.display())),
            "{message}"
        );
        // The one remedy.
        fs::write(&file, b"picture").unwrap();
        assert_eq!(texts(&next(&place.open()).await), ["before", "x"]);
        // The other, as it stands in the message.
        damage(&file);
        let remedy = message.split('"').nth(1).unwrap();
        assert!(remedy.starts_with("DELETE"), "{message}");
        let by_hand = rusqlite::Connection::open(place.path()).unwrap();
        assert_eq!(by_hand.execute(remedy, []).unwrap(), 1);
        drop(by_hand);
        assert_eq!(texts(&next(&place.open()).await), ["before"]);
        assert!(
            place.blobs().is_empty(),
            "what is left of the file is swept"
        );
    }
}

#[tokio::test]
async fn what_a_dead_process_left_is_swept_and_nothing_else() {
    let place = Place::new();
    let store = place.open();
    accept(&store, with_file(&store, b"needed", note("x")).await).await;
    let folder = store.blobs().path().to_owned();
    drop(store);
    fs::write(folder.join(file_name(b"orphan")), b"orphan").unwrap();
    fs::write(folder.join(".part-young"), b"").unwrap();
    fs::write(folder.join(".part-stale"), b"").unwrap();
    let days_ago = SystemTime::now() - Duration::from_secs(49 * 3600);
    let stale = File::options().write(true).open(folder.join(".part-stale"));
    stale.unwrap().set_modified(days_ago).unwrap();
    fs::write(folder.join("notes.txt"), b"somebody's").unwrap();
    fs::create_dir(folder.join("lost+found")).unwrap();
    drop(place.open());
    assert_eq!(
        place.blobs(),
        [
            ".part-young",
            &file_name(b"needed"),
            "lost+found",
            "notes.txt"
        ]
    );
}

#[tokio::test]
async fn a_file_is_copied_up_to_the_limit() {
    let place = Place::new();
    let store = place.open();
    let bytes = vec![7; 200_000];
    let fits = store.blobs().copy(&bytes[..], 200_000).await.unwrap();
    assert_eq!((fits.size, fits.cid), (200_000, cid(&bytes)));
    let error = store.blobs().copy(&bytes[..], 199_999).await.unwrap_err();
    assert!(matches!(error, CopyError::TooLarge { limit: 199_999 }));
    // What does not end is not read to its end.
    let endless = tokio::io::repeat(1);
    let error = store.blobs().copy(endless, 1_000_000).await.unwrap_err();
    assert!(matches!(error, CopyError::TooLarge { .. }));
    drop(fits);
    assert!(place.blobs().is_empty());
    let empty = store.blobs().copy(&b""[..], 0).await.unwrap();
    assert_eq!((empty.size, empty.cid), (0, cid(b"")));
}

#[tokio::test]
async fn a_source_that_fails_half_way_leaves_nothing() {
    /// Gives some bytes, then fails.
    struct Failing(usize);
    impl AsyncRead for Failing {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0 = match self.0.checked_sub(1) {
                Some(left) => left,
                None => return Poll::Ready(Err(io::Error::other("the network is gone"))),
            };
            buffer.put_slice(&vec![1; buffer.remaining()]);
            Poll::Ready(Ok(()))
        }
    }
    let place = Place::new();
    let store = place.open();
    let error = store.blobs().copy(Failing(3), 1 << 20).await.unwrap_err();
    assert!(matches!(error, CopyError::Read(_)));
    assert!(error.to_string().contains("the network is gone"));
    assert!(place.blobs().is_empty());
}
