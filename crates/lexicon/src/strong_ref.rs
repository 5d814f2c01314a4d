use crate::schema::{Kind, Limits};
use crate::shape::{self, Shape};
use crate::value::{Map, Value};
use crate::{AtUri, Cid, Invalid};

/// A record as it was at one moment: its URI, and the CID of what was there (`com.atproto.repo.strongRef`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StrongRef {
    /// Where it is.
    pub uri: AtUri,
    /// What it was.
    pub cid: Cid,
}

impl StrongRef {
    /// A reference to the record at `uri` with the content `cid`.
    pub fn new(uri: impl Into<AtUri>, cid: Cid) -> Self {
        Self {
            uri: uri.into(),
            cid,
        }
    }
}

impl From<&StrongRef> for StrongRef {
    fn from(subject: &StrongRef) -> Self {
        subject.clone()
    }
}

impl std::fmt::Display for StrongRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.uri, self.cid)
    }
}

impl Shape for StrongRef {
    const KIND: Kind = Kind::Ref("com.atproto.repo.strongRef");

    fn read(value: Value) -> Result<Self, Invalid> {
        let mut map = Map::read(value)?;
        Ok(Self {
            uri: shape::required(&mut map, &["uri"])?,
            cid: shape::required(&mut map, &["cid"])?,
        })
    }

    fn write(&self) -> Value {
        Value::from([("uri", self.uri.write()), ("cid", self.cid.write())])
    }

    fn check(&self, _: &Limits) -> Result<(), Invalid> {
        Ok(())
    }
}

crate::object::serde_as_shape!(StrongRef);
