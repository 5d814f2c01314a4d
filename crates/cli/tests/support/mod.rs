//! Runs the command as its user does.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The command, with a state file of its own and nothing of the caller's environment.
pub(crate) fn atcomms(state: &Path, plc: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atcomms"));
    for name in ["ATCOMMS_AS", "ATCOMMS_LOG", "ATCOMMS_PASSWORD"] {
        command.env_remove(name);
    }
    command.env("ATCOMMS_STATE", state).env("ATCOMMS_PLC", plc);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end with these words, and with this on stdin.
pub(crate) fn run(command: &mut Command, words: &[&str], stdin: &str) -> Output {
    run_with_bytes(command, words, stdin.as_bytes())
}

/// The same with anything on stdin.
pub(crate) fn run_with_bytes(command: &mut Command, words: &[&str], stdin: &[u8]) -> Output {
    let mut child = command
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .expect("atcomms starts");
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    pipe.write_all(stdin).expect("atcomms reads its stdin");
    drop(pipe);
    child.wait_with_output().expect("atcomms ends")
}

/// The lines of JSON that it printed.
pub(crate) fn lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).expect("output is UTF-8");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    text.lines().map(parse).collect()
}

/// What it said on stderr.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
