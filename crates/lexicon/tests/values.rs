//! The data model against random data: it comes back from both of its forms, another library agrees, and no bytes whatever
//! make a reader panic.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use atcomms_lexicon::value::{MAX_DEPTH, MAX_INT};
use atcomms_lexicon::{
    AnyRecord, Map, Nsid, Value, ValueProblem, cid_for_cbor, cid_for_raw, lexicons,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// A new seed each time, or the one of `ATCOMMS_SEED`; printed, and shown when the test fails.
fn seeded() -> StdRng {
    let seed = std::env::var("ATCOMMS_SEED")
        .ok()
        .map(|seed| seed.parse().expect("ATCOMMS_SEED is a number"));
    let seed = seed.unwrap_or_else(|| rand::rng().next_u64());
    println!("ATCOMMS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn text(rng: &mut StdRng) -> String {
    const ALPHABET: [char; 12] = ['a', 'b', 'z', 'A', '0', '$', '/', ' ', '\n', 'é', '☎', '👨'];
    let length = [0, 1, 2, 5, 23, 24, 300][rng.random_range(0..7)];
    (0..length)
        .map(|_| ALPHABET[rng.random_range(0..ALPHABET.len())])
        .collect()
}

fn integer(rng: &mut StdRng) -> i64 {
    let edges = [
        0,
        23,
        24,
        255,
        256,
        65_535,
        65_536,
        4_294_967_295,
        4_294_967_296,
        MAX_INT,
    ];
    let int = if rng.random() {
        edges[rng.random_range(0..edges.len())]
    } else {
        rng.random_range(0..=MAX_INT)
    };
    if rng.random() { -int } else { int }
}

fn value(rng: &mut StdRng, depth: usize) -> Value {
    let kinds = if depth == 0 { 6 } else { 8 };
    match rng.random_range(0..kinds) {
        0 => Value::Null,
        1 => Value::Bool(rng.random()),
        2 => Value::Int(integer(rng)),
        3 => Value::Text(text(rng)),
        4 => Value::Bytes(text(rng).into_bytes()),
        5 if rng.random() => Value::Link(cid_for_cbor(text(rng).as_bytes())),
        5 => Value::Link(cid_for_raw(text(rng).as_bytes())),
        6 => Value::List(
            (0..rng.random_range(0..6))
                .map(|_| value(rng, depth - 1))
                .collect(),
        ),
        _ => Value::Map(
            (0..rng.random_range(0..6))
                .map(|_| (text(rng), value(rng, depth - 1)))
                .collect(),
        ),
    }
}

#[test]
fn random_values_come_back_from_cbor_and_json() {
    let mut rng = seeded();
    let mut sizes = 0;
    for _ in 0..5_000 {
        let value = value(&mut rng, 5);
        value.check().unwrap();
        let cbor = value.to_cbor();
        sizes += cbor.len();
        assert_eq!(Value::from_cbor(&cbor).unwrap(), value);
        assert_eq!(Value::from_json(value.to_json()).unwrap(), value);
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap(),
            value.to_json()
        );
        assert_eq!(atcomms_lexicon::value::to_value(&value).unwrap(), value);
        assert_eq!(
            atcomms_lexicon::value::from_value::<Value>(value.clone()).unwrap(),
            value
        );
        assert_eq!(
            serde_ipld_dagcbor::to_vec(&value).unwrap(),
            cbor,
            "another writer agrees"
        );
        assert_eq!(
            serde_ipld_dagcbor::from_slice::<Value>(&cbor).unwrap(),
            value,
            "another reader agrees"
        );
    }
    assert!(
        sizes > 500_000,
        "the values were too small to say anything: {sizes} bytes"
    );
}

/// Bytes that are changed, cut or made up are refused or read, never a panic; and what is read has only that encoding.
#[test]
fn no_bytes_make_a_reader_panic() {
    let mut rng = seeded();
    let collections: Vec<Nsid> = lexicons()
        .iter()
        .filter_map(|lexicon| lexicon.id.parse().ok())
        .collect();
    assert_eq!(collections.len(), 12);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..50_000 {
        let mut bytes = value(&mut rng, 3).to_cbor();
        match rng.random_range(0..4) {
            0 => bytes.truncate(rng.random_range(0..bytes.len())),
            1 => {
                bytes = vec![0; rng.random_range(0..64)];
                rng.fill_bytes(&mut bytes);
            }
            _ => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
        }
        match Value::from_cbor(&bytes) {
            Ok(value) => {
                assert_eq!(value.to_cbor(), bytes, "two encodings of {value:?}");
                read += 1;
            }
            Err(_) => refused += 1,
        }
        let collection = &collections[rng.random_range(0..collections.len())];
        let _ = AnyRecord::decode(collection, &bytes);
    }
    assert!(
        read > 1_000 && refused > 10_000,
        "{read} read, {refused} refused"
    );
}

#[test]
fn what_is_not_strict_is_refused() {
    let cases: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("a byte after the value", b"\xf6\xf6"),
        ("a number not in its shortest form", b"\x18\x17"),
        (
            "a longer number not in its shortest form",
            b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
        ),
        ("a length not in its shortest form", b"\x78\x01a"),
        ("a list without a length", b"\x9f\xff"),
        ("a map without a length", b"\xbf\xff"),
        ("a text in pieces", b"\x7f\x61a\xff"),
        ("a text that is not UTF-8", b"\x61\xff"),
        ("fields out of order", b"\xa2\x61b\x01\x61a\x01"),
        (
            "a longer field before a shorter one",
            b"\xa2\x62aa\x01\x61b\x01",
        ),
        ("a field twice", b"\xa2\x61a\x01\x61a\x01"),
        ("a field whose name is a number", b"\xa1\x01\x01"),
        ("a tag other than 42", b"\xc0\x61a"),
        ("a link without its zero byte", b"\xd8\x2a\x41\x01"),
        ("a link that is no CID", b"\xd8\x2a\x42\x00\x01"),
        ("a link that is a text", b"\xd8\x2a\x61a"),
        (
            "a link with a byte after its hash",
            b"\xd8\x2a\x47\x00\x01\x71\x12\x01x\x00",
        ),
        ("undefined", b"\xf7"),
        ("another simple value", b"\xf8\xff"),
        ("true in two bytes", b"\xf8\x15"),
        (
            "a list that says it has 2^64 items",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        ("bytes that say they are 4 GB", b"\x5a\xff\xff\xff\xffx"),
        ("a text cut off", b"\x65abc"),
        (
            "an integer of 2^53",
            b"\x1b\x00\x20\x00\x00\x00\x00\x00\x00",
        ),
        (
            "an integer of -2^53",
            b"\x3b\x00\x1f\xff\xff\xff\xff\xff\xff",
        ),
        (
            "an integer of -2^64",
            b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        ("an object named like a link", b"\xa1\x65$link\x61a"),
        ("an empty $type", b"\xa1\x65$type\x60"),
    ];
    for (what, bytes) in cases {
        assert!(
            Value::from_cbor(bytes).is_err(),
            "{what} was read: {:?}",
            Value::from_cbor(bytes)
        );
    }
    let largest = b"\x1b\x00\x1f\xff\xff\xff\xff\xff\xff";
    assert_eq!(Value::from_cbor(largest).unwrap(), Value::Int(MAX_INT));
    let smallest = b"\x3b\x00\x1f\xff\xff\xff\xff\xff\xfe";
    assert_eq!(Value::from_cbor(smallest).unwrap(), Value::Int(-MAX_INT));
}

#[test]
fn floats_are_refused_with_the_path_of_their_field() {
    for (bytes, shown) in [
        (
            b"\xa1\x61a\x82\x01\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00".as_slice(),
            "1.5",
        ),
        (b"\xa1\x61a\x82\x01\xfa\x3f\xc0\x00\x00".as_slice(), "1.5"),
        (
            b"\xa1\x61a\x82\x01\xf9\x3e\x00".as_slice(),
            "half precision",
        ),
    ] {
        let error = Value::from_cbor(bytes).unwrap_err();
        assert_eq!(
            (error.path(), error.problem()),
            ("a[1]", &ValueProblem::Float(shown.to_owned()))
        );
    }
}

/// Depth is bounded before the stack is: a megabyte of opening brackets is refused at once.
#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| (0..depth).fold(Value::Null, |value, _| Value::List(vec![value]));
    let deepest = nested(MAX_DEPTH);
    assert_eq!(Value::from_cbor(&deepest.to_cbor()).unwrap(), deepest);
    assert_eq!(Value::from_json(deepest.to_json()).unwrap(), deepest);
    let too_deep = nested(MAX_DEPTH + 1);
    assert_eq!(
        Value::from_cbor(&too_deep.to_cbor()).unwrap_err().problem(),
        &ValueProblem::TooDeep
    );
    assert_eq!(
        Value::from_json(too_deep.to_json()).unwrap_err().problem(),
        &ValueProblem::TooDeep
    );
    assert_eq!(
        too_deep.check().unwrap_err().problem(),
        &ValueProblem::TooDeep
    );
    let maps = (0..=MAX_DEPTH).fold(Value::Null, |value, _| {
        Value::Map(Map::from([("a".to_owned(), value)]))
    });
    assert_eq!(
        Value::from_cbor(&maps.to_cbor()).unwrap_err().problem(),
        &ValueProblem::TooDeep
    );
    assert!(Value::from_cbor(&vec![0x81; 1_000_000]).is_err());
}

/// A megabyte of one-byte values would take a hundred megabytes of memory.
#[test]
fn the_number_of_values_is_bounded() {
    let mut bytes = b"\x9a\x00\x0f\x42\x3b".to_vec();
    bytes.resize(1_000_000, 0xf6);
    assert_eq!(
        Value::from_cbor(&bytes).unwrap_err().problem(),
        &ValueProblem::TooManyValues
    );
}
