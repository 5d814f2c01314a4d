//! The JSON lexicons and the Rust types say the same: each is held against the other, field by field.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod instances;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use atcomms_lexicon::schema::{Definition, Field, Kind};
use atcomms_lexicon::{AnyRecord, lexicons};
use serde_json::{Value as Json, json};

/// How many fields all objects have together: nothing is compared by finding nothing.
const FIELDS: usize = 126;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lexicons")
}

/// Every file of the folder, by the NSID that its path spells.
fn files() -> BTreeMap<String, Json> {
    let entries =
        std::fs::read_dir(folder().join("agent/comms")).expect("lexicons/agent/comms is there");
    let files: BTreeMap<String, Json> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let json = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (format!("agent.comms.{name}"), json)
        })
        .collect();
    assert_eq!(files.len(), 13, "twelve records and the defs");
    files
}

/// An object of a lexicon, in one form for both sides: its key, and each field in JSON.
#[derive(Debug, Clone, PartialEq)]
struct Object {
    key: Option<String>,
    fields: BTreeMap<String, Json>,
}

fn object_of_json(key: Option<&Json>, object: &Json) -> Object {
    let mut fields = BTreeMap::new();
    let required: Vec<&str> = object["required"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|name| name.as_str().unwrap())
        .collect();
    for (name, property) in object["properties"].as_object().expect("properties") {
        let mut property = property.clone();
        property
            .as_object_mut()
            .unwrap()
            .remove("description")
            .expect("every field is described");
        fields.insert(
            name.clone(),
            json!({ "required": required.contains(&name.as_str()), "property": property }),
        );
    }
    for name in &required {
        assert!(
            fields.contains_key(*name),
            "{name} is required and not defined"
        );
    }
    Object {
        key: key.map(|key| key.as_str().unwrap().to_owned()),
        fields,
    }
}

/// The objects of one file, by name; what the two sides do not both know how to say is refused.
fn objects_of_file(nsid: &str, file: &Json) -> BTreeMap<String, Object> {
    assert_eq!(file["lexicon"], 1, "{nsid}");
    assert_eq!(file["id"], nsid, "the path of a lexicon is its NSID");
    let mut objects = BTreeMap::new();
    for (name, definition) in file["defs"].as_object().unwrap() {
        let object = match name.as_str() {
            "main" => {
                assert_eq!(definition["type"], "record", "{nsid}");
                (
                    nsid.to_owned(),
                    object_of_json(Some(&definition["key"]), &definition["record"]),
                )
            }
            _ => {
                assert_eq!(definition["type"], "object", "{nsid}#{name}");
                (format!("{nsid}#{name}"), object_of_json(None, definition))
            }
        };
        objects.extend([object]);
    }
    objects
}

fn property_of(field: &Field) -> Json {
    let mut property = match field.kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Text {
            format,
            known_values,
        } => {
            let mut property = json!({ "type": "string" });
            if let Some(format) = format {
                property["format"] = json!(format);
            }
            if !known_values.is_empty() {
                property["knownValues"] = json!(known_values);
            }
            property
        }
        Kind::Blob => json!({ "type": "blob", "accept": ["*/*"] }),
        Kind::Unknown => json!({ "type": "unknown" }),
        Kind::Ref(id) => json!({ "type": "ref", "ref": id }),
        other => panic!("{other:?} has no form in a lexicon"),
    };
    let limits = field.limits;
    let mut limit = |name: &str, value: Option<i64>| {
        if let Some(value) = value {
            property[name] = json!(value);
        }
    };
    limit(
        "maxLength",
        limits.max_bytes.map(|max| max.try_into().unwrap()),
    );
    limit(
        "maxGraphemes",
        limits.max_graphemes.map(|max| max.try_into().unwrap()),
    );
    limit("minimum", limits.minimum);
    limit("maximum", limits.maximum);
    limit(
        "maxSize",
        limits.max_size.map(|max| max.try_into().unwrap()),
    );
    if field.list {
        property = json!({ "type": "array", "items": property, "maxLength": limits.max_items.expect("lists are bounded") });
    } else {
        assert_eq!(limits.max_items, None, "{} is no list", field.name);
    }
    property
}

fn object_of_rust(definition: &Definition) -> Object {
    let field = |field: &Field| {
        let json = json!({ "required": field.required, "property": property_of(field) });
        (field.name.to_owned(), json)
    };
    Object {
        key: definition.key.map(|key| key.to_string()),
        fields: definition.fields.iter().map(field).collect(),
    }
}

/// What one side has and the other does not, or has otherwise.
fn differences(json: &BTreeMap<String, Object>, rust: &BTreeMap<String, Object>) -> Vec<String> {
    let mut found = Vec::new();
    for id in json.keys().chain(rust.keys()).collect::<BTreeSet<_>>() {
        let (Some(json), Some(rust)) = (json.get(id), rust.get(id)) else {
            found.push(format!("{id} is only on one side"));
            continue;
        };
        if json.key != rust.key {
            found.push(format!(
                "{id}: key {:?} in JSON, {:?} in Rust",
                json.key, rust.key
            ));
        }
        for name in json
            .fields
            .keys()
            .chain(rust.fields.keys())
            .collect::<BTreeSet<_>>()
        {
            let (json, rust) = (json.fields.get(name), rust.fields.get(name));
            if json != rust {
                found.push(format!("{id}.{name}: {json:?} in JSON, {rust:?} in Rust"));
            }
        }
    }
    found
}

fn json_side() -> BTreeMap<String, Object> {
    files()
        .iter()
        .flat_map(|(nsid, file)| objects_of_file(nsid, file))
        .collect()
}

fn rust_side() -> BTreeMap<String, Object> {
    lexicons()
        .iter()
        .map(|definition| (definition.id.to_owned(), object_of_rust(definition)))
        .collect()
}

#[test]
fn json_and_rust_say_the_same() {
    let (json, rust) = (json_side(), rust_side());
    assert_eq!(rust.len(), 19, "twelve records and seven shared objects");
    assert_eq!(
        rust.values()
            .map(|object| object.fields.len())
            .sum::<usize>(),
        FIELDS
    );
    assert_eq!(differences(&json, &rust), Vec::<String>::new());
}

#[test]
fn a_difference_on_either_side_is_found() {
    let (json, rust) = (json_side(), rust_side());
    let mut breaks = 0;
    for (id, object) in &json {
        for name in object.fields.keys() {
            let without = |side: &BTreeMap<String, Object>| {
                let mut side = side.clone();
                side.get_mut(id).unwrap().fields.remove(name).unwrap();
                side
            };
            assert_eq!(
                differences(&without(&json), &rust).len(),
                1,
                "{id}.{name} only in Rust"
            );
            assert_eq!(
                differences(&json, &without(&rust)).len(),
                1,
                "{id}.{name} only in JSON"
            );
            let mut changed = json.clone();
            let required =
                &mut changed.get_mut(id).unwrap().fields.get_mut(name).unwrap()["required"];
            *required = json!(!required.as_bool().unwrap());
            assert_eq!(
                differences(&changed, &rust).len(),
                1,
                "{id}.{name} required on one side"
            );
            breaks += 1;
        }
    }
    assert_eq!(breaks, FIELDS);
    let mut files = files();
    files.get_mut("agent.comms.request").unwrap()["defs"]["main"]["record"]["properties"]["task"]
        ["maxLength"] = json!(513);
    let changed = files
        .iter()
        .flat_map(|(nsid, file)| objects_of_file(nsid, file))
        .collect();
    let found = differences(&changed, &rust);
    assert!(
        found.len() == 1 && found[0].contains("513") && found[0].contains("512"),
        "{found:?}"
    );
}

/// What a struct writes when every field is set is what its table lists.
#[test]
fn a_full_instance_has_every_field_of_its_table() {
    for record in instances::full() {
        let definition = lexicons()
            .iter()
            .find(|definition| definition.id == record.nsid())
            .unwrap();
        let mut names: BTreeSet<&str> = definition.fields.iter().map(|field| field.name).collect();
        names.insert("$type");
        let map = record.to_map();
        assert_eq!(
            map.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            names,
            "{}",
            record.nsid()
        );
    }
    for record in instances::minimal() {
        let definition = lexicons()
            .iter()
            .find(|definition| definition.id == record.nsid())
            .unwrap();
        let required = definition.fields.iter().filter(|field| field.required);
        let mut names: BTreeSet<&str> = required.map(|field| field.name).collect();
        names.insert("$type");
        let map = record.to_map();
        assert_eq!(
            map.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            names,
            "{}",
            record.nsid()
        );
    }
    let nsids = |records: Vec<AnyRecord>| {
        records
            .iter()
            .map(|record| record.nsid().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let records = lexicons()
        .iter()
        .filter(|definition| definition.key.is_some());
    let records: BTreeSet<String> = records.map(|definition| definition.id.to_owned()).collect();
    assert_eq!(
        (nsids(instances::full()), nsids(instances::minimal())),
        (records.clone(), records)
    );
}

/// Rules that `@atproto/lexicon` and the house have for every file.
#[test]
fn lexicons_keep_to_the_rules_of_the_house() {
    let mut seen = 0;
    for (nsid, file) in files() {
        let mut stack = vec![(nsid.clone(), &file, true)];
        while let Some((path, json, named)) = stack.pop() {
            seen += 1;
            assert!(
                json.get("enum").is_none(),
                "{path}: a closed set cannot grow; use knownValues"
            );
            if !named {
                assert_ne!(
                    json["type"], "object",
                    "{path}: every object is a named def"
                );
            }
            let children = json.as_object().into_iter().flatten();
            for (name, child) in children.filter(|(_, child)| child.is_object()) {
                let named = path == format!("{nsid}.defs")
                    || name == "record"
                    || name == "defs"
                    || name == "properties";
                stack.push((format!("{path}.{name}"), child, named));
            }
        }
    }
    assert!(seen > 200, "only {seen} parts were looked at");
}
