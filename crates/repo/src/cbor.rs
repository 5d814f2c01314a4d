//! DAG-CBOR as far as frames, CAR headers, MST nodes and commits need it: a reader over borrowed
//! bytes and a few writing functions. No values, no serde: whoever reads knows what must come.
//!
//! The reader is strict where two encodings of one thing would otherwise exist (lengths in their
//! shortest form, no indefinite lengths, only tag 42), checks every length against what is left
//! before using it, and bounds the depth of what it skips.

mod read;
mod write;

use thiserror::Error;

pub(crate) use read::Reader;
pub(crate) use write::{
    write_bool, write_bytes, write_cbor_link_field, write_int, write_len, write_link, write_null,
    write_text,
};

use crate::digest;

/// Containers nested deeper than this are refused when skipped. The envelopes of the firehose
/// nest four deep; unknown fields get room to grow.
pub(crate) const MAX_DEPTH: u8 = 32;

/// What is wrong with CBOR bytes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{kind} at byte {at}")]
pub struct CborError {
    /// What is wrong.
    pub kind: CborErrorKind,
    /// Offset in the bytes that were being read.
    pub at: usize,
}

/// The ways in which CBOR bytes can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CborErrorKind {
    /// A value or a length reaches past the end.
    #[error("CBOR ends early or claims a length beyond its end")]
    Truncated,
    /// Bytes follow the last value.
    #[error("bytes follow the end of the CBOR value")]
    TrailingBytes,
    /// A number or length is not in its shortest form, of indefinite length, or reserved.
    #[error("CBOR is not in DAG-CBOR's canonical form")]
    NotCanonical,
    /// Containers are nested too deep.
    #[error("CBOR is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Another type was needed.
    #[error("CBOR holds something else where {0} is needed")]
    Unexpected(&'static str),
    /// Text is not UTF-8.
    #[error("CBOR text is not UTF-8")]
    NotUtf8,
    /// A link is not a CIDv1 with SHA-256 over DAG-CBOR or raw bytes.
    #[error("CBOR link is not a CIDv1 with SHA-256 over DAG-CBOR or raw bytes")]
    BadLink,
    /// A key occurs twice in a map.
    #[error("CBOR map holds a key twice")]
    DuplicateKey,
}

pub(crate) const UINT: u8 = 0;
pub(crate) const NINT: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;
pub(crate) const SIMPLE: u8 = 7;

pub(crate) const NULL: u8 = 0xf6;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const FLOAT64: u8 = 0xfb;
const LINK_TAG: u64 = 42;
/// How every link to DAG-CBOR begins: tag 42, 37 bytes, the multibase zero, and a CIDv1's codec and
/// hash.
const CBOR_LINK: [u8; 9] = [0xd8, 42, 0x58, 37, 0, 1, digest::DAG_CBOR, 0x12, 0x20];
