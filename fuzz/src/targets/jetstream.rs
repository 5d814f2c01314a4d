//! What a Jetstream says: an event that is read contradicts itself in nothing, and its record is what its hash says.

use atcomms_lexicon::{Value, cid_for_cbor};
use atcomms_repo::car::Car;
use atcomms_repo::frame::Action;
use atcomms_subscribe::jetstream::{self, Kind, Record};
use serde_json::json;

use crate::{Recorded, Target, memory};

pub(crate) const TARGET: Target = Target { name: "jetstream", run, seeds };

/// An object of JSON of one field takes 5 bytes, and a node of a map with room for eleven once it is read; the
/// event is read as JSON, and its record as a value and as bytes beside that.
const TIMES: usize = 600;

/// Room that is made whatever comes in.
const FLOOR: usize = 256 * 1024;

fn seeds(recorded: &Recorded) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = ["identity", "account", "news"]
        .iter()
        .map(|kind| json!({ "did": "did:web:a.example", "time_us": 1, "kind": kind }))
        .map(|event| event.to_string().into_bytes())
        .collect();
    for (_, commit) in recorded.commits() {
        let car = Car::read(commit.blocks).expect("what was recorded is whole");
        for op in commit.ops.iter().take(2) {
            let Some((collection, rkey)) = op.path.split_once('/') else { continue };
            let mut operation = json!({
                "rev": commit.rev, "operation": op.action.as_str(), "collection": collection, "rkey": rkey,
            });
            let record = op.cid.and_then(|cid| Some((cid, Value::from_cbor(car.get(&cid)?).ok()?)));
            if let Some((cid, record)) = record {
                operation["cid"] = cid.to_string().into();
                operation["record"] = record.to_json();
            }
            let event = json!({ "did": commit.repo, "time_us": commit.seq, "kind": "commit", "commit": operation });
            seeds.push(event.to_string().into_bytes());
        }
    }
    seeds
}

fn run(data: &[u8]) {
    let event = memory::bounded_beside(data, TIMES, FLOOR, || jetstream::parse(data));
    let Ok(event) = event else { return };
    let Kind::Commit(operation) = event.kind else { return };
    assert_eq!(
        operation.content.is_none(),
        operation.action == Action::Delete,
        "what is not deleted has a record"
    );
    if let Some(content) = operation.content
        && let Record::Readable { map, bytes } = content.record
    {
        assert_eq!(content.cid, cid_for_cbor(&bytes), "its hash");
        let read = Value::from_cbor(&bytes).expect("what was written is in the data model");
        assert_eq!(read, Value::Map(map), "the bytes say what the fields say");
    }
}
