//! Every limit of every field, driven by the tables: what keeps to it is taken, what goes one beyond it is refused, with
//! the path of the field. The same data goes before the reference in `reference.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod edges;
mod instances;

use atcomms_lexicon::schema::Kind;
use atcomms_lexicon::{AnyRecord, Nsid, Value};
use edges::{at, changed, edges, path_text, walk, with};

const PAYLOAD: Kind = Kind::Ref("agent.comms.defs#payload");

fn read(record: &AnyRecord, changed: &Value) -> Result<AnyRecord, String> {
    let nsid: Nsid = record.nsid().parse().unwrap();
    AnyRecord::decode(&nsid, &changed.to_cbor()).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(read: Result<AnyRecord, String>, path: &str) {
    let error = read.expect_err(path);
    assert!(error.contains(path), "{path}: {error}");
}

#[test]
fn every_limit_of_every_field_holds() {
    let (mut fields, mut limits) = (0, 0);
    for record in instances::full() {
        let whole = Value::Map(record.to_map());
        walk(record.nsid(), &[], &mut |path, field| {
            let name = path_text(path);
            for (within, beyond) in edges(field, at(&whole, path)) {
                let taken = read(&record, &with(&record, path, &within));
                let taken =
                    taken.unwrap_or_else(|error| panic!("{} {name}: {error}", record.nsid()));
                taken.validate().expect("what was read is valid");
                refused(read(&record, &with(&record, path, &beyond)), &name);
                limits += 1;
            }
            fields += 1;
        });
    }
    assert_eq!((fields, limits), (161, 80));
}

#[test]
fn every_type_of_every_field_holds() {
    let (mut fields, mut required) = (0, 0);
    for record in instances::full() {
        walk(record.nsid(), &[], &mut |path, field| {
            let name = path_text(path);
            fields += 1;
            let other_kind = if field.kind == Kind::Boolean {
                Value::Int(1)
            } else {
                Value::Bool(true)
            };
            let of_other_kind = read(&record, &with(&record, path, &other_kind));
            let without = read(
                &record,
                &changed(&record, path, |map, name| drop(map.remove(name))),
            );
            let null = read(&record, &with(&record, path, &Value::Null));
            if field.kind == PAYLOAD {
                of_other_kind.expect("any data is read as a payload");
            } else {
                refused(of_other_kind, &name);
            }
            // Data in which one of a payload's two fields is missing is read as data without a schema.
            let in_payload = path.len() == 2
                && matches!(field.name, "schema" | "data")
                && !name.starts_with("content");
            if field.required && !in_payload {
                refused(without, &name);
                refused(null, &name);
                required += 1;
            } else if !in_payload {
                let explained = |error| panic!("{} without {name}: {error}", record.nsid());
                assert_eq!(
                    without.unwrap_or_else(explained),
                    null.expect("null says that there is nothing")
                );
            }
        });
    }
    assert_eq!((fields, required), (161, 57));
}
