//! `atcomms watch` over a recorded firehose: each operation once, in order, verified, and every frame
//! counted. What is expected is read from the recording by the frame decoder alone.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use atcomms_devnet::{Recording, Replay};
use atcomms_repo::frame::{Frame, decode};
use serde_json::Value;

use support::{atcomms, lines, run, said};

/// An operation as it stands in the frames, and as it should be printed.
#[derive(Debug, PartialEq)]
struct Operation {
    seq: i64,
    uri: String,
    action: String,
    cid: Option<String>,
    rev: String,
}

fn expected(recording: &Recording) -> Vec<Operation> {
    let mut operations = Vec::new();
    for bytes in &recording.frames {
        let Frame::Commit(commit) = decode(bytes).expect("a recorded frame") else {
            continue;
        };
        for op in commit
            .ops
            .iter()
            .filter(|op| op.path.starts_with("agent.comms."))
        {
            operations.push(Operation {
                seq: commit.seq,
                uri: format!("at://{}/{}", commit.repo, op.path),
                action: op.action.as_str().to_owned(),
                cid: op.cid.map(|cid| cid.to_string()),
                rev: commit.rev.to_owned(),
            });
        }
    }
    operations
}

fn printed(line: &Value) -> Operation {
    let text = |field: &str| line[field].as_str().map(str::to_owned);
    Operation {
        seq: line["seq"].as_i64().expect("a line has its seq"),
        uri: text("uri").expect("a line has its uri"),
        action: text("action").expect("a line has its action"),
        cid: text("cid"),
        rev: text("rev").expect("a line has its rev"),
    }
}

async fn watch_prints_each_operation_once(folder: &Path, operations: usize, frames: usize) {
    let recording = Recording::read(folder).expect("the recording can be read");
    let expected = expected(&recording);
    assert_eq!(
        expected.len(),
        operations,
        "operations of agent.comms in the recording"
    );
    assert_eq!(recording.frames.len(), frames, "frames in the recording");
    let replay = Replay::builder()
        .recording(recording)
        .start()
        .await
        .expect("the replay starts");

    let state = tempfile::tempdir().expect("a folder");
    let mut command = atcomms(&state.path().join("state.json"), replay.plc_url());
    let words = [
        "watch",
        "--json",
        "--source",
        replay.ws_url(),
        "--collection",
        "agent.comms.*",
    ];
    let words = [&words[..], &["--from", "start", "--idle", "2s"]]
        .concat()
        .into_iter();
    let words: Vec<String> = words.map(str::to_owned).collect();
    let output = tokio::task::spawn_blocking(move || {
        run(
            &mut command,
            &words.iter().map(String::as_str).collect::<Vec<_>>(),
            "",
        )
    });
    let output = output.await.expect("the command ran");
    assert!(output.status.success(), "{}", said(&output));

    let lines = lines(&output.stdout);
    assert_eq!(lines.iter().map(printed).collect::<Vec<_>>(), expected);
    for line in &lines {
        assert_eq!(line["trust"], "verified", "{line}");
        assert!(
            line["record"].is_object() || line["action"] == "delete",
            "{line}"
        );
    }
    let summary = self::lines(&output.stderr)
        .pop()
        .expect("a summary on stderr");
    assert_eq!(summary["frames"], frames, "{summary}");
    assert_eq!(summary["delivered"], operations, "{summary}");
    assert_eq!(summary["rejected"], serde_json::json!({}), "{summary}");
    assert_eq!(summary["duplicates"], 0, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_trimmed_recording() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recording");
    watch_prints_each_operation_once(&folder, 47, 2_884).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(has_corpus),
    ignore = "set ATCOMMS_CORPUS to the folder of the recorded firehose"
)]
async fn over_the_whole_recording() {
    let folder = std::env::var("ATCOMMS_CORPUS").expect("ATCOMMS_CORPUS is set");
    watch_prints_each_operation_once(Path::new(&folder), 190, 20_427).await;
}
