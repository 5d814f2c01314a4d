//! Every limit of every field, driven by the tables: what keeps to it is taken, what goes one beyond it is refused, on the
//! way out and on the way in, with the path of the field.

mod instances;

use atcomms_lexicon::schema::{Field, Kind};
use atcomms_lexicon::{AnyRecord, Map, Nsid, Value, lexicons};

const DID: Kind = Kind::Text {
    format: Some("did"),
    known_values: &[],
};
const PAYLOAD: Kind = Kind::Ref("agent.comms.defs#payload");

/// One step towards a field: its name, or a position in a list.
#[derive(Debug, Clone)]
enum Step {
    Field(&'static str),
    Item(usize),
}

fn fields_of(id: &str) -> Option<&'static [Field]> {
    lexicons()
        .iter()
        .find(|definition| definition.id == id)
        .map(|definition| definition.fields)
}

/// Every field of a record, those of its objects and of the items of its lists included.
fn walk(id: &str, path: &[Step], visit: &mut dyn FnMut(&[Step], &Field)) {
    for field in fields_of(id).into_iter().flatten() {
        let mut path = path.to_vec();
        path.push(Step::Field(field.name));
        visit(&path, field);
        if field.list {
            path.push(Step::Item(0));
        }
        if let Kind::Ref(id) = field.kind {
            walk(id, &path, visit);
        }
    }
}

fn path_text(path: &[Step]) -> String {
    path.iter().fold(String::new(), |text, step| match step {
        Step::Field(name) if text.is_empty() => (*name).to_owned(),
        Step::Field(name) => format!("{text}.{name}"),
        Step::Item(index) => format!("{text}[{index}]"),
    })
}

fn edit(value: &mut Value, path: &[Step], change: &dyn Fn(&mut Map, &str)) {
    match (value, path) {
        (Value::Map(map), [Step::Field(name)]) => change(map, name),
        (Value::Map(map), [Step::Field(name), rest @ ..]) => {
            edit(map.get_mut(*name).unwrap(), rest, change)
        }
        (Value::List(items), [Step::Item(index), rest @ ..]) => {
            edit(&mut items[*index], rest, change)
        }
        (value, path) => panic!("{path:?} leads to {value:?}"),
    }
}

/// Reads the record with that one field changed.
fn read(
    record: &AnyRecord,
    path: &[Step],
    change: impl Fn(&mut Map, &str),
) -> Result<AnyRecord, String> {
    let mut value = Value::Map(record.to_map());
    edit(&mut value, path, &change);
    let nsid: Nsid = record.nsid().parse().unwrap();
    AnyRecord::decode(&nsid, &value.to_cbor()).map_err(|error| error.to_string())
}

fn set(value: Value) -> impl Fn(&mut Map, &str) {
    move |map, name| {
        map.insert(name.to_owned(), value.clone());
    }
}

#[track_caller]
fn refused(read: Result<AnyRecord, String>, path: &str) {
    let error = read.expect_err(path);
    assert!(error.contains(path), "{path}: {error}");
}

/// A value within and one beyond each limit of the field.
fn edges(field: &Field, present: &Value) -> Vec<(Value, Value)> {
    let limits = field.limits;
    let mut edges = Vec::new();
    if let Some(max) = limits.max_items {
        let items = |count| Value::List(vec![present.as_list().unwrap()[0].clone(); count]);
        edges.push((items(max), items(max + 1)));
    }
    if let Some(max) = limits.max_bytes {
        let text = |bytes| {
            // A family is one character for people, and 25 bytes: it fills bytes without filling characters.
            let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f467}";
            let prefix = if field.kind == DID { "did:key:" } else { "" };
            let text = match limits.max_graphemes {
                Some(_) => family.repeat(bytes / family.len()) + &"a".repeat(bytes % family.len()),
                None => format!("{prefix}{}", "a".repeat(bytes - prefix.len())),
            };
            assert_eq!(text.len(), bytes);
            if field.list {
                vec![text].into()
            } else {
                Value::Text(text)
            }
        };
        edges.push((text(max), text(max + 1)));
    }
    if let Some(max) = limits.max_graphemes {
        edges.push((
            Value::Text("é".repeat(max)),
            Value::Text("é".repeat(max + 1)),
        ));
    }
    if let Some(minimum) = limits.minimum {
        edges.push((Value::Int(minimum), Value::Int(minimum - 1)));
    }
    if let Some(maximum) = limits.maximum {
        edges.push((Value::Int(maximum), Value::Int(maximum + 1)));
    }
    if let Some(max) = limits.max_size {
        let blob = |size: u64| {
            let mut blob = present.as_map().unwrap().clone();
            blob.insert("size".to_owned(), Value::Int(size.try_into().unwrap()));
            Value::Map(blob)
        };
        edges.push((blob(max), blob(max + 1)));
    }
    edges
}

fn at<'a>(value: &'a Value, path: &[Step]) -> &'a Value {
    path.iter().fold(value, |value, step| match step {
        Step::Field(name) => value.get(name).unwrap_or_else(|| panic!("{path:?}")),
        Step::Item(index) => &value.as_list().unwrap()[*index],
    })
}

#[test]
fn every_limit_of_every_field_holds() {
    let (mut fields, mut limits) = (0, 0);
    for record in instances::full() {
        let whole = Value::Map(record.to_map());
        walk(record.nsid(), &[], &mut |path, field| {
            let name = path_text(path);
            for (within, beyond) in edges(field, at(&whole, path)) {
                let taken = read(&record, path, set(within));
                let taken =
                    taken.unwrap_or_else(|error| panic!("{} {name}: {error}", record.nsid()));
                taken.validate().expect("what was read is valid");
                refused(read(&record, path, set(beyond)), &name);
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
            let of_other_kind = read(&record, path, set(other_kind));
            let without = read(&record, path, |map, name| drop(map.remove(name)));
            let null = read(&record, path, set(Value::Null));
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
