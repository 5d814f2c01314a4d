use crate::schema::{Kind, Limits};
use crate::shape::Shape;
use crate::value::{Map, Value};
use crate::{Cid, Invalid};

/// A reference to a blob of the repository: its hash, what it says it is, and how long it is.
///
/// The MIME type is what the server found when it was uploaded; nobody has to believe it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// The CID of its bytes.
    pub cid: Cid,
    /// Its MIME type, `image/png`.
    pub mime_type: String,
    /// Its length, in bytes.
    pub size: u64,
}

impl BlobRef {
    /// A reference to these bytes, before they were uploaded.
    pub fn of(bytes: &[u8], mime_type: impl Into<String>) -> Self {
        Self {
            cid: crate::cid_for_raw(bytes),
            mime_type: mime_type.into(),
            size: bytes.len() as u64,
        }
    }
}

impl Shape for BlobRef {
    const KIND: Kind = Kind::Blob;

    fn read(value: Value) -> Result<Self, Invalid> {
        let mut map = Map::read(value)?;
        let (cid, mime_type, size) = (
            map.remove("ref"),
            map.remove("mimeType"),
            map.remove("size"),
        );
        match (map.remove("$type"), cid, mime_type, size) {
            (
                Some(Value::Text(kind)),
                Some(Value::Link(cid)),
                Some(Value::Text(mime_type)),
                Some(Value::Int(size)),
            ) if kind == "blob" => {
                let size = u64::try_from(size)
                    .map_err(|_| Invalid::new("is negative").in_field("size"))?;
                Ok(Self {
                    cid,
                    mime_type,
                    size,
                })
            }
            _ => Err(Invalid::new(
                "must be a blob: $type blob, ref, mimeType and size",
            )),
        }
    }

    fn write(&self) -> Value {
        Value::from([
            ("$type", "blob".into()),
            ("ref", Value::Link(self.cid)),
            ("mimeType", self.mime_type.as_str().into()),
            (
                "size",
                Value::Int(i64::try_from(self.size).unwrap_or(i64::MAX)),
            ),
        ])
    }

    fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        match limits.max_size.filter(|max| self.size > *max) {
            Some(max) => Err(Invalid::new(format_args!(
                "has {} bytes, more than {max}",
                self.size
            ))),
            None => Ok(()),
        }
    }
}

crate::object::serde_as_shape!(BlobRef);
