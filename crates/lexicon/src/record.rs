//! What makes a type a record, and the way between a record and its bytes.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::fault;
use crate::value::{self, Map, Value, ValueError};
use crate::{Cid, Did, Invalid, RecordKey, cid_for_cbor};

/// The largest record, in bytes of CBOR: what servers take and what verification lets in.
pub const MAX_RECORD_BYTES: usize = 1_000_000;

/// How the records of a collection are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// A new TID for each.
    Tid,
    /// Any key; for the records of atcomms, one that is derived from what the record is about.
    Any,
    /// The one record of the collection is called `self`.
    LiteralSelf,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tid => "tid",
            Self::Any => "any",
            Self::LiteralSelf => "literal:self",
        })
    }
}

/// A type whose values are records of one collection.
///
/// Any type with serde becomes one in a line. It goes to the network as it goes to JSON (see [`to_value`]), and may not
/// hold floats.
///
/// ```
/// use atcomms_lexicon::{Record, decode, encode};
///
/// #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Observation {
///     station: String,
///     millikelvin: i64,
/// }
///
/// impl Record for Observation {
///     const NSID: &'static str = "com.example.observation";
/// }
///
/// let observation = Observation { station: "roof".into(), millikelvin: 281_150 };
/// let encoded = encode(&observation)?;
/// assert_eq!(decode::<Observation>(&encoded.cbor)?, observation);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`to_value`]: crate::value::to_value
pub trait Record:
    Serialize + DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static
{
    /// The collection, and the `$type` of its records.
    const NSID: &'static str;

    /// How the records are named.
    const KEY: KeyType = KeyType::Tid;

    /// Older names of the same record, which are read and never written.
    const ALSO: &'static [&'static str] = &[];

    /// Whether the record keeps to its limits; asked on the way out and on the way in.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// Whom the record names as its author. Only the signature says who it is; a record that claims another is refused.
    fn claimed_author(&self) -> Option<&Did> {
        None
    }

    /// The key that follows from what the record is about, so that a writer that crashed writes the same one again.
    fn derived_key(&self) -> Option<RecordKey> {
        None
    }

    /// The record as data, without `$type`.
    fn to_map(&self) -> Result<Map, ValueError> {
        match value::to_value(self)? {
            Value::Map(map) => Ok(map),
            other => Err(ValueError::shape(format_args!(
                "a record must be an object, not {}",
                other.kind()
            ))),
        }
    }

    /// The record from data without `$type`.
    fn from_map(map: Map) -> Result<Self, Invalid> {
        Ok(value::from_value(Value::Map(map))?)
    }
}

/// A record ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// As data, with its `$type`.
    pub value: Map,
    /// As canonical DAG-CBOR.
    pub cbor: Vec<u8>,
    /// The hash of that, by which the repository refers to it.
    pub cid: Cid,
}

/// A record that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It breaks a limit of its lexicon.
    #[error("this {nsid} cannot be written: {invalid}")]
    Invalid {
        /// The record's lexicon.
        nsid: &'static str,
        /// What is wrong.
        #[source]
        invalid: Invalid,
    },
    /// It holds what no record can hold, such as a float.
    #[error("this {nsid} cannot be written: {error}")]
    Value {
        /// The record's lexicon.
        nsid: &'static str,
        /// What is wrong.
        #[source]
        error: ValueError,
    },
    /// It carries a `$type` of its own, which is not that of its lexicon.
    #[error("this {nsid} cannot be written: its $type says {found}")]
    WrongType {
        /// The record's lexicon.
        nsid: &'static str,
        /// What it says.
        found: String,
    },
    /// It is too large for any server.
    #[error(
        "this {nsid} cannot be written: it has {size} bytes, more than {MAX_RECORD_BYTES}; attach the bulk of it as a blob"
    )]
    TooLarge {
        /// The record's lexicon.
        nsid: &'static str,
        /// Its size, in bytes.
        size: usize,
    },
}

/// Validates a record and gives it the form in which it is stored.
pub fn encode<R: Record>(record: &R) -> Result<Encoded, EncodeError> {
    let nsid = R::NSID;
    let value_error = |error| EncodeError::Value { nsid, error };
    record
        .validate()
        .map_err(|invalid| EncodeError::Invalid { nsid, invalid })?;
    let mut value = record.to_map().map_err(value_error)?;
    if let Some(found) = value.insert("$type".to_owned(), nsid.into())
        && found.as_text() != Some(nsid)
    {
        let found = found.to_json().to_string();
        return Err(EncodeError::WrongType { nsid, found });
    }
    value::check_document(&value).map_err(value_error)?;
    let cbor = value::map_to_cbor(&value);
    if cbor.len() > MAX_RECORD_BYTES && !fault::on("record-written-too-large") {
        return Err(EncodeError::TooLarge {
            nsid,
            size: cbor.len(),
        });
    }
    let cid = cid_for_cbor(&cbor);
    Ok(Encoded { value, cbor, cid })
}

/// Bytes that are not the record that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They are not data of a record.
    #[error("this record cannot be read: {0}")]
    Value(#[from] ValueError),
    /// They are data, but not an object.
    #[error("this record cannot be read: it is {0}, not an object")]
    NotAnObject(&'static str),
    /// They are another record, or do not say which.
    #[error("this record cannot be read as {expected}: its $type {}", found.as_deref().map_or_else(|| "is missing".to_owned(), |found| format!("is {found}")))]
    WrongType {
        /// What was asked for.
        expected: String,
        /// What it is.
        found: Option<String>,
    },
    /// They are the record, and break its lexicon.
    #[error("this {nsid} cannot be read: {invalid}")]
    Invalid {
        /// The record's lexicon.
        nsid: String,
        /// What is wrong.
        #[source]
        invalid: Invalid,
    },
}

/// Reads a record from its bytes, checks its `$type`, and validates it.
///
/// What is of an older form, as the lexicon lists them, is read as today's.
pub fn decode<R: Record>(cbor: &[u8]) -> Result<R, DecodeError> {
    from_typed_map(read_map(cbor)?)
}

pub(crate) fn read_map(cbor: &[u8]) -> Result<Map, DecodeError> {
    let value = Value::from_cbor(cbor)?;
    value
        .into_map()
        .map_err(|other| DecodeError::NotAnObject(other.kind()))
}

/// Reads a record from its data, checks its `$type`, and validates it: [`decode`] for what is not in bytes.
pub fn from_typed_map<R: Record>(mut map: Map) -> Result<R, DecodeError> {
    let found = match map.remove("$type") {
        Some(Value::Text(found)) => Some(found),
        _ => None,
    };
    if !found
        .as_deref()
        .is_some_and(|found| found == R::NSID || R::ALSO.contains(&found))
    {
        let expected = R::NSID.to_owned();
        return Err(DecodeError::WrongType { expected, found });
    }
    let record = R::from_map(map).and_then(|record: R| record.validate().map(|()| record));
    record.map_err(|invalid| DecodeError::Invalid {
        nsid: R::NSID.to_owned(),
        invalid,
    })
}

/// Whom a record of that collection names as its author, where its lexicon has a field for it: `sender`, or `from` for a
/// handoff. A card and a lease name none.
pub fn claimed_author<'a>(nsid: &str, value: &'a Map) -> Option<&'a str> {
    let field = match nsid.strip_prefix("agent.comms.")? {
        "card" | "lease" => return None,
        "handoff" => "from",
        _ => "sender",
    };
    value.get(field)?.as_text()
}
