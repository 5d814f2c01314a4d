//! The vectors that the implementations of the protocol share: <https://github.com/bluesky-social/atproto-interop-tests>.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::path::Path;
use std::str::FromStr;

use atcomms_lexicon::{
    Address, AtUri, Cid, Datetime, Did, Handle, Language, Nsid, RecordKey, Tid, Uri, Value, cid,
    cid_for_cbor,
};
use serde_json::Value as Json;

fn read(file: &str) -> String {
    let folder = std::env::var_os("ATCOMMS_INTEROP").expect("it was set when this was built");
    // A relative folder is meant from the root; tests run in the folder of their package.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join(folder).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether a text has the syntax, and comes back as it was.
fn parses<T: FromStr + ToString>(text: &str) -> bool {
    text.parse::<T>().is_ok_and(|parsed| {
        assert_eq!(parsed.to_string(), text);
        true
    })
}

/// File, how many lines it holds, whether they are valid, and what decides.
type List = (&'static str, usize, bool, fn(&str) -> bool);

const LISTS: [List; 24] = [
    ("atidentifier_syntax_invalid", 22, false, parses::<Address>),
    ("atidentifier_syntax_valid", 11, true, parses::<Address>),
    ("aturi_syntax_invalid", 72, false, parses::<AtUri>),
    ("aturi_syntax_valid", 23, true, parses::<AtUri>),
    ("cid_syntax_invalid", 10, false, is_cid),
    ("cid_syntax_valid", 8, true, is_cid),
    ("datetime_parse_invalid", 7, false, parses::<Datetime>),
    ("datetime_syntax_invalid", 45, false, parses::<Datetime>),
    ("datetime_syntax_valid", 35, true, parses::<Datetime>),
    ("did_syntax_invalid", 18, false, parses::<Did>),
    ("did_syntax_valid", 24, true, parses::<Did>),
    ("handle_syntax_invalid", 48, false, parses::<Handle>),
    ("handle_syntax_valid", 71, true, parses::<Handle>),
    ("language_parse_invalid", 4, false, parses::<Language>),
    ("language_syntax_invalid", 7, false, parses::<Language>),
    ("language_syntax_valid", 18, true, parses::<Language>),
    ("nsid_syntax_invalid", 27, false, parses::<Nsid>),
    ("nsid_syntax_valid", 25, true, parses::<Nsid>),
    ("recordkey_syntax_invalid", 11, false, parses::<RecordKey>),
    ("recordkey_syntax_valid", 16, true, parses::<RecordKey>),
    ("tid_syntax_invalid", 9, false, parses::<Tid>),
    ("tid_syntax_valid", 4, true, parses::<Tid>),
    ("uri_syntax_invalid", 12, false, parses::<Uri>),
    ("uri_syntax_valid", 9, true, parses::<Uri>),
];

/// Three of the valid ones have the alphabet of a CID and hold none (one is the word "multihash" in base64): they are
/// made for checks by pattern, and no link can be made of them.
const NOT_CIDS: [&str; 3] = [
    "mBcDxtdWx0aWhhc2g+",
    "z7x3CtScH765HvShXT",
    "7134036155352661643226414134664076",
];

fn is_cid(text: &str) -> bool {
    let is_cid = cid::parse(text).is_ok();
    assert!(!(is_cid && NOT_CIDS.contains(&text)), "{text}");
    is_cid || NOT_CIDS.contains(&text)
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn syntax() {
    let mut wrong = Vec::new();
    for (file, count, valid, check) in LISTS {
        let text = read(&format!("syntax/{file}.txt"));
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        if lines.len() != count {
            wrong.push(format!("{file} holds {} lines, not {count}", lines.len()));
        }
        let misjudged = lines.into_iter().filter(|line| check(line) != valid);
        wrong.extend(misjudged.map(|line| format!("{file}: {line:?}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn json(file: &str) -> Vec<Json> {
    serde_json::from_str(&read(&format!("data-model/{file}.json"))).expect("a list of vectors")
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn data_model_fixtures() {
    let fixtures = json("data-model-fixtures");
    assert_eq!(fixtures.len(), 3);
    for fixture in fixtures {
        let cbor = fixture["cbor_base64"].as_str().unwrap();
        let cbor = data_encoding::BASE64_NOPAD.decode(cbor.as_bytes()).unwrap();
        let expected: Cid = fixture["cid"].as_str().unwrap().parse().unwrap();
        let value = Value::from_json(fixture["json"].clone()).unwrap();
        assert_eq!(value.to_cbor(), cbor, "{}", fixture["json"]);
        assert_eq!(cid_for_cbor(&cbor), expected);
        assert_eq!(Value::from_cbor(&cbor).unwrap(), value);
        assert_eq!(value.to_json(), fixture["json"]);
    }
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn data_model_valid_and_invalid() {
    let valid = json("data-model-valid");
    assert_eq!(valid.len(), 5);
    for vector in valid {
        let value = Value::from_json(vector["json"].clone());
        let value = value.unwrap_or_else(|error| panic!("{}: {error}", vector["note"]));
        assert!(value.as_map().is_some(), "{}", vector["note"]);
        assert_eq!(
            Value::from_cbor(&value.to_cbor()).unwrap(),
            value,
            "{}",
            vector["note"]
        );
    }
    let invalid = json("data-model-invalid");
    assert_eq!(invalid.len(), 12);
    for vector in invalid {
        let value = Value::from_json(vector["json"].clone());
        let accepted = value.is_ok_and(|value| value.as_map().is_some());
        assert!(!accepted, "accepted: {}", vector["note"]);
    }
}
