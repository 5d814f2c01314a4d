//! What a lexicon says of a field, as Rust sees it: the same table that is in `lexicons/agent/comms/*.json`.
//!
//! Each type of this crate carries its table in `FIELDS`; [`lexicons`](crate::lexicons) lists them all. Validation reads the limits from
//! here, and a test holds the tables and the JSON files together.

use crate::KeyType;

/// One field of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// Whether an object without it is refused.
    pub required: bool,
    /// Whether it holds a list of such values.
    pub list: bool,
    /// What it holds.
    pub kind: Kind,
    /// How much it may hold.
    pub limits: Limits,
}

/// The type of a field, in the words of lexicons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `boolean`.
    Boolean,
    /// `integer`.
    Integer,
    /// `string`.
    Text {
        /// The syntax: `did`, `at-uri`, `datetime`, …
        format: Option<&'static str>,
        /// The values with a known meaning; others are allowed.
        known_values: &'static [&'static str],
    },
    /// `blob`.
    Blob,
    /// `unknown`: any object.
    Unknown,
    /// `ref`: the object of that name.
    Ref(&'static str),
}

impl Kind {
    /// Text of any content.
    pub(crate) const TEXT: Kind = Kind::Text {
        format: None,
        known_values: &[],
    };

    pub(crate) const fn format(format: &'static str) -> Kind {
        Kind::Text {
            format: Some(format),
            known_values: &[],
        }
    }
}

/// The limits of a field. They never change once published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Limits {
    /// Longest text, in bytes (`maxLength`).
    pub max_bytes: Option<usize>,
    /// Longest text, in characters as people count them (`maxGraphemes`).
    pub max_graphemes: Option<usize>,
    /// Smallest integer.
    pub minimum: Option<i64>,
    /// Largest integer.
    pub maximum: Option<i64>,
    /// Most items of a list.
    pub max_items: Option<usize>,
    /// Largest blob, in bytes.
    pub max_size: Option<u64>,
}

impl Limits {
    /// Nothing but what bounds the record as a whole.
    pub const NONE: Limits = Limits {
        max_bytes: None,
        max_graphemes: None,
        minimum: None,
        maximum: None,
        max_items: None,
        max_size: None,
    };

    pub(crate) const fn graphemes(self, max: usize) -> Limits {
        Limits {
            max_graphemes: Some(max),
            ..self
        }
    }

    pub(crate) const fn of_bytes(self, max: usize) -> Limits {
        Limits {
            max_bytes: Some(max),
            ..self
        }
    }
}

/// A text of at most `max` bytes.
pub(crate) const fn bytes(max: usize) -> Limits {
    Limits::NONE.of_bytes(max)
}

/// An integer of at least `minimum`.
pub(crate) const fn from(minimum: i64) -> Limits {
    Limits {
        minimum: Some(minimum),
        ..Limits::NONE
    }
}

/// An integer between the two, both included.
pub(crate) const fn range(minimum: i64, maximum: i64) -> Limits {
    Limits {
        maximum: Some(maximum),
        ..from(minimum)
    }
}

/// A list of at most `max` items.
pub(crate) const fn items(max: usize) -> Limits {
    Limits {
        max_items: Some(max),
        ..Limits::NONE
    }
}

/// A blob of at most `max` bytes.
pub(crate) const fn size(max: u64) -> Limits {
    Limits {
        max_size: Some(max),
        ..Limits::NONE
    }
}

/// One object that a lexicon defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// The NSID of the record, or `agent.comms.defs#name`.
    pub id: &'static str,
    /// How records are keyed; none for an object that is only part of records.
    pub key: Option<KeyType>,
    /// The fields.
    pub fields: &'static [Field],
}
