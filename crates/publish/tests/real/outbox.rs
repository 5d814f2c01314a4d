//! What is accepted while the PDS is away, by one process and sent by another.

use std::collections::BTreeSet;
use std::time::Duration;

use atcomms_devnet::Devnet;
use atcomms_lexicon::{Card, Message};
use atcomms_publish::store::State;
use atcomms_publish::{Attachment, Downloader, Progress, Publisher, Session, Store};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::network::message;

/// Long enough for a machine that does something else; a test that works does not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Away {
    folder: TempDir,
    session: Session,
}

impl Away {
    /// An account on a devnet that is stopped again.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let devnet = devnet(&folder).await;
        let alice = devnet.accounts().remove(0);
        let pds = alice.pds.parse().unwrap();
        let session = Session::login(pds, alice.handle.as_str(), alice.password.into())
            .await
            .unwrap();
        devnet.shutdown().await;
        Self { folder, session }
    }

    fn publisher(&self) -> Publisher {
        let store = Store::open(self.folder.path().join("store.sqlite3")).unwrap();
        Publisher::new(self.session.clone(), store)
    }

    async fn back(&self) -> Devnet {
        devnet(&self.folder).await
    }
}

async fn devnet(folder: &TempDir) -> Devnet {
    Devnet::builder()
        .data(folder.path().join("network"))
        .account("alice")
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_attachment_that_vanishes_after_it_was_accepted_is_sent_all_the_same() {
    let away = Away::new().await;
    let file = away.folder.path().join("report.csv");
    std::fs::write(&file, "step,result\n").unwrap();
    let publisher = away.publisher();
    let publish = publisher.publish(message(&publisher, "the report"));
    let accepted = publish
        .attach(Attachment::file(&file))
        .enqueue()
        .await
        .unwrap();
    std::fs::write(&file, "something else").unwrap();
    std::fs::remove_file(&file).unwrap();

    let devnet = away.back().await;
    let receipt = accepted.receipt().await.unwrap();
    let stored = publisher.get_record(&receipt.uri).await.unwrap().unwrap();
    let blob = stored.decode::<Message>().unwrap().attachments[0]
        .blob
        .clone();
    let mut bytes = Vec::new();
    let pds = devnet.pds()[0].url().parse().unwrap();
    Downloader::new(true)
        .download(&pds, away.session.did(), &blob, &mut bytes)
        .await
        .unwrap();
    assert_eq!(bytes, b"step,result\n", "the copy counts");
}

#[tokio::test]
async fn what_one_process_leaves_behind_another_sends() {
    let away = Away::new().await;
    let first = away.publisher();
    let left = first
        .publish(message(&first, "left behind"))
        .once("the only one")
        .enqueue()
        .await
        .unwrap();
    first.flush().await;
    let Progress::Pending(pending) = left.progress() else {
        panic!("nobody can have written it")
    };
    assert!(pending.reason.unwrap().contains("no connection"));
    drop(first);

    let devnet = away.back().await;
    let second = away.publisher();
    second.flush().await;
    let waiting = second.store().waiting(away.session.did()).await.unwrap();
    assert_eq!(waiting.entries, 0, "a new publisher sends what waits");
    let again = second.publish(message(&second, "left behind"));
    let again = again.once("the only one").await.unwrap();
    assert_eq!(&again.uri, left.uri(), "and knows it by its key");
    assert!(second.get_record(&again.uri).await.unwrap().is_some());
    let commits = devnet.pds()[0].last_seq();
    second
        .publish(message(&second, "left behind"))
        .once("the only one")
        .await
        .unwrap();
    assert_eq!(devnet.pds()[0].last_seq(), commits, "nothing was written");
}

#[tokio::test]
async fn many_publishers_of_one_store_all_learn_what_became_of_theirs() {
    let away = Away::new().await;
    let _devnet = away.back().await;
    // Each opens the store for itself, as processes do; one at a time sends.
    let publishers: Vec<Publisher> = (0..8).map(|_| away.publisher()).collect();
    let mut receipts = Vec::new();
    for n in 0..10 {
        for publisher in &publishers {
            let text = format!("message {n}");
            let publish = publisher.publish(message(publisher, &text));
            receipts.push(tokio::spawn(publish.into_future()));
        }
    }
    let mut uris = BTreeSet::new();
    for receipt in receipts {
        let receipt = timeout(PATIENCE, receipt).await;
        let receipt = receipt.expect("its publisher learns of it").unwrap();
        uris.insert(receipt.unwrap().uri);
    }
    assert_eq!(uris.len(), 80, "each under its own key");
}

#[tokio::test]
async fn updates_that_wait_are_one_and_a_delete_comes_last() {
    let away = Away::new().await;
    let devnet = away.back().await;
    let first = away.publisher();
    // It accepts, and leaves the sending to the next one.
    first.shutdown().await;
    let card = |name: &str| Card::new().name(name);
    first.put(card("one")).enqueue().await.unwrap();
    first.put(card("two")).enqueue().await.unwrap();
    let short_lived = message(&first, "short-lived");
    let note = first.publish(short_lived).enqueue().await.unwrap();
    first.delete(note.uri()).enqueue().await.unwrap();
    drop(first);

    let before = devnet.pds()[0].last_seq();
    let publisher = away.publisher();
    publisher.flush().await;
    let did = away.session.did();
    let entries = publisher.store().entries(Some(did), true).await.unwrap();
    let states: Vec<State> = entries.iter().map(|entry| entry.state).collect();
    use State::{Folded, Written};
    assert_eq!(states, [Folded, Written, Written, Written]);
    let card = publisher.get_record(&entries[1].uri()).await.unwrap();
    let card = card.unwrap().decode::<Card>().unwrap();
    assert_eq!(card.name.as_deref(), Some("two"));
    assert!(entries[3].rev > entries[2].rev, "it was there, and is gone");
    assert_eq!(publisher.get_record(note.uri()).await.unwrap(), None);
    let commits = devnet.pds()[0].last_seq() - before;
    assert_eq!(commits, 3, "one update, one creation, one delete");
}
