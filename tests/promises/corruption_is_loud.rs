//! P8: our own corruption is loud. A store that contradicts itself does not open, and says what to do; what
//! was accepted is not lost by it.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use atcomms::publish::Attachment;
use atcomms::{Agent, Store};
use atcomms_devnet::Devnet;
use tempfile::TempDir;

/// An agent that has accepted a message, and died before it was sent.
struct Died {
    devnet: Devnet,
    folder: TempDir,
}

impl Died {
    async fn new() -> Self {
        let devnet = Devnet::builder().account("alice").start().await;
        let devnet = devnet.expect("a network");
        let died = Died {
            devnet,
            folder: tempfile::tempdir().expect("a folder"),
        };
        let account = died.devnet.accounts().remove(0);
        let store = Store::open(died.store()).expect("a new store");
        let pds = account.pds.parse().expect("a URL");
        let agent = died.builder().pds(pds).store(store);
        let agent = agent.login(account.handle, account.password.into()).await;
        let agent = agent.expect("a login");
        agent.publisher().shutdown().await;
        let report = Attachment::bytes("step,result\n").name("report.csv");
        let message = agent.send(account.did, "The report.").attachment(report);
        message.enqueue().await.expect("it is accepted");
        died
    }

    fn builder(&self) -> atcomms::AgentBuilder {
        Agent::builder().plc(self.devnet.plc_url().parse().expect("a URL"))
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store.sqlite3")
    }

    /// How many messages are in the repository once the agent has started again.
    async fn sent(&self) -> usize {
        let before = self.devnet.pds()[0].last_seq();
        let store = Store::open(self.store()).expect("it is whole again");
        let agent = self.builder().store(store).open(None).expect("a login");
        agent.flush().await;
        usize::try_from(self.devnet.pds()[0].last_seq() - before).expect("a number")
    }
}

fn refused(store: &Path) -> String {
    Store::open(store)
        .expect_err("a damaged store does not open")
        .to_string()
}

#[tokio::test]
async fn an_attachment_that_is_gone() {
    let died = Died::new().await;
    let blobs = died.folder.path().join("store.sqlite3-blobs");
    let files: Vec<PathBuf> = fs::read_dir(&blobs)
        .expect("the folder of blobs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let [file] = files.as_slice() else {
        panic!("one attachment: {files:?}")
    };
    let aside = died.folder.path().join("aside");
    fs::rename(file, &aside).expect("it moves");
    let why = refused(&died.store());
    let name = file.file_name().expect("a name").to_string_lossy();
    assert!(why.contains(&*name), "it says what is missing: {why}");
    assert!(why.contains("put the file back"), "and what to do: {why}");

    fs::rename(&aside, file).expect("it moves back");
    assert_eq!(died.sent().await, 1, "nothing is lost by it");
}

#[tokio::test]
async fn a_page_that_is_damaged() {
    let died = Died::new().await;
    // A store that nobody has open is one file.
    drop(Store::open(died.store()).expect("it is whole"));
    let whole = fs::read(died.store()).expect("the store");
    let mut file = OpenOptions::new().write(true).open(died.store());
    let file = file.as_mut().expect("the store");
    file.seek(SeekFrom::Start(4096)).expect("a second page");
    file.write_all(&[0xff; 4096]).expect("room");
    let why = refused(&died.store());
    assert!(why.contains("damaged"), "{why}");
    assert!(why.contains("restore it from a backup"), "{why}");

    fs::write(died.store(), whole).expect("room");
    assert_eq!(died.sent().await, 1, "the backup has it");
}
