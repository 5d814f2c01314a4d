//! `watch --durable --exec` as a task queue: whatever is killed, each message is worked on, and none again
//! once that was recorded.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use support::{atcomms, lines, run, said};

/// Long enough for a machine that does something else; a test that works does not wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network with alice, who is logged in, and a queue of what she sends.
struct Stage {
    folder: TempDir,
    plc: String,
    alice: String,
}

impl Stage {
    fn new(plc: &str, pds: &str, handle: &str, password: &str) -> Self {
        let stage = Self {
            folder: tempfile::tempdir().expect("a folder"),
            plc: plc.to_owned(),
            alice: handle.to_owned(),
        };
        let words = ["login", handle, "--pds", pds];
        let output = run(&mut stage.command(), &words, &format!("{password}\n"));
        assert!(output.status.success(), "{}", said(&output));
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        atcomms(&self.path("store.sqlite3"), &self.plc)
    }

    fn ok(&self, words: &[&str]) -> Vec<Value> {
        let output = run(&mut self.command(), words, "");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        lines(&output.stdout)
    }

    fn fails(&self, code: i32, words: &[&str], word: &str) {
        let output = run(&mut self.command(), words, "");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(word), "{words:?} should say {word}: {said}");
    }

    /// Sends a message to herself; gives its URI.
    fn send(&self, text: &str) -> String {
        let sent = self.ok(&["send", &self.alice, text, "--json", "--wait"]);
        sent[0]["uri"].as_str().expect("a URI").to_owned()
    }

    /// A command that writes the line that it is given into a log, and then does this. A watch that is killed as it
    /// begins the command gives it none, or half of one: then it does nothing.
    fn task(&self, name: &str, then: &str) -> String {
        let script = self.path(&format!("{name}.sh"));
        let log = self.path(name);
        let text = format!(
            "read -r line || exit 75\necho \"$line\" >> {}\n{then}\n",
            log.display()
        );
        std::fs::write(&script, text).expect("a script");
        std::fs::write(&log, "").expect("a log");
        format!("sh {}", script.display())
    }

    /// What was worked on, by the log of a task.
    fn log(&self, name: &str) -> Vec<String> {
        let log = std::fs::read(self.path(name)).expect("a log");
        let complete = log
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let uri = |line: Value| line["uri"].as_str().expect("a URI").to_owned();
        lines(&log[..complete]).into_iter().map(uri).collect()
    }

    fn watch(&self, exec: &str) -> Watch {
        let words = [
            "watch",
            "--durable",
            "queue",
            "--from",
            "start",
            "--exec",
            exec,
            "--ack-wait",
            "1s",
            "--json",
        ];
        let mut child = self.command().args(words).spawn().expect("atcomms starts");
        let mut stdout = child.stdout.take().expect("stdout is a pipe");
        let mut stderr = child.stderr.take().expect("stderr is a pipe");
        // Read all the time: a full pipe would hold it up.
        thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let told = thread::spawn(move || {
            let mut told = Vec::new();
            stdout.read_to_end(&mut told).expect("stdout can be read");
            told
        });
        Watch {
            child,
            told: Some(told),
        }
    }

    fn waiting(&self) -> usize {
        self.ok(&["inbox", "--durable", "queue", "--json"]).len()
    }
}

struct Watch {
    child: Child,
    told: Option<JoinHandle<Vec<u8>>>,
}

impl Watch {
    /// The URIs of what it said was done.
    fn done(&mut self) -> BTreeSet<String> {
        let told = self.told.take().expect("asked once").join().expect("read");
        // A killed process may leave half a line.
        let complete = told
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let done = lines(&told[..complete]).into_iter();
        let done = done.filter(|line| line["state"] == "done");
        done.map(|line| line["uri"].as_str().expect("a URI").to_owned())
            .collect()
    }

    fn kill(mut self) -> BTreeSet<String> {
        self.child.kill().expect("it runs until now");
        self.child.wait().expect("it ends");
        self.done()
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &pid]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Ctrl-C, and a clean end.
    fn end(mut self) -> BTreeSet<String> {
        self.interrupt();
        let ended = self.child.wait().expect("it ends");
        assert_eq!(ended.code(), Some(0));
        self.done()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until it is so.
fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A watch is killed again and again while messages come.
fn killed_again_and_again(stage: &Stage, messages: usize, kills: usize) {
    let exec = stage.task("log", "");
    let sent: Vec<String> = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let send = |n| stage.send(&format!("message {n}"));
            (0..messages).map(send).collect()
        });
        let mut done = BTreeSet::new();
        for kill in 0..kills {
            let before = stage.log("log").len();
            let watch = stage.watch(&exec);
            // Killed while it records that the last one is done, or a moment sooner or later.
            until("work goes on", || {
                stage.log("log").len() > before + kill % 3
            });
            let newly = watch.kill();
            let again: Vec<_> = stage.log("log").split_off(before);
            let again = again.iter().filter(|uri| done.contains(*uri));
            assert_eq!(again.count(), 0, "done, and worked on again");
            done.extend(newly);
        }
        assert!(!done.is_empty(), "nothing was done between the kills");
        let sent: Vec<String> = sender.join().expect("all is sent");
        let before = stage.log("log").len();
        let watch = stage.watch(&exec);
        until("all is worked on", || {
            let log = stage.log("log");
            sent.iter().all(|uri| log.contains(uri)) && stage.waiting() == 0
        });
        watch.end();
        let last = stage.log("log").split_off(before);
        assert!(
            last.iter().all(|uri| !done.contains(uri)),
            "done, and worked on again"
        );
        sent
    });
    let different: BTreeSet<_> = stage.log("log").into_iter().collect();
    assert_eq!(
        different,
        sent.into_iter().collect(),
        "these, and no others"
    );
}

/// Two share the work, and one is killed.
fn shared(stage: &Stage) {
    let mut sent: Vec<String> = (0..12).map(|n| stage.send(&format!("task {n}"))).collect();
    let (a, b) = (stage.task("a", "sleep 0.05"), stage.task("b", "sleep 0.05"));
    let first = stage.watch(&a);
    until("the first works", || !stage.log("a").is_empty());
    let second = stage.watch(&b);
    until("the second works too", || !stage.log("b").is_empty());
    let done = first.kill();
    // Now the second reads the stream, too.
    sent.push(stage.send("after the kill"));
    let known: BTreeSet<_> = sent.iter().cloned().collect();
    until("the second does the rest", || {
        stage.log("b").contains(&sent[12]) && stage.waiting() == 0
    });
    second.end();
    let (a, b) = (stage.log("a"), stage.log("b"));
    let mine = |uri: &&String| known.contains(*uri);
    let worked: BTreeSet<_> = a.iter().chain(&b).filter(mine).cloned().collect();
    assert_eq!(worked, known);
    assert!(
        b.iter().all(|uri| !done.contains(uri)),
        "done by the first, and again by the second"
    );
    let once: BTreeSet<_> = b.iter().collect();
    assert_eq!(
        once.len(),
        b.len(),
        "nothing of the second's came to it twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_worked_on_whatever_is_killed() {
    on_the_devnet(|stage| {
        killed_again_and_again(stage, 20, 8);
        shared(stage);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
async fn each_message_is_worked_on_whatever_is_killed_on_the_reference_pds() {
    use atcomms_reference_pds::{Options, ReferencePds};
    let pds = ReferencePds::start(Options::default()).await;
    let pds = pds.expect("the reference PDS starts");
    let alice = pds.create_account("alice").await.expect("an account");
    let url = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    let (plc, own) = (url(pds.plc_url()), url(pds.url()));
    let played = tokio::task::spawn_blocking(move || {
        let stage = Stage::new(&plc, &own, &alice.handle, &alice.password);
        killed_again_and_again(&stage, 8, 3);
        shared(&stage);
    });
    played.await.expect("it went well");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_lets_the_command_finish_and_begins_no_other() {
    on_the_devnet(|stage| {
        let go = stage.path("go");
        let wait = format!(
            "while [ ! -e {} ]; do sleep 0.02; done\necho over > {}",
            go.display(),
            stage.path("over").display()
        );
        let exec = stage.task("log", &wait);
        let sent = [stage.send("one"), stage.send("two")];
        let mut watch = stage.watch(&exec);
        until("the first is begun", || !stage.log("log").is_empty());
        until("both are taken in", || stage.waiting() == 2);
        watch.interrupt();
        // Longer than a record stays with who is not heard of.
        let interrupted = Instant::now();
        until("it goes on working", || {
            interrupted.elapsed() > Duration::from_millis(1500)
        });
        assert!(watch.child.try_wait().expect("it is asked").is_none());
        std::fs::write(&go, "").expect("a file");
        let ended = watch.child.wait().expect("it ends");
        assert_eq!(ended.code(), Some(0));
        assert!(stage.path("over").exists(), "the command has finished");
        assert_eq!(watch.done(), BTreeSet::from([sent[0].clone()]));
        assert_eq!(stage.log("log"), sent[..1], "the second was not begun");
        let left = stage.ok(&["inbox", "--durable", "queue", "--json"]);
        assert_eq!(left.len(), 1);
        assert_eq!(
            (&left[0]["uri"], &left[0]["attempts"]),
            (&sent[1].clone().into(), &0.into())
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_done_and_what_fails_is_laid_aside() {
    on_the_devnet(|stage| {
        stage.fails(2, &["watch", "--exec", "true"], "--durable");
        stage.fails(
            2,
            &["watch", "--durable", "printed", "--exec", "'"],
            "quotes",
        );
        let sent = [stage.send("one"), stage.send("two")];
        let mut words = vec!["watch", "--durable", "printed", "--from", "start", "--json"];
        words.extend(["--limit", "1"]);
        for uri in &sent {
            let printed = stage.ok(&words);
            assert_eq!(printed.len(), 1);
            assert_eq!(&printed[0]["uri"], uri, "it goes on where it was");
        }

        let exec = stage.task("log", "echo no such file >&2; exit 1");
        let watch = stage.watch(&exec);
        until("both have failed", || {
            stage.ok(&["inbox", "--dead", "--json"]).len() == 2
        });
        watch.end();
        let dead = stage.ok(&["inbox", "--dead", "--json"]);
        for (dead, uri) in dead.iter().zip(&sent) {
            assert_eq!(
                (&dead["uri"], &dead["durable"]),
                (&uri.clone().into(), &"queue".into())
            );
            assert_eq!(
                (&dead["reason"], &dead["attempts"]),
                (&"no such file".into(), &1.into())
            );
        }
        let id = |n: usize| dead[n]["id"].to_string();
        stage.ok(&["inbox", "--drop", &id(0), "--json"]);
        stage.ok(&["inbox", "--retry", &id(1), "--json"]);
        assert!(stage.ok(&["inbox", "--dead", "--json"]).is_empty());
        stage.fails(2, &["inbox", "--retry", &id(0)], "is not laid aside");
        stage.fails(2, &["inbox", "--drop", &id(1)], "is not laid aside");
        stage.fails(2, &["inbox", "--durable", "nobody"], "nobody");
        let watch = stage.watch(&stage.task("fine", ""));
        until("it is done", || stage.waiting() == 0);
        assert_eq!(watch.end(), BTreeSet::from([sent[1].clone()]));
        assert_eq!(stage.log("fine"), sent[1..], "the other was dropped");
    })
    .await;
}

async fn on_the_devnet(play: impl FnOnce(&Stage) + Send + 'static) {
    let devnet = atcomms_devnet::Devnet::builder()
        .account("alice")
        .start()
        .await;
    let devnet = devnet.expect("a devnet");
    let alice = devnet.accounts().remove(0);
    let plc = devnet.plc_url().to_owned();
    let played = tokio::task::spawn_blocking(move || {
        let stage = Stage::new(&plc, &alice.pds, alice.handle.as_str(), &alice.password);
        play(&stage);
    });
    played.await.expect("it went well");
    devnet.shutdown().await;
}
