//! Two agents, driven from the command line alone: on a devnet that the command line started, and on the
//! reference PDS.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command};

use serde_json::Value;
use tempfile::TempDir;

use support::{atcomms, lines, run, said};

/// Two accounts on a network, and a state file of their own.
struct Network {
    folder: TempDir,
    plc: String,
    pds: String,
    /// Handle, DID, password.
    accounts: Vec<(String, String, String)>,
}

impl Network {
    fn command(&self) -> Command {
        atcomms(&self.folder.path().join("state.json"), &self.plc)
    }

    /// Runs a command that must succeed.
    fn ok(&self, words: &[&str]) -> Vec<u8> {
        let output = run(&mut self.command(), words, "");
        assert!(
            output.status.success(),
            "atcomms {words:?}: {}",
            said(&output)
        );
        output.stdout
    }

    /// Runs a command that must fail with this code, and gives what it said.
    fn fails(&self, code: i32, words: &[&str], stdin: &str) -> String {
        let output = run(&mut self.command(), words, stdin);
        let said = said(&output);
        assert_eq!(
            output.status.code(),
            Some(code),
            "atcomms {words:?}: {said}"
        );
        assert!(output.stdout.is_empty(), "nothing on stdout when it fails");
        assert!(!said.is_empty() && !said.contains("panicked"), "{said}");
        said
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

/// A command that runs beside the test, and ends with it.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, words: &[&str]) -> Self {
        Running(command.args(words).spawn().expect("atcomms starts"))
    }

    /// Waits for a line on stderr that says so.
    fn until(&mut self, word: &str) -> &mut Self {
        let stderr = self.0.stderr.take().expect("stderr is a pipe");
        let mut stderr = BufReader::new(stderr);
        loop {
            let mut line = String::new();
            let read = stderr.read_line(&mut line).expect("stderr can be read");
            assert!(read > 0, "it ended without saying {word}");
            if line.contains(word) {
                self.0.stderr = Some(stderr.into_inner());
                return self;
            }
        }
    }

    /// The next line on stdout, as JSON.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().expect("stdout is a pipe");
        // Byte by byte: what comes after the line must stay in the pipe.
        while !line.ends_with('\n') {
            let mut byte = [0];
            std::io::Read::read_exact(stdout, &mut byte).expect("a line on stdout");
            line.push(char::from(byte[0]));
        }
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"))
    }

    /// Ctrl-C, and the exit code.
    fn interrupt(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        let kill = Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill runs");
        assert!(kill.success());
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the users do: two terminals, one message, one request.
fn talk(network: &Network) {
    let [alice, bob] = network.accounts.as_slice() else {
        panic!("two accounts")
    };
    log_in(network, alice, bob);
    a_message_arrives_verified(network, alice, bob);
    a_request_is_answered(network, bob);
    what_is_wrong_is_said(network, alice, bob);
}

type Account = (String, String, String);

fn log_in(network: &Network, alice: &Account, bob: &Account) {
    let words = |handle| ["login", handle, "--pds", network.pds.as_str()];
    network.fails(2, &words(&alice.0), "");
    let wrong = network.fails(4, &words(&alice.0), "not the password\n");
    assert!(
        wrong.contains(&alice.0) && !wrong.contains("not the password"),
        "{wrong}"
    );
    assert!(network.fails(1, &["whoami"], "").contains("atcomms login"));
    for (handle, did, password) in [bob, alice] {
        let output = run(
            &mut network.command(),
            &words(handle),
            &format!("{password}\n"),
        );
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), did);
        assert!(
            said(&output).contains("public"),
            "a newcomer is told that all is public"
        );
    }
    let who = lines(&network.ok(&["whoami", "--json"]));
    assert_eq!(
        (&who[0]["handle"], &who[0]["did"]),
        (&alice.0.clone().into(), &alice.1.clone().into())
    );
}

fn a_message_arrives_verified(network: &Network, alice: &Account, bob: &Account) {
    let file = network.file("report.csv", b"build,green\n");
    let mut command = network.command();
    command.env("ATCOMMS_LOG", "info");
    let mut watch = Running::start(&mut command, &["watch", "--json", "--limit", "3"]);
    watch.until("connected");

    let send = [
        "send",
        &bob.0,
        "The build is green.",
        "--attach",
        &file,
        "--priority",
        "4",
        "--json",
    ];
    let sent = lines(&network.ok(&send)).remove(0);
    assert_eq!(sent["state"], "written");
    let seen = watch.line();
    for (field, value) in [
        ("uri", &sent["uri"]),
        ("cid", &sent["cid"]),
        ("rev", &sent["rev"]),
    ] {
        assert_eq!(&seen[field], value, "{field}");
    }
    assert_eq!(
        (&seen["trust"], &seen["author"]),
        (&"verified".into(), &alice.1.clone().into())
    );
    assert_eq!(seen["record"]["content"]["text"], "The build is green.");
    assert_eq!(seen["record"]["recipient"], bob.1);
    assert_eq!(seen["record"]["attachments"][0]["name"], "report.csv");

    let reply = ["--as", &bob.0, "send", &alice.0, "Thanks.", "--reply-to"];
    let reply = [&reply[..], &[sent["uri"].as_str().expect("a URI")]].concat();
    network.ok(&reply);
    let seen = watch.line();
    assert_eq!(
        (&seen["author"], &seen["record"]["inReplyTo"]),
        (&bob.1.clone().into(), &sent["uri"])
    );

    // The same key twice is one record, which is delivered once.
    let once = [
        "broadcast",
        "Noon.",
        "--topic",
        "ops",
        "--once",
        "today",
        "--json",
    ];
    let (first, second) = (lines(&network.ok(&once)), lines(&network.ok(&once)));
    assert_eq!(
        (&first[0]["uri"], &first[0]["cid"]),
        (&second[0]["uri"], &second[0]["cid"])
    );
    assert_eq!(watch.line()["uri"], first[0]["uri"]);
    let output = watch.0.wait().expect("it ends after three");
    assert!(output.success());
}

fn a_request_is_answered(network: &Network, bob: &Account) {
    let mut command = network.command();
    let serve = [
        "--as", &bob.0, "serve", "count", "--exec", "wc -c", "--json",
    ];
    let mut serve = Running::start(&mut command, &serve);
    serve.until("Serving");
    let ask = [
        "request",
        &bob.0,
        "count",
        "--params",
        "\"$(touch pwned)\"",
        "--deadline",
        "30s",
    ];
    let ask = [&ask[..], &["--once", "count", "--json"]].concat();
    let answer = lines(&network.ok(&ask)).remove(0);
    assert_eq!(
        (&answer["status"], &answer["author"]),
        (&"ok".into(), &bob.1.clone().into())
    );
    assert!(
        answer["result"].as_u64().is_some_and(|bytes| bytes > 100),
        "{answer}"
    );
    let served = serve.line();
    assert_eq!(
        (&served["state"], &served["response"]),
        (&"answered".into(), &answer["response"])
    );
    assert_eq!(serve.interrupt(), Some(0), "Ctrl-C is a clean end");

    // The server is gone: the answer that is there is found, a new request has none.
    assert_eq!(
        lines(&network.ok(&ask)).remove(0)["response"],
        answer["response"]
    );
    let late = network.fails(3, &["request", &bob.0, "count", "--deadline", "2s"], "");
    assert!(late.contains("no answer"), "{late}");

    for (script, code, word) in [
        ("exit 75", 4, "75"),
        ("echo no such file >&2; exit 1", 4, "no such file"),
    ] {
        let script = network.file("task.sh", script.as_bytes());
        let exec = format!("sh {script}");
        let mut command = network.command();
        let mut serve = Running::start(
            &mut command,
            &["--as", &bob.0, "serve", "fail", "--exec", &exec],
        );
        serve.until("Serving");
        let failed = network.fails(code, &["request", &bob.0, "fail", "--deadline", "30s"], "");
        assert!(failed.contains(word), "{failed}");
    }
}

fn what_is_wrong_is_said(network: &Network, alice: &Account, bob: &Account) {
    let long = "a".repeat(10_001);
    let unknown = format!("nobody.{}", bob.0.split_once('.').expect("a domain").1);
    let dead = "http://localhost:1";
    let large = network.file("large", &vec![0; 6 << 20]);
    let wrong: &[(i32, &[&str], &str)] = &[
        (1, &["login", &alice.0, "--pds", dead], "Connection refused"),
        (1, &["send", &unknown, "hi"], "does not resolve"),
        (
            2,
            &["send", &bob.0, "hi", "--attach", "/nonexistent/file"],
            "/nonexistent/file",
        ),
        (2, &["send", &bob.0, "hi", "--attach", &large], "bytes"),
        (2, &["send", &bob.0, &long], "10001 bytes"),
        (
            2,
            &["request", &bob.0, "count", "--params", "{\"a\":[0.5]}"],
            "a[0]",
        ),
        (
            2,
            &["request", &bob.0, "count", "--params", "{"],
            "not JSON",
        ),
        (2, &["watch", "--source", "localhost:99"], "wss://HOST"),
        (
            1,
            &["watch", "--source", "ws://localhost:1", "--idle", "500ms"],
            "Connection refused",
        ),
        (2, &["serve", "count", "--exec", "'"], "quotes"),
    ];
    for (code, words, word) in wrong {
        let said = network.fails(*code, words, "password\n");
        assert!(
            said.contains(word),
            "atcomms {words:?} should say {word}: {said}"
        );
    }
}

#[test]
fn two_agents_talk_on_the_devnet() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state.json");
    let mut command = atcomms(&state, "http://localhost:1");
    let mut devnet = Running::start(
        &mut command,
        &["devnet", "--account", "alice", "--account", "bob"],
    );
    let ready = devnet.line();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let jetstream = text(&ready["jetstream"]);
    assert!(jetstream.starts_with("ws://localhost:"), "{ready}");
    let relay = text(&ready["relay"]);
    let accounts = ready["accounts"].as_array().expect("accounts").iter();
    let accounts = accounts
        .map(|a| (text(&a["handle"]), text(&a["did"]), text(&a["password"])))
        .collect();
    let network = Network {
        folder,
        plc: text(&ready["plc"]),
        pds: text(&ready["pds"][0]),
        accounts,
    };
    talk(&network);
    let watch = [
        "watch", "--source", &relay, "--json", "--from", "start", "--limit", "1", "--idle", "10s",
    ];
    let seen = lines(&network.ok(&watch));
    assert_eq!(
        seen[0]["source"],
        relay.as_str(),
        "the relay is a source as it is printed"
    );

    // A second network on the same port cannot start, and says so.
    let port = network.pds.rsplit(':').next().expect("a port");
    let taken = network.fails(1, &["devnet", "--port", port], "");
    assert!(taken.contains(port), "{taken}");
    assert_eq!(devnet.interrupt(), Some(0), "Ctrl-C is a clean end");
}

#[test]
fn a_devnet_goes_on_from_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("net");
    let data = data.to_str().expect("a path in UTF-8");
    let state = folder.path().join("state.json");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut uri = None;
    for _ in 0..2 {
        let mut command = atcomms(&state, "http://localhost:1");
        let words = ["devnet", "--data", data, "--account", "alice"];
        let mut devnet = Running::start(&mut command, &words);
        let ready = devnet.line();
        let (plc, pds) = (text(&ready["plc"]), text(&ready["pds"][0]));
        let account = &ready["accounts"][0];
        let login = ["login", "alice.test", "--pds", &pds];
        let output = run(
            &mut atcomms(&state, &plc),
            &login,
            &text(&account["password"]),
        );
        assert!(output.status.success(), "{}", said(&output));
        let watch = [
            "watch", "--json", "--from", "start", "--limit", "1", "--idle", "10s",
        ];
        if let Some(uri) = &uri {
            let output = run(&mut atcomms(&state, &plc), &watch, "");
            assert_eq!(&lines(&output.stdout)[0]["uri"], uri, "{}", said(&output));
        } else {
            let words = ["broadcast", "still here", "--json"];
            let output = run(&mut atcomms(&state, &plc), &words, "");
            uri = Some(lines(&output.stdout)[0]["uri"].clone());
        }
        assert_eq!(devnet.interrupt(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
async fn two_agents_talk_on_the_reference_pds() {
    use atcomms_reference_pds::{Options, ReferencePds};
    let pds = ReferencePds::start(Options::default())
        .await
        .expect("the reference PDS starts");
    let mut accounts = Vec::new();
    for name in ["alice", "bob"] {
        let account = pds.create_account(name).await.expect("an account");
        accounts.push((account.handle, account.did, account.password));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let url = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    let network = Network {
        folder,
        plc: url(pds.plc_url()),
        pds: url(pds.url()),
        accounts,
    };
    tokio::task::spawn_blocking(move || talk(&network))
        .await
        .expect("they talked");
}
