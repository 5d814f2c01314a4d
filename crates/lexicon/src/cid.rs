//! Content identifiers: the hash by which a record, a block or a blob is named.

use std::fmt;

pub use ::cid::Cid;
use multihash::Multihash;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use sha2::{Digest, Sha256};

use crate::SyntaxError;

/// The codec of what is DAG-CBOR: records, commits, nodes.
pub const CODEC_CBOR: u64 = 0x71;
/// The codec of plain bytes: blobs.
pub const CODEC_RAW: u64 = 0x55;
/// The code of SHA-256 among multihashes.
const SHA2_256: u64 = 0x12;
/// Length of a SHA-256, in bytes.
const SHA2_256_BYTES: u8 = 32;

/// By this name of a newtype do serde formats of IPLD know a link.
pub(crate) const SERDE_NAME: &str = "$__private__serde__identifier__for__cid";

/// The CID of a block of DAG-CBOR: version 1, SHA-256.
pub fn cid_for_cbor(bytes: &[u8]) -> Cid {
    from_digest(CODEC_CBOR, &Sha256::digest(bytes).into())
}

/// The CID of plain bytes, such as a blob: version 1, SHA-256.
pub fn cid_for_raw(bytes: &[u8]) -> Cid {
    from_digest(CODEC_RAW, &Sha256::digest(bytes).into())
}

/// The CID of what has this SHA-256: for a blob that was hashed while it was read.
#[expect(clippy::expect_used, reason = "32 bytes fit into a multihash of 64")]
pub fn from_digest(codec: u64, digest: &[u8; 32]) -> Cid {
    let hash = Multihash::wrap(SHA2_256, digest).expect("a SHA-256 fits into a multihash");
    Cid::new_v1(codec, hash)
}

/// Reads the text of a CID, version 1 in any base. Version 0 (`Qm…`) is not part of the protocol.
pub fn parse(text: &str) -> Result<Cid, SyntaxError> {
    let error = |reason| SyntaxError::new("CID", text, reason);
    if text.starts_with("Qm") {
        return Err(error("version 0 is not supported"));
    }
    Cid::try_from(text).map_err(|_| error("it is not a multibase text of version, codec and hash"))
}

/// Reads the binary form, all of it.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Cid> {
    if let [1, codec @ (0x71 | 0x55), hash, SHA2_256_BYTES, digest @ ..] = bytes
        && u64::from(*hash) == SHA2_256
        && let Ok(digest) = digest.try_into()
    {
        return Some(from_digest(u64::from(*codec), digest));
    }
    let cid = Cid::try_from(bytes).ok()?;
    (cid.version() == ::cid::Version::V1 && cid.encoded_len() == bytes.len()).then_some(cid)
}

/// A link to a block or blob, as a field of a record: a link in CBOR, `{"$link": "…"}` in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidLink(pub Cid);

impl From<Cid> for CidLink {
    fn from(cid: Cid) -> Self {
        Self(cid)
    }
}

impl fmt::Display for CidLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CidLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for CidLink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry("$link", &self.0.to_string())?;
            map.end()
        } else {
            serializer.serialize_newtype_struct(SERDE_NAME, &RawBytes(&self.0.to_bytes()))
        }
    }
}

struct RawBytes<'a>(&'a [u8]);

impl Serialize for RawBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for CidLink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_newtype_struct(SERDE_NAME, LinkVisitor)
            .map(Self)
    }
}

/// Reads what stands inside the newtype of a link.
pub(crate) fn deserialize_inner<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Cid, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(LinkVisitor)
    } else {
        deserializer.deserialize_bytes(LinkVisitor)
    }
}

struct LinkVisitor;

impl<'de> Visitor<'de> for LinkVisitor {
    type Value = Cid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a link, {\"$link\": CID}")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cid, D::Error> {
        deserialize_inner(deserializer)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Cid, E> {
        from_bytes(bytes).ok_or_else(|| E::custom("a link is not a CID"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Cid, A::Error> {
        let link: Option<(String, String)> = fields.next_entry()?;
        match link {
            Some((name, text)) if name == "$link" => {
                if fields.next_key::<String>()?.is_some() {
                    return Err(A::Error::custom("$link must be alone in its object"));
                }
                parse(&text).map_err(A::Error::custom)
            }
            _ => Err(A::Error::custom("expected a link, {\"$link\": CID}")),
        }
    }
}
