//! Another process that uses the store: this test binary, started again.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use atcomms_store::{Purpose, Store};
use tokio::runtime::Runtime;

use crate::support::{did, note};

/// What the child is to do.
const WHAT: &str = "ATCOMMS_STORE_TEST_CHILD";
/// With which store.
const WHERE: &str = "ATCOMMS_STORE_TEST_PATH";
/// What it says to the parent begins with this; the rest is the test harness's.
const SAYS: &str = "child: ";

/// The process; killed when it is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Child {
    pub(crate) fn start(what: &str, path: &Path) -> Self {
        Self::run(Command::new(env::current_exe().unwrap()), what, path)
    }

    /// Starts it so that it kills itself at a crash point, the `count`-th time that it comes there.
    pub(crate) fn start_to_die(at: &str, count: u32, what: &str, path: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env("ATCOMMS_CRASH", format!("{at}:{count}"));
        Self::run(command, what, path)
    }

    /// Starts it from a shell, after these commands.
    pub(crate) fn start_after(shell: &str, what: &str, path: &Path) -> Self {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{shell}; exec \"$0\" \"$@\""));
        command.arg(env::current_exe().unwrap());
        Self::run(command, what, path)
    }

    /// Starts it with this program and its arguments, to which those of the test harness are added.
    pub(crate) fn run(mut command: Command, what: &str, path: &Path) -> Self {
        command
            .args(["--exact", "child::child", "--ignored", "--nocapture"])
            .args(["--test-threads", "1"])
            .env(WHAT, what)
            .env(WHERE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// What it says next; `None` if it has ended.
    pub(crate) fn says(&mut self) -> Option<String> {
        self.lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix(SAYS).map(str::to_owned))
    }

    /// Waits until it says this, and returns all that it said before.
    pub(crate) fn until(&mut self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            match self.says() {
                Some(line) if line.starts_with(wanted) => return before,
                Some(line) => before.push(line),
                None => panic!("it ended before it said {wanted:?}: {before:?}"),
            }
        }
    }

    /// Kills it with SIGKILL, and returns what it had said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        let rest = std::iter::from_fn(|| self.says()).collect();
        self.process.wait().unwrap();
        rest
    }

    /// Waits until SIGKILL has ended it, and returns what it had said.
    pub(crate) fn die(mut self) -> Vec<String> {
        let rest = std::iter::from_fn(|| self.says()).collect();
        let status = self.process.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}: {rest:?}");
        rest
    }

    /// Waits until it has ended well, and returns what it had said.
    pub(crate) fn end(mut self) -> Vec<String> {
        drop(self.process.stdin.take());
        let rest = std::iter::from_fn(|| self.says()).collect();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {rest:?}");
        rest
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn say(what: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    // On a line of its own, whatever the harness has written.
    writeln!(out, "\n{SAYS}{what}").unwrap();
    out.flush().unwrap();
}

/// Waits until the parent closes our input.
fn wait() {
    assert!(std::io::stdin().lines().next().is_none());
}

#[test]
#[ignore = "started by the other tests, as a process of its own"]
fn child() {
    let path = PathBuf::from(env::var_os(WHERE).expect("set by the test that starts it"));
    let what = env::var(WHAT).expect("set by the test that starts it");
    let runtime = Runtime::new().unwrap();
    match what.as_str() {
        "visit" => drop(Store::open(&path).unwrap()),
        "open" => match Store::open(&path) {
            Ok(_) => say("opened"),
            Err(error) => say(format!("refused {error}")),
        },
        "lock" => {
            let store = Store::open(&path).unwrap();
            let lock = store.try_lock(&did(), Purpose::Drain).unwrap();
            say(if lock.is_some() { "locked" } else { "taken" });
            wait();
        }
        "accept" => {
            let store = Store::open(&path).unwrap();
            loop {
                let accepted = runtime.block_on(store.accept(note("from the child"), 0));
                say(format!("accepted {}", accepted.unwrap().entry.id));
            }
        }
        "accept many" => {
            let store = Store::open(&path).unwrap();
            say("ready");
            let many = (0..200).map(|_| store.accept(note("from the child"), 0));
            for accepted in runtime.block_on(futures::future::join_all(many)) {
                say(format!("accepted {}", accepted.unwrap().entry.id));
            }
        }
        "fill" => drop(fill(&runtime, &path)),
        "fill a disk" => fill_a_disk(&runtime, &path),
        other => panic!("{other} is nothing that it can do"),
    }
}

/// Accepts until there is no room, and says what.
fn fill(runtime: &Runtime, path: &Path) -> Store {
    let store = Store::open(path).unwrap();
    let large = "large ".repeat(2_000);
    loop {
        match runtime.block_on(store.accept(note(&large), 0)) {
            Ok(accepted) => say(format!("accepted {}", accepted.entry.id)),
            Err(error) => {
                say(format!("refused {error}"));
                return store;
            }
        }
    }
}

/// The same on a disk of our own, which is then emptied a little, and then made read-only.
fn fill_a_disk(runtime: &Runtime, path: &Path) {
    let disk = path.parent().unwrap();
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 200_000]).unwrap();
    let store = fill(runtime, path);
    std::fs::remove_file(&ballast).unwrap();
    let accepted = runtime.block_on(store.accept(note("again"), 0)).unwrap();
    say(format!("accepted {}", accepted.entry.id));
    drop(store);
    let store = Store::open(path).unwrap();
    for entry in runtime.block_on(store.entries(None, false)).unwrap() {
        say(format!("kept {}", entry.id));
    }
    drop(store);
    let mut remount = Command::new("mount");
    remount.args(["-o".as_ref(), "remount,ro".as_ref(), disk.as_os_str()] as [&OsStr; 3]);
    assert!(remount.status().unwrap().success());
    say(format!("read-only {}", Store::open(path).unwrap_err()));
    let new = Store::open(disk.join("new.sqlite3")).unwrap_err();
    say(format!("read-only {new}"));
}
