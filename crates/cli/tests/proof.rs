//! `atcomms prove` and `atcomms verify`: a message is proven, deleted, and still proven when its network is
//! gone.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::process::Output;

use atcomms::Agent;
use atcomms::lexicon::Address;
use atcomms_devnet::Devnet;
use serde_json::{Value, json};
use tempfile::TempDir;

use support::{atcomms, lines, run_with_bytes, said};

/// An account, and the command line that uses it.
struct Author {
    folder: TempDir,
    plc: String,
    handle: String,
    did: String,
    agent: Agent,
}

impl Author {
    /// Logs in, in the store and in the test itself.
    async fn new(plc: &str, pds: &str, handle: &str, password: &str) -> Self {
        let builder = Agent::builder()
            .plc(plc.parse().expect("a URL"))
            .pds(pds.parse().expect("a URL"));
        let address: Address = handle.parse().expect("a handle");
        let agent = builder
            .login(address, password.to_owned().into())
            .await
            .expect("the account can log in");
        let author = Author {
            folder: tempfile::tempdir().expect("a folder"),
            plc: plc.to_owned(),
            handle: handle.to_owned(),
            did: agent.did().to_string(),
            agent,
        };
        let login = author.run(&["login", handle, "--pds", pds], password).await;
        assert!(login.status.success(), "{}", said(&login));
        author
    }

    async fn run(&self, words: &[&str], stdin: impl AsRef<[u8]>) -> Output {
        let mut command = atcomms(&self.path("store.sqlite3"), &self.plc);
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let stdin = stdin.as_ref().to_vec();
        tokio::task::spawn_blocking(move || {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            run_with_bytes(&mut command, &words, &stdin)
        })
        .await
        .expect("it ran")
    }

    async fn ok(&self, words: &[&str]) -> Output {
        let output = self.run(words, "").await;
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        output
    }

    /// Runs a command that must fail with this code, printing nothing, and gives what it said.
    async fn fails(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words, "").await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(output.stdout.is_empty(), "{words:?}: nothing on stdout");
        assert!(!said.is_empty() && !said.contains("panicked"), "{said}");
        said
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        let path = self.path(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// A message is sent and proven into a file; what was sent, as JSON.
    async fn prove_a_message(&self) -> Value {
        let send = ["send", &self.did, "The build is green.", "--json"];
        let sent = lines(&self.ok(&send).await.stdout).remove(0);
        let uri = sent["uri"].as_str().expect("a URI");
        let made = self.ok(&["prove", uri]).await;
        assert!(said(&made).contains(uri), "{}", said(&made));

        // By the author's handle, and into a file: the same but for when the document was resolved.
        let file = self.file("x.car");
        let named = uri.replace(&self.did, &self.handle);
        assert_ne!(named, uri);
        let silent = self.ok(&["prove", &named, "--out", &file]).await;
        assert!(silent.stdout.is_empty() && said(&silent).contains(uri));
        let written = std::fs::read(&file).expect("it was written");
        assert_eq!(written.len(), made.stdout.len());

        let piped = self.run(&["verify", "-", "--json"], made.stdout).await;
        assert_eq!(lines(&piped.stdout)[0]["uri"], sent["uri"]);
        let online = ["verify", &file, "--online", "--json"];
        let online = lines(&self.ok(&online).await.stdout).remove(0);
        assert_eq!(
            online["online"],
            json!({"key": "current", "from": null, "until": null})
        );
        self.what_is_wrong_is_said(uri, &written).await;
        sent
    }

    async fn what_is_wrong_is_said(&self, uri: &str, proof: &[u8]) {
        let (absent, missing) = (format!("{uri}z"), self.file("missing.car"));
        let repository = format!("at://{}", self.did);
        let nobody = uri.replace(&self.did, "did:plc:44ybard66vv44zksje25o7dz");
        for (code, words, word) in [
            (1, ["prove", &absent], "has no such record"),
            (1, ["prove", &nobody], "does not exist"),
            (2, ["prove", &repository], "at://AUTHOR/COLLECTION/KEY"),
            (2, ["prove", "build-4711"], "at://"),
            (2, ["verify", &missing], "missing.car"),
        ] {
            let said = self.fails(code, &words).await;
            assert!(said.contains(word), "{words:?} should say {word}: {said}");
        }
        let mut damaged = proof.to_vec();
        *damaged.last_mut().expect("it is not empty") ^= 1;
        for (name, bytes, word) in [
            ("empty.car", &[][..], "is empty"),
            ("damaged.car", &damaged[..], "changed on the way"),
            ("cut.car", &proof[..proof.len() - 1], "ends early"),
        ] {
            let file = self.file(name);
            std::fs::write(&file, bytes).expect("a file");
            let said = self.fails(1, &["verify", &file]).await;
            assert!(said.contains(word), "{name}: {said}");
        }
    }

    async fn delete(&self, sent: &Value) {
        let uri = sent["uri"].as_str().expect("a URI");
        let delete = self.agent.publisher().delete(&uri.parse().expect("a URI"));
        delete.await.expect("it is deleted");
        let gone = self.fails(1, &["prove", uri]).await;
        assert!(gone.contains("has no such record"), "{gone}");
    }

    /// The record is deleted and its network gone: the file says what it said.
    async fn it_is_still_proven(&self, sent: &Value) {
        let (file, uri) = (self.file("x.car"), sent["uri"].as_str().expect("a URI"));
        let unreachable = self.fails(1, &["prove", uri]).await;
        assert!(
            unreachable.contains("did:plc"),
            "the network is gone: {unreachable}"
        );
        let found = lines(&self.ok(&["verify", &file, "--json"]).await.stdout).remove(0);
        for field in ["uri", "cid", "rev"] {
            assert_eq!(found[field], sent[field], "{field}");
        }
        assert_eq!(found["author"], self.did);
        assert_eq!(found["key_proven"], true, "the DID vouches for it");
        assert_eq!(found["handle"], self.handle);
        assert_eq!(found["record"]["content"]["text"], "The build is green.");
        assert_eq!(found["online"], Value::Null);
        let told = self.ok(&["verify", &file]).await.stdout;
        let told = String::from_utf8(told).expect("UTF-8");
        for word in ["proven", uri, &self.did, "The build is green.", "not asked"] {
            assert!(told.contains(word), "{word} in {told}");
        }
        // Asked for what needs the network, it shows what it can, and fails.
        let asked = self.run(&["verify", &file, "--online", "--json"], "").await;
        assert_eq!(asked.status.code(), Some(1));
        assert_eq!(lines(&asked.stdout)[0]["cid"], sent["cid"]);
        assert!(
            said(&asked).contains("not known whether"),
            "{}",
            said(&asked)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stays_proven_when_the_devnet_is_gone() {
    let net = Devnet::start().await.expect("a network");
    let account = net.create_account("alice").await.expect("an account");
    let author = Author::new(
        net.plc_url(),
        &account.pds,
        account.handle.as_str(),
        &account.password,
    )
    .await;
    let sent = author.prove_a_message().await;
    author.delete(&sent).await;
    net.shutdown().await;
    author.it_is_still_proven(&sent).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
async fn a_message_stays_proven_when_the_reference_pds_is_gone() {
    use atcomms_reference_pds::{Options, ReferencePds};
    let pds = ReferencePds::start(Options::default())
        .await
        .expect("the reference PDS starts");
    let account = pds.create_account("alice").await.expect("an account");
    let url = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    let author = Author::new(
        &url(pds.plc_url()),
        &url(pds.url()),
        &account.handle,
        &account.password,
    )
    .await;
    let sent = author.prove_a_message().await;
    author.delete(&sent).await;
    pds.stop().await.expect("it stops");
    author.it_is_still_proven(&sent).await;
}
