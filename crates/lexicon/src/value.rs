//! The data model of the protocol: what a record may hold, before any type is put on it.
//!
//! A [`Value`] has one form in CBOR (canonical DAG-CBOR, whose hash is the record's CID) and one in JSON
//! (`{"$link": …}`, `{"$bytes": …}`), and goes from each into the other and back without loss.
//! Floats do not exist in it, and integers keep within 53 bits, since readers in other languages hold them in a double.
//!
//! ```
//! use atcomms_lexicon::Value;
//!
//! let value = Value::from_json(serde_json::json!({ "sky": "clear", "millikelvin": 281_150 }))?;
//! assert_eq!(Value::from_cbor(&value.to_cbor())?, value);
//!
//! let error = Value::from_json(serde_json::json!({ "readings": [8, 8.5] })).unwrap_err();
//! assert_eq!(error.path(), "readings[1]");
//! # Ok::<(), atcomms_lexicon::ValueError>(())
//! ```

mod cbor_read;
mod cbor_write;
mod check;
mod deserialize;
mod error;
mod json;
mod payload_data;
mod serde_impls;
mod serialize;

use std::collections::BTreeMap;

pub use deserialize::from_value;
pub use error::{ValueError, ValueProblem};
pub use payload_data::{from_payload_data, to_payload_data};
pub use serialize::to_value;

pub(crate) use cbor_write::map_to_cbor;
pub(crate) use check::check_document;
pub(crate) use error::join;

use crate::Cid;

/// The largest integer, and its negative the smallest: what a 64-bit float holds exactly.
pub const MAX_INT: i64 = (1 << 53) - 1;

/// How deep lists and maps may nest. Relays refuse far less; JSON readers commonly stop at 128, and what we read must
/// also fit into the JSON that we print.
pub const MAX_DEPTH: usize = 64;

/// How many values one document may hold: bounds what a megabyte of one-byte values costs in memory (about 30 MB).
pub const MAX_VALUES: usize = 1 << 18;

/// The fields of an object.
pub type Map = BTreeMap<String, Value>;

/// Any data that a record may hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value {
    /// Nothing, said explicitly.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer within ±[`MAX_INT`].
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A link to a block or a blob.
    Link(Cid),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Map(Map),
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The bytes, if they are.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The link, if it is one.
    pub fn as_link(&self) -> Option<&Cid> {
        match self {
            Self::Link(cid) => Some(cid),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The object, if it is one, else the value again.
    pub fn into_map(self) -> Result<Map, Value> {
        match self {
            Self::Map(map) => Ok(map),
            other => Err(other),
        }
    }

    /// The field of that name, if it is an object that has one.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.as_map()?.get(field)
    }

    /// What it is, in words, for a message to a person.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::Link(_) => "a link",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<i32> for Value {
    fn from(int: i32) -> Self {
        Self::Int(int.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Cid> for Value {
    fn from(cid: Cid) -> Self {
        Self::Link(cid)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Value {
    fn from(fields: [(&str, Value); N]) -> Self {
        Self::Map(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}
