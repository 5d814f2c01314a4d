//! What is said: a typed record for each lexicon of `agent.comms`, with its limits.
//!
//! An agent says something by writing a record into its repository. This crate has the records, the data model that they
//! are made of, the strings of the protocol as types, and the way to bytes and back. It has no network, and no opinion
//! on who may be believed: that is a matter of signatures, one crate further.
//!
//! ```
//! use atcomms_lexicon::{Did, Message, decode, encode};
//!
//! let alice: Did = "did:plc:l3rouwludahu3ui3bt66mfvj".parse()?;
//! let bob: Did = "did:plc:44ybard66vv44zksje25o7dz".parse()?;
//!
//! let message = Message::new(&alice, &bob, "The build is green.").priority(3);
//! let encoded = encode(&message)?;
//! println!("{} in {} bytes", encoded.cid, encoded.cbor.len());
//!
//! let read: Message = decode(&encoded.cbor)?;
//! assert_eq!(read.content.text.as_deref(), Some("The build is green."));
//! assert_eq!(read, message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - the records: [`Message`], [`Broadcast`], [`Request`], [`Status`], [`Response`], [`Cancel`], [`Handoff`], [`Ack`],
//!   [`Card`], [`Proposal`], [`Award`], [`Lease`], any of them as [`AnyRecord`], or a type of your own: [`Record`]
//! - the objects that they share: [`Content`], [`Payload`], [`Artifact`], [`Trace`], [`Failure`], [`Metrics`], [`Skill`],
//!   [`BlobRef`], [`StrongRef`]
//! - to bytes and back: [`encode`], [`decode`]; data without a type: [`value`]
//! - strings with a syntax: [`Did`], [`Handle`], [`Address`], [`Nsid`], [`RecordKey`], [`Tid`], [`AtUri`], [`Datetime`],
//!   [`Language`], [`Uri`]
//! - hashes and what is named by them: [`cid`], [`derived_key`]
//! - what the lexicons say, as tables: [`schema`], [`lexicons`]

mod ack;
mod any_record;
mod award;
mod blob_ref;
mod broadcast;
mod cancel;
mod card;
pub mod cid;
mod defs;
#[doc(hidden)]
pub mod fault;
mod handoff;
mod invalid;
mod key;
mod known_values;
mod lease;
mod message;
mod object;
mod proposal;
mod record;
mod request;
mod response;
pub mod schema;
mod shape;
mod status;
mod strong_ref;
mod syntax;
pub mod value;

pub use ack::{Ack, AckKind};
pub use any_record::{AnyRecord, lexicons};
pub use award::Award;
pub use blob_ref::BlobRef;
pub use broadcast::{Broadcast, Severity};
pub use cancel::Cancel;
pub use card::{AcceptPolicy, Card};
pub use cid::{Cid, CidLink, cid_for_cbor, cid_for_raw};
pub use defs::{Artifact, Content, ContentKind, Failure, Metrics, Payload, Skill, Trace};
pub use handoff::Handoff;
pub use invalid::Invalid;
pub use key::{derived_key, derived_key_for_name};
pub use lease::Lease;
pub use message::Message;
pub use proposal::Proposal;
pub use record::{
    DecodeError, EncodeError, Encoded, KeyType, MAX_RECORD_BYTES, Record, claimed_author, decode,
    encode, from_typed_map,
};
pub use request::Request;
pub use response::{Response, ResponseStatus};
pub use status::{State, Status};
pub use strong_ref::StrongRef;
pub use syntax::{
    Address, AtUri, Datetime, Did, Handle, Language, Nsid, RecordKey, SyntaxError, Tid, Uri,
};
pub use value::{Map, Value, ValueError, ValueProblem, from_payload_data, to_payload_data};
