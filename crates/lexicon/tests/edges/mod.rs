//! The fields of a record as its tables list them, down to those of its objects, and what lies at the edges of their limits.

#![allow(dead_code, reason = "each test binary uses some of it")]

use atcomms_lexicon::schema::{Field, Kind};
use atcomms_lexicon::{AnyRecord, Map, Value, lexicons};

const DID: Kind = Kind::Text {
    format: Some("did"),
    known_values: &[],
};

/// One step towards a field: its name, or a position in a list.
#[derive(Debug, Clone)]
pub(crate) enum Step {
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
pub(crate) fn walk(id: &str, path: &[Step], visit: &mut dyn FnMut(&[Step], &Field)) {
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

pub(crate) fn path_text(path: &[Step]) -> String {
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

/// The record with that one field changed.
pub(crate) fn changed(record: &AnyRecord, path: &[Step], change: impl Fn(&mut Map, &str)) -> Value {
    let mut value = Value::Map(record.to_map());
    edit(&mut value, path, &change);
    value
}

/// The record with that one field set.
pub(crate) fn with(record: &AnyRecord, path: &[Step], value: &Value) -> Value {
    changed(record, path, |map, name| {
        drop(map.insert(name.to_owned(), value.clone()))
    })
}

/// A value within and one beyond each limit of the field.
pub(crate) fn edges(field: &Field, present: &Value) -> Vec<(Value, Value)> {
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

pub(crate) fn at<'a>(value: &'a Value, path: &[Step]) -> &'a Value {
    path.iter().fold(value, |value, step| match step {
        Step::Field(name) => value.get(name).unwrap_or_else(|| panic!("{path:?}")),
        Step::Item(index) => &value.as_list().unwrap()[*index],
    })
}
