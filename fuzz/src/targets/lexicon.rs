//! Records and their data: one form in CBOR, one in JSON, each from the other without loss; what a record is read as
//! is what it is written as. The first byte says of what the others are.

use atcomms_lexicon::value::MAX_INT;
use atcomms_lexicon::{AnyRecord, Nsid, Value, ValueProblem, cid_for_cbor};
use atcomms_repo::car::Car;
use ipld_core::ipld::Ipld;

use crate::seeds::with_mode;
use crate::{Recorded, Target, memory};

pub(crate) const TARGET: Target = Target { name: "lexicon", run, seeds };

/// An object of one field takes 3 bytes at least, and a node of a map with room for eleven once it is read.
const TIMES: usize = 300;

/// Lists make room for what they claim, each for 1,024 values at most, and nest 64 deep at most.
const CLAIMS: usize = 64 * 1024 * 40;

const CBOR: u8 = 0;
const JSON: u8 = 1;

/// One full and one minimal instance of each record.
#[path = "../../../crates/lexicon/tests/instances/mod.rs"]
mod instances;

fn seeds(recorded: &Recorded) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for record in instances::full().into_iter().chain(instances::minimal()) {
        let value = Value::Map(record.to_map());
        seeds.push(with_mode(CBOR, &value.to_cbor()));
        seeds.push(with_mode(JSON, value.to_json().to_string().as_bytes()));
    }
    for (_, commit) in recorded.commits() {
        let car = Car::read(commit.blocks).expect("what was recorded is whole");
        let records = commit.ops.iter().filter_map(|op| car.get(&op.cid?));
        seeds.extend(records.take(3).map(|record| with_mode(CBOR, record)));
    }
    seeds
}

fn run(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    if *mode % 2 == CBOR {
        cbor(data);
    } else {
        json(data);
    }
}

fn cbor(data: &[u8]) {
    let read = memory::bounded_beside(data, TIMES, CLAIMS, || Value::from_cbor(data));
    let strict: Result<Ipld, _> = serde_ipld_dagcbor::from_slice(data);
    match &read {
        Ok(value) => {
            assert_eq!(value.to_cbor(), data, "there is one form, and this is it");
            value.check().expect("what is read keeps to the data model");
            same(value, &strict.expect("what is read is strict DAG-CBOR"));
            through_json(value);
            typed_as(value, data);
        }
        Err(error) => {
            // What breaks no rule of DAG-CBOR breaks one of the data model. (The other decoder takes some forms that
            // it would not write.)
            let strict = strict
                .ok()
                .filter(|ipld| serde_ipld_dagcbor::to_vec(ipld).is_ok_and(|bytes| bytes == data));
            if let (Some(ipld), ValueProblem::Cbor { .. }) = (&strict, error.problem()) {
                assert!(
                    has_odd_link(ipld),
                    "{error}, but it is strict DAG-CBOR: {ipld:?}"
                );
            }
        }
    }
}

fn json(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let Ok(value) = memory::bounded_beside(data, TIMES, CLAIMS, || Value::from_json(json)) else { return };
    if value.check().is_ok() {
        let cbor = value.to_cbor();
        assert_eq!(Value::from_cbor(&cbor).as_ref(), Ok(&value), "it comes back from its CBOR");
        through_json(&value);
        typed_as(&value, &cbor);
    }
}

fn through_json(value: &Value) {
    let json = value.to_json();
    assert_eq!(Value::from_json(json.clone()).as_ref(), Ok(value), "it comes back from its JSON");
    let text = json.to_string();
    let again: serde_json::Value = serde_json::from_str(&text).expect("what is printed is JSON");
    assert_eq!(Value::from_json(again).as_ref(), Ok(value), "and from its text");
}

fn typed(value: &Value) -> Option<Nsid> {
    value.get("$type")?.as_text()?.parse().ok()
}

/// What is read as a record is written as one that is read as the same.
fn typed_as(value: &Value, cbor: &[u8]) {
    let Some(nsid) = typed(value) else { return };
    let Ok(record) = AnyRecord::decode(&nsid, cbor) else { return };
    let map = record.to_map();
    let written = Value::Map(map.clone()).to_cbor();
    let nsid: Nsid = record.nsid().parse().expect("an NSID");
    let again = AnyRecord::decode(&nsid, &written).unwrap_or_else(|error| panic!("{map:?}: {error}"));
    assert_eq!(again, record, "it comes back");
    assert_eq!(cid_for_cbor(&Value::Map(again.to_map()).to_cbor()), cid_for_cbor(&written), "and has one CID");
    if let Some(author) = record.claimed_author() {
        assert_eq!(atcomms_lexicon::claimed_author(nsid.as_str(), &map), Some(author.as_str()));
    }
}

fn same(ours: &Value, theirs: &Ipld) {
    match (ours, theirs) {
        (Value::Null, Ipld::Null) => {}
        (Value::Bool(ours), Ipld::Bool(theirs)) => assert_eq!(ours, theirs),
        (Value::Int(ours), Ipld::Integer(theirs)) => {
            assert_eq!(i128::from(*ours), *theirs);
            assert!(ours.abs() <= MAX_INT);
        }
        (Value::Text(ours), Ipld::String(theirs)) => assert_eq!(ours, theirs),
        (Value::Bytes(ours), Ipld::Bytes(theirs)) => assert_eq!(ours, theirs),
        (Value::Link(ours), Ipld::Link(theirs)) => assert_eq!(ours.to_bytes(), theirs.to_bytes()),
        (Value::List(ours), Ipld::List(theirs)) => {
            assert_eq!(ours.len(), theirs.len());
            ours.iter().zip(theirs).for_each(|(ours, theirs)| same(ours, theirs));
        }
        (Value::Map(ours), Ipld::Map(theirs)) => {
            assert!(ours.keys().eq(theirs.keys()));
            ours.values().zip(theirs.values()).for_each(|(ours, theirs)| same(ours, theirs));
        }
        _ => panic!("{ours:?} is not {theirs:?}"),
    }
}

/// Whether there is a link that the protocol does not have: other than CIDv1 with SHA-256 of DAG-CBOR or raw bytes.
fn has_odd_link(ipld: &Ipld) -> bool {
    match ipld {
        Ipld::Link(cid) => !(matches!(cid.codec(), 0x71 | 0x55) && cid.hash().code() == 0x12 && cid.to_bytes().len() == 36),
        Ipld::List(list) => list.iter().any(has_odd_link),
        Ipld::Map(map) => map.values().any(has_odd_link),
        _ => false,
    }
}
