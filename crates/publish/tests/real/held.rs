//! One outbox and two processes that use it, at the worst moments. A crash plan that lets nobody die holds
//! the one at its point until the other has done something.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use atcomms_devnet::Devnet;
use atcomms_lexicon::RecordKey;
use atcomms_publish::store::CrashPlan;
use atcomms_publish::{PublishError, Publisher, Session, Store};

use crate::network::{Network, message};

/// Where a process is held, and how it goes on.
struct Held {
    arrived: Receiver<()>,
    go_on: Sender<()>,
}

impl Held {
    /// Opens a store that is held when it reaches a point for the n-th time.
    fn open(path: &Path, point: &'static str, count: usize) -> (Self, Store) {
        let (arrive, arrived) = channel();
        let (go_on, wait) = channel();
        let (wait, reached) = (Mutex::new(wait), AtomicUsize::new(0));
        let plan = CrashPlan::new(move |at| {
            if at == point && reached.fetch_add(1, Ordering::SeqCst) + 1 == count {
                arrive.send(()).unwrap();
                wait.lock().unwrap().recv().unwrap();
            }
            false
        });
        let store = Store::open_to_crash(path, plan).unwrap();
        (Self { arrived, go_on }, store)
    }

    /// Waits until the process is held; it is as long as what this gives is not told to go on.
    async fn until(self) -> Sender<()> {
        let Self { arrived, go_on } = self;
        let arrived = tokio::task::spawn_blocking(move || arrived.recv());
        arrived.await.unwrap().unwrap();
        go_on
    }
}

/// A folder for the store, a devnet, and two sessions of one account.
async fn stage() -> (tempfile::TempDir, Devnet, [Session; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::Devnet(Devnet::start().await.unwrap());
    let account = network.account().await;
    let sessions = [account.login().await, account.login().await];
    let Network::Devnet(devnet) = network else {
        unreachable!("it is a devnet")
    };
    (folder, devnet, sessions)
}

/// The second transaction of a store with one message notes that it is sent: the first accepts it.
const BEFORE_IT_IS_SENT: (&str, usize) = ("transaction.begin", 2);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_as_it_is_about_to_be_sent_is_not_sent() {
    let (folder, devnet, [session, _]) = stage().await;
    let path = folder.path().join("store.sqlite3");
    let (point, count) = BEFORE_IT_IS_SENT;
    let (held, store) = Held::open(&path, point, count);
    let publisher = Publisher::new(session, store);
    let before = devnet.pds()[0].last_seq();
    let publish = publisher.publish(message(&publisher, "never mind"));
    let accepted = publish.enqueue().await.unwrap();
    let go_on = held.until().await;

    let other = Store::open(&path).unwrap();
    assert!(other.give_up(accepted.id()).await.unwrap());
    go_on.send(()).unwrap();
    publisher.flush().await;
    let outcome = accepted.receipt().await;
    assert!(
        matches!(outcome, Err(PublishError::GivenUp { .. })),
        "{outcome:?}"
    );
    assert_eq!(devnet.pds()[0].last_seq(), before, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_is_given_up_as_it_is_uploaded_is_no_failure() {
    let (folder, _devnet, [session, _]) = stage().await;
    let path = folder.path().join("store.sqlite3");
    let (held, store) = Held::open(&path, "upload.before", 1);
    let publisher = Publisher::new(session, store.clone());
    let publish = publisher.publish(message(&publisher, "never mind"));
    let file = atcomms_publish::Attachment::bytes("a file");
    let accepted = publish.attach(file).enqueue().await.unwrap();
    let go_on = held.until().await;

    assert!(store.give_up(accepted.id()).await.unwrap());
    go_on.send(()).unwrap();
    let outcome = accepted.receipt().await;
    assert!(
        matches!(outcome, Err(PublishError::GivenUp { .. })),
        "{outcome:?}"
    );
    assert_eq!(publisher.get_record(accepted.uri()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_gives_way_as_it_is_about_to_be_sent_is_not_sent() {
    let (folder, devnet, [session, other]) = stage().await;
    let path = folder.path().join("store.sqlite3");
    let (point, count) = BEFORE_IT_IS_SENT;
    let (held, store) = Held::open(&path, point, count);
    let publisher = Publisher::new(session, store);
    let other = Publisher::new(other, Store::open(&path).unwrap());
    let key: RecordKey = "3lbwxyz2bcd2a".parse().unwrap();
    let before = devnet.pds()[0].last_seq();
    let put =
        |publisher: &Publisher, text| publisher.put(message(publisher, text)).key(key.clone());
    let older = put(&publisher, "older").enqueue().await.unwrap();
    let go_on = held.until().await;

    let newer = put(&other, "newer").enqueue().await.unwrap();
    go_on.send(()).unwrap();
    let (older, newer) = (older.receipt().await, newer.receipt().await);
    let (older, newer) = (older.unwrap(), newer.unwrap());
    assert_eq!(older, newer, "the newer one speaks for both");
    assert_eq!(devnet.pds()[0].last_seq(), before + 1, "one commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_before_its_caller_waits_for_it_is_told() {
    let (folder, _devnet, [session, other]) = stage().await;
    let path = folder.path().join("store.sqlite3");
    let (held, store) = Held::open(&path, "accept.after_commit", 1);
    let publisher = Publisher::new(session, store);
    let publishing = publisher.publish(message(&publisher, "fast"));
    let publishing = tokio::spawn(publishing.into_future());
    let go_on = held.until().await;

    let other = Publisher::new(other, Store::open(&path).unwrap());
    other.flush().await;
    let did = other.session().did();
    assert_eq!(other.store().waiting(did).await.unwrap().entries, 0);
    go_on.send(()).unwrap();
    let receipt = publishing.await.unwrap().unwrap();
    let found = other.get_record(&receipt.uri).await.unwrap().unwrap();
    assert_eq!(found.cid, receipt.cid);
}
