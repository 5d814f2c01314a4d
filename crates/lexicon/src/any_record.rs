use crate::record::{DecodeError, from_typed_map, read_map};
use crate::schema::Definition;
use crate::value::{Map, Value};
use crate::{
    Ack, Artifact, Award, Broadcast, Cancel, Card, Content, Did, Failure, Handoff, Invalid, Lease,
    Message, Metrics, Nsid, Payload, Proposal, Record, Request, Response, Skill, Status, Trace,
};

macro_rules! any_record {
    ($($type:ident),*; $($def:ident),*) => {
        /// A record of any collection: one of `agent.comms`, typed, or another's data.
        ///
        /// Serde writes it with its `$type`, as it is in the repository.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "records are handled one at a time")]
        pub enum AnyRecord {
            $(#[doc = concat!("See [`", stringify!($type), "`].")] $type($type),)*
            /// A record of a lexicon that this crate does not have.
            Other {
                /// Its collection.
                nsid: Nsid,
                /// Its data, with `$type`.
                value: Map,
            },
        }

        impl AnyRecord {
            /// Reads a record of that collection from its bytes, checks its `$type`, and validates it.
            pub fn decode(collection: &Nsid, cbor: &[u8]) -> Result<Self, DecodeError> {
                Self::from_map(collection, read_map(cbor)?)
            }

            /// Reads a record of that collection from its data.
            pub fn from_map(collection: &Nsid, value: Map) -> Result<Self, DecodeError> {
                let nsid = collection.as_str();
                let found = value.get("$type").and_then(Value::as_text);
                if found != Some(nsid) {
                    return Err(DecodeError::WrongType {
                        expected: nsid.to_owned(),
                        found: found.map(str::to_owned),
                    });
                }
                $(if nsid == $type::NSID || $type::ALSO.contains(&nsid) {
                    return from_typed_map(value).map(Self::$type);
                })*
                Ok(Self::Other { nsid: collection.clone(), value })
            }

            /// The lexicon of the record.
            pub fn nsid(&self) -> &str {
                match self {
                    $(Self::$type(_) => $type::NSID,)*
                    Self::Other { nsid, .. } => nsid.as_str(),
                }
            }

            /// The record as data, with `$type`.
            pub fn to_map(&self) -> Map {
                let typed = match self {
                    $(Self::$type(record) => record.to_map(),)*
                    Self::Other { value, .. } => Ok(value.clone()),
                };
                let mut map = typed.unwrap_or_default();
                map.insert("$type".to_owned(), self.nsid().into());
                map
            }

            /// Whom the record names as its author, where its lexicon has a field for it.
            pub fn claimed_author(&self) -> Option<&Did> {
                match self {
                    $(Self::$type(record) => record.claimed_author(),)*
                    Self::Other { .. } => None,
                }
            }

            /// Whether the record keeps to the limits of its lexicon.
            pub fn validate(&self) -> Result<(), Invalid> {
                match self {
                    $(Self::$type(record) => record.validate(),)*
                    Self::Other { .. } => Ok(()),
                }
            }
        }

        $(impl From<$type> for AnyRecord {
            fn from(record: $type) -> Self {
                Self::$type(record)
            }
        })*

        /// Every object that the lexicons of `agent.comms` define.
        pub fn lexicons() -> &'static [Definition] {
            &[$($type::DEFINITION,)* $($def::DEFINITION),*]
        }
    };
}

any_record!(
    Message, Broadcast, Request, Status, Response, Cancel, Handoff, Ack, Card, Proposal, Award, Lease;
    Content, Payload, Artifact, Trace, Failure, Metrics, Skill
);

impl serde::Serialize for AnyRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_map().serialize(serializer)
    }
}
