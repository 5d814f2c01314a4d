//! Somebody at the command line, logged in on a network that can go away and come back.

use std::path::PathBuf;
use std::process::{Command, Output};

use atcomms_devnet::{Account, Devnet, RateLimits};
use atcomms_reference_pds::http_client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::{atcomms, lines, run, said};

const COLLECTION: &str = "agent.comms.message";

pub(crate) struct Desk {
    /// The devnet lives in its threads.
    runtime: Runtime,
    devnet: Option<Devnet>,
    folder: TempDir,
    limits: Option<RateLimits>,
    plc: String,
    pub(crate) me: Account,
}

impl Desk {
    /// Alice, logged in at a devnet.
    pub(crate) fn new() -> Self {
        Desk::limited(None)
    }

    /// The same where the PDS has rate limits.
    pub(crate) fn limited(limits: Option<RateLimits>) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let devnet = runtime.block_on(start(&folder, limits.clone()));
        let me = devnet.accounts().remove(0);
        let desk = Desk {
            plc: devnet.plc_url().to_owned(),
            devnet: Some(devnet),
            runtime,
            folder,
            limits,
            me,
        };
        let login = ["login", desk.me.handle.as_str(), "--pds", &desk.me.pds];
        let output = run(&mut desk.command(), &login, &desk.me.password);
        assert!(output.status.success(), "{}", said(&output));
        desk
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The relay's URL.
    pub(crate) fn relay(&self) -> &str {
        self.devnet.as_ref().expect("it runs").relay().url()
    }

    /// The network is gone.
    pub(crate) fn stop(&mut self) {
        let devnet = self.devnet.take().expect("it runs");
        self.runtime.block_on(devnet.shutdown());
    }

    /// It is back, at the same place.
    pub(crate) fn back(&mut self) {
        let started = start(&self.folder, self.limits.clone());
        self.devnet = Some(self.runtime.block_on(started));
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("store.sqlite3")
    }

    pub(crate) fn command(&self) -> Command {
        atcomms(&self.state(), &self.plc)
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        run(&mut self.command(), words, "")
    }

    /// Runs a command that must succeed; gives the objects that it printed, and what it said.
    pub(crate) fn ok(&self, words: &[&str]) -> (Vec<Value>, String) {
        let output = self.run(words);
        let said = said(&output);
        assert!(output.status.success(), "atcomms {words:?}: {said}");
        (lines(&output.stdout), said)
    }

    /// Runs a command that must fail with this code, and gives what it said.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// Sends a message to oneself: what was printed of it, and what was said.
    pub(crate) fn send(&self, text: &str, more: &[&str]) -> (Value, String) {
        let words = ["send", self.me.did.as_str(), text, "--json"];
        let (mut printed, said) = self.ok(&[&words, more].concat());
        assert_eq!(printed.len(), 1, "{printed:?}");
        (printed.remove(0), said)
    }

    /// What the outbox shows.
    pub(crate) fn outbox(&self) -> Vec<Value> {
        self.ok(&["outbox", "--json"]).0
    }

    /// What the budget shows.
    pub(crate) fn budget(&self) -> Value {
        self.ok(&["budget", "--json"]).0.remove(0)
    }

    /// The messages in the repository by the PDS's word: URI, CID and text, in the order of their keys.
    pub(crate) fn messages(&self) -> Vec<(String, String, String)> {
        let (pds, did) = (&self.me.pds, &self.me.did);
        let method = "com.atproto.repo.listRecords";
        let query = format!("repo={did}&collection={COLLECTION}&limit=100&reverse=true");
        let url = format!("{pds}/xrpc/{method}?{query}");
        let listed: Value = self.runtime.block_on(async {
            let answer = http_client().get(url).send().await.expect("an answer");
            answer.json().await.expect("a list")
        });
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let records = listed["records"].as_array().expect("records").iter();
        let records = records.map(|record| {
            let said = text(&record["value"]["content"]["text"]);
            (text(&record["uri"]), text(&record["cid"]), said)
        });
        records.collect()
    }

    /// The texts of the messages in the repository.
    pub(crate) fn texts(&self) -> Vec<String> {
        let messages = self.messages().into_iter();
        messages.map(|(_, _, text)| text).collect()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

async fn start(folder: &TempDir, limits: Option<RateLimits>) -> Devnet {
    let builder = Devnet::builder()
        .data(folder.path().join("network"))
        .account("alice");
    let builder = match limits {
        Some(limits) => builder.rate_limits(limits),
        None => builder,
    };
    builder.start().await.expect("the devnet starts")
}
