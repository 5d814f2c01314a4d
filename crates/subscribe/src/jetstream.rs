//! What a Jetstream says: its events as JSON, read strictly and within bounds. No sockets, no clock.
//!
//! A Jetstream is believed on its word, or not at all: an event carries no signature. What can be checked is
//! that the record hashes to the CID that stands beside it, and that is checked here.
//!
//! ```
//! use atcomms_subscribe::jetstream::{Kind, parse};
//!
//! let event = parse(br#"{"did":"did:plc:44ybard66vv44zksje25o7dz","time_us":1725911162329308,"kind":"identity",
//!     "identity":{"did":"did:plc:44ybard66vv44zksje25o7dz","seq":7,"time":"2024-09-09T19:46:02.329Z"}}"#)?;
//! assert_eq!((event.time_us, event.kind), (1_725_911_162_329_308, Kind::Identity));
//! # Ok::<(), atcomms_subscribe::jetstream::EventError>(())
//! ```

use atcomms_lexicon::cid::{self, Cid};
use atcomms_lexicon::value::MAX_VALUES;
use atcomms_lexicon::{Did, MAX_RECORD_BYTES, Map, Nsid, RecordKey, SyntaxError, Tid, Value};
use atcomms_repo::frame::Action;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value as Json;

/// Bytes of an event. A record has at most a megabyte, of which JSON makes six at worst (`\u0001` for a byte).
pub const MAX_EVENT_BYTES: usize = 6_000_000;

/// Values of JSON beside those of the record, with room for fields that are not known yet.
const MAX_ENVELOPE_VALUES: usize = 1024;

/// One event of a Jetstream, as it says it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Whom it is about.
    pub did: Did,
    /// When the Jetstream saw it, in microseconds since 1970: its cursor.
    pub time_us: i64,
    /// What it is.
    pub kind: Kind,
}

/// What an event is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// One operation of a commit.
    Commit(Box<Operation>),
    /// A handle, a key or a PDS may have changed.
    Identity,
    /// An account came, went, or is back.
    Account,
    /// Something that came after this was written.
    Other,
}

/// One operation of a commit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Operation {
    /// The rev of the commit.
    pub rev: Tid,
    /// What was done.
    pub action: Action,
    /// The record's collection.
    pub collection: Nsid,
    /// The record's key.
    pub rkey: RecordKey,
    /// The record; `None` for a delete.
    pub content: Option<Content>,
}

/// A record, and by which hash it is named.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Content {
    /// Its hash.
    pub cid: Cid,
    /// The record.
    pub record: Record,
}

/// A record as a Jetstream gives it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// It is in the data model, and its bytes hash to the CID.
    Readable {
        /// Its fields.
        map: Map,
        /// As it was signed (DAG-CBOR).
        bytes: Bytes,
    },
    /// It is outside of the data model, so that JSON does not say what its bytes were: whether they hash to
    /// the CID cannot be told.
    Undecidable {
        /// What is wrong with it.
        reason: String,
    },
}

/// An event that is none. [`EventError::reason`] is for counting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// It is larger than [`MAX_EVENT_BYTES`].
    #[error("an event of {0} bytes is larger than {MAX_EVENT_BYTES}")]
    TooLarge(usize),
    /// It has more values than a record can have.
    #[error("an event with more than {MAX_VALUES} values holds no record")]
    TooManyValues,
    /// It is not the JSON of an event.
    #[error("it is not the JSON of an event: {0}")]
    Json(#[from] serde_json::Error),
    /// A DID, a rev, a collection or a key that is none.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Something that an event of its kind has is not there, or makes no sense.
    #[error("it is no event: {0}")]
    Malformed(&'static str),
    /// The record is larger than a record can be.
    #[error("its record of {0} bytes is larger than {MAX_RECORD_BYTES}")]
    RecordTooLarge(usize),
    /// The record is another one than the CID says.
    #[error("its record hashes to {found} and not to {claimed}")]
    Cid {
        /// The CID that stands beside the record.
        claimed: Box<Cid>,
        /// That of the record.
        found: Box<Cid>,
    },
}

impl EventError {
    /// A word for a counter.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) | Self::TooManyValues => "event_too_large",
            Self::Json(_) | Self::Syntax(_) | Self::Malformed(_) => "event_malformed",
            Self::RecordTooLarge(_) => "record_too_large",
            Self::Cid { .. } => "cid",
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    did: String,
    time_us: i64,
    kind: String,
    commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    rev: String,
    operation: String,
    collection: String,
    rkey: String,
    cid: Option<String>,
    record: Option<Json>,
}

/// Reads a message of a Jetstream's `/subscribe` (version 1). Fields that are not known are passed over.
///
/// # Errors
/// It is no event, or contradicts itself. The stream goes on behind it.
pub fn parse(message: &[u8]) -> Result<Event, EventError> {
    if message.len() > MAX_EVENT_BYTES {
        return Err(EventError::TooLarge(message.len()));
    }
    // Before anything is made of it: a byte of JSON can become thirty of memory.
    if values(message) > MAX_VALUES + MAX_ENVELOPE_VALUES {
        return Err(EventError::TooManyValues);
    }
    let envelope: Envelope = serde_json::from_slice(message)?;
    if envelope.time_us < 0 {
        return Err(EventError::Malformed("its time is before 1970"));
    }
    let kind = match (envelope.kind.as_str(), envelope.commit) {
        ("commit", Some(commit)) => Kind::Commit(Box::new(operation(commit)?)),
        ("commit", None) => return Err(EventError::Malformed("a commit without one")),
        ("identity", _) => Kind::Identity,
        ("account", _) => Kind::Account,
        _ => Kind::Other,
    };
    Ok(Event {
        did: envelope.did.parse()?,
        time_us: envelope.time_us,
        kind,
    })
}

fn operation(commit: Commit) -> Result<Operation, EventError> {
    let action = match commit.operation.as_str() {
        "create" => Action::Create,
        "update" => Action::Update,
        "delete" => Action::Delete,
        _ => return Err(EventError::Malformed("its operation is unknown")),
    };
    let content = match (action, commit.cid, commit.record) {
        (Action::Delete, _, _) => None,
        (_, Some(cid), Some(record)) => {
            let cid = cid::parse(&cid)?;
            let record = read(cid, record)?;
            Some(Content { cid, record })
        }
        _ => return Err(EventError::Malformed("its record or its CID is missing")),
    };
    Ok(Operation {
        rev: commit.rev.parse()?,
        action,
        collection: commit.collection.parse()?,
        rkey: commit.rkey.parse()?,
        content,
    })
}

/// The record, if it is the one that the CID names, as far as that can be told.
fn read(claimed: Cid, json: Json) -> Result<Record, EventError> {
    if !json.is_object() {
        return Err(EventError::Malformed("its record is no object"));
    }
    let float = has_float(&json);
    let map = match Value::from_json(json) {
        Ok(Value::Map(map)) => map,
        Ok(_) => return Err(EventError::Malformed("its record is no object")),
        Err(error) => {
            let reason = error.to_string();
            return Ok(Record::Undecidable { reason });
        }
    };
    let value = Value::Map(map);
    let bytes = value.to_cbor();
    let found = cid::cid_for_cbor(&bytes);
    if found != claimed {
        // It was read as an integer, and may have been signed as a float.
        if float {
            let reason = "it holds a float, which records cannot".to_owned();
            return Ok(Record::Undecidable { reason });
        }
        let (claimed, found) = (Box::new(claimed), Box::new(found));
        return Err(EventError::Cid { claimed, found });
    }
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(EventError::RecordTooLarge(bytes.len()));
    }
    let Value::Map(map) = value else {
        return Err(EventError::Malformed("its record is no object"));
    };
    let bytes = bytes.into();
    Ok(Record::Readable { map, bytes })
}

fn has_float(json: &Json) -> bool {
    match json {
        Json::Number(number) => number.is_f64(),
        Json::Array(list) => list.iter().any(has_float),
        Json::Object(fields) => fields.values().any(has_float),
        _ => false,
    }
}

/// At least as many as there are values in a JSON text: each but the first of a list or an object comes after
/// a comma, and the first after a bracket.
fn values(text: &[u8]) -> usize {
    let (mut values, mut quoted, mut escaped) = (1, false, false);
    for byte in text {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b',' | b'[' | b'{') => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(record: Json, cid: &str) -> Vec<u8> {
        let event = json!({
            "did": "did:plc:44ybard66vv44zksje25o7dz", "time_us": 17, "kind": "commit", "cursor": 5,
            "commit": {
                "rev": "3l3qo2vutsw2b", "operation": "create", "collection": "agent.comms.message",
                "rkey": "3l3qo2vuowo2b", "record": record, "cid": cid,
            },
        });
        event.to_string().into_bytes()
    }

    fn cid_of(record: &Json) -> String {
        let value = Value::from_json(record.clone()).unwrap();
        cid::cid_for_cbor(&value.to_cbor()).to_string()
    }

    fn record_of(message: &[u8]) -> Record {
        match parse(message).unwrap().kind {
            Kind::Commit(operation) => operation.content.unwrap().record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_record_is_held_against_its_cid_links_and_bytes_included() {
        let link = cid::cid_for_raw(b"blob").to_string();
        let record =
            json!({"text": "hi", "link": {"$link": link}, "bytes": {"$bytes": "aGk"}, "n": -3});
        let cid = cid_of(&record);
        let Record::Readable { map, bytes } = record_of(&event(record.clone(), &cid)) else {
            panic!("it can be read");
        };
        assert_eq!(map["bytes"], Value::Bytes(b"hi".to_vec()));
        assert_eq!(cid::cid_for_cbor(&bytes).to_string(), cid);

        let other = parse(&event(json!({"text": "ho"}), &cid)).unwrap_err();
        assert_eq!(other.reason(), "cid", "{other}");
    }

    #[test]
    fn what_json_does_not_say_for_sure_is_undecidable() {
        let cid = cid::cid_for_cbor(b"whatever").to_string();
        for record in [
            json!({"n": 1.5}),
            json!({"n": 3.0}),
            json!({"n": 9_007_199_254_740_993_i64}),
            json!({"$bytes": "aGk", "more": 1}),
        ] {
            let read = record_of(&event(record.clone(), &cid));
            assert!(
                matches!(read, Record::Undecidable { .. }),
                "{record}: {read:?}"
            );
        }
    }

    #[test]
    fn a_delete_has_no_record() {
        let text =
            br#"{"did":"did:plc:44ybard66vv44zksje25o7dz","time_us":17,"kind":"commit","commit":
            {"rev":"3l3qo2vutsw2b","operation":"delete","collection":"a.b.c","rkey":"x"}}"#;
        let Kind::Commit(operation) = parse(text).unwrap().kind else {
            panic!("it is a commit");
        };
        assert_eq!(
            (operation.action, operation.content),
            (Action::Delete, None)
        );
    }

    #[test]
    fn what_is_no_event_is_an_error_with_a_reason() {
        let good = String::from_utf8(event(json!({}), &cid_of(&json!({})))).unwrap();
        assert!(
            parse(good.as_bytes()).is_ok(),
            "the base of what is broken here"
        );
        let changes = [
            ("\"create\"", "\"destroy\""),
            ("\"create\"", "3"),
            ("did:plc:", "did plc "),
            ("3l3qo2vutsw2b", "yesterday"),
            ("agent.comms.message", "agent"),
            ("\"time_us\":17", "\"time_us\":-17"),
            ("\"time_us\":17", "\"time_us\":17,\"time_us\":18"),
            ("\"record\":{}", "\"record\":null"),
            ("\"record\":{}", "\"record\":[]"),
            ("\"commit\":{", "\"commit\":null,\"x\":{"),
            ("}", ""),
        ];
        for (from, to) in changes {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from}");
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.reason(), "event_malformed", "{to}: {error}");
        }
        for wrong in [&b""[..], b"\xff\x00", b"[]", b"null", &[b'['; 100_000]] {
            assert_eq!(parse(wrong).unwrap_err().reason(), "event_malformed");
        }
        assert_eq!(
            parse(good.replace("\"commit\",", "\"sync\",").as_bytes())
                .unwrap()
                .kind,
            Kind::Other
        );
    }

    #[test]
    fn memory_is_bounded_before_anything_is_made_of_it() {
        let zeros = format!("[{}0]", "0,".repeat(MAX_VALUES + MAX_ENVELOPE_VALUES));
        assert!(matches!(
            parse(zeros.as_bytes()),
            Err(EventError::TooManyValues)
        ));
        let text = json!({"text": ",".repeat(MAX_VALUES + MAX_ENVELOPE_VALUES), "more": "\",\\"});
        assert!(matches!(
            record_of(&event(text.clone(), &cid_of(&text))),
            Record::Readable { .. }
        ));
        assert!(matches!(
            parse(&vec![b' '; MAX_EVENT_BYTES + 1]),
            Err(EventError::TooLarge(_))
        ));
    }
}
