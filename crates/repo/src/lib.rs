//! Why a message can be believed: firehose frames, CAR, Merkle search trees, commits and proofs.
//!
//! No sockets, no clock, no tasks: bytes, keys and the time are passed in.
//!
//! ```
//! use atcomms_repo::frame::{self, Frame, Kind};
//! use atcomms_repo::verify::{Limits, verify_commit};
//! use atcomms_repo::{Curve, Repository, SigningKey, TidClock, Write};
//!
//! // Somebody writes a record, and the firehose brings a frame.
//! let key = SigningKey::generate(Curve::K256);
//! let now = 1_700_000_000_000_000;
//! let mut clock = TidClock::new(0);
//! let (mut repository, _) = Repository::create("did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse()?, key.clone(), clock.next(now));
//! let write = Write::Create { collection: "com.example.note".parse()?, rkey: "hello".parse()?, record: vec![0xa0].into() };
//! let bytes = repository.apply(&[write], clock.next(now))?.frame(1, "2026-01-01T00:00:00.000Z");
//!
//! // Is it of interest? A peek allocates nothing.
//! let peek = frame::peek(&bytes)?;
//! assert_eq!(peek.kind(), Kind::Commit);
//! assert!(peek.op_paths().any(|path| path.starts_with("com.example.")));
//!
//! // Can it be believed? Hashes, signature, and that the operations are all that was done.
//! let Frame::Commit(commit) = frame::decode(&bytes)? else { unreachable!() };
//! let verified = verify_commit(&commit, &key.public(), now, &Limits::default())?;
//! assert_eq!(verified.ops()[0].rkey().as_str(), "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A message's way through the modules: [`frame`] → [`car`] → [`commit`] → [`mst`], which [`verify`]
//! puts in order. [`repository`] is the other direction. [`portable`] is what is left of a message when
//! all of that is gone: one CAR that is checked from its own bytes.

#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod cbor;
mod digest;
mod tid_clock;

pub mod car;
pub mod commit;
pub mod frame;
pub mod key;
pub mod mst;
pub mod portable;
pub mod proof;
pub mod repository;
pub mod snapshot;
pub mod verify;

pub use cbor::{CborError, CborErrorKind};
pub use cid::Cid;
pub use commit::{SignedCommit, UnsignedCommit};
pub use key::{Curve, SigningKey, VerifyingKey};
pub use portable::PortableProof;
pub use repository::{Repository, Write};
pub use tid_clock::TidClock;
