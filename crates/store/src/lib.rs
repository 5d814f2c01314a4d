//! What survives: the outbox, the inbox, the sessions and the budgets of an agent, in one SQLite file and
//! a folder of blobs beside it, used by several processes at once.
//!
//! ```
//! use atcomms_store::{Action, Draft, Key, Store};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path().join("store.sqlite3"))?;
//!
//! let record = b"\xa1e$typepcom.example.note".to_vec(); // DAG-CBOR
//! let draft = Draft {
//!     did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse()?,
//!     collection: "com.example.note".parse()?,
//!     key: Key::NextTid { clock_id: 1 },
//!     action: Action::Create,
//!     swap: None,
//!     cid: Some(atcomms_lexicon::cid_for_cbor(&record)),
//!     record: Some(record),
//!     blobs: Vec::new(),
//!     copied: Vec::new(),
//!     once: Some("note-1".to_owned()),
//!     priority: 0,
//! };
//! let accepted = store.accept(draft, 1_700_000_000_000).await?;
//! // From here on it survives a power loss, and whoever sends for this account finds it.
//! let next = store.next(&accepted.entry.did, 1_700_000_000_001, 10).await?;
//! assert_eq!(next, [accepted.entry]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - the handle: [`Store`]; how it fails: [`OpenError`], [`StoreError`]
//! - what is to be written: [`Draft`], which becomes an [`Entry`]; what became of it: [`Outcome`]
//! - attachments on their way: [`BlobFolder`]
//! - rate limits: [`Bucket`]; what is known of a PDS: [`Server`]; all of it in one look:
//!   [`Outlook`]
//! - who is logged in: [`Login`]
//! - what was taken in by a durable [`Consumer`], and is not acknowledged yet: [`Event`]
//! - what it knows of the repositories that it follows: [`Known`], [`Story`]
//! - one process at a time: [`Lock`]
//!
//! The file can be read with the `sqlite3` command; `.schema` says what the tables hold. It holds
//! session tokens, and is readable only for its owner.
//!
//! Deliberately not here: the network, and the clock. The time is passed in, as milliseconds since 1970.

mod blobs;
mod bucket;
mod check;
mod consumer;
mod crash;
mod error;
mod in_use;
mod inbox;
mod job;
mod known;
mod lock;
mod login;
mod make;
mod open;
mod outbox;
mod outlook;
mod row;
mod schema;
mod server;
mod store;
mod uploaded;
mod writer;

pub use blobs::{BlobFolder, CopiedBlob, CopyError};
pub use bucket::{Bucket, Pool, Told};
pub use consumer::{Consumer, RepositoryHead, Story};
#[cfg(feature = "crash-points")]
pub use crash::CrashPlan;
pub use error::{OpenError, StoreError};
pub use inbox::{
    AccountChange, Change, Commit, Event, Intake, LeaseError, LeaseToken, Only, Pending, Received,
    Retained, Retention, Terms,
};
pub use known::Known;
pub use lock::{Lock, Purpose};
pub use login::Login;
pub use outbox::{
    AcceptError, Accepted, Action, Blob, Draft, Entry, Failed, Forgotten, Key, MAX_PRIORITY,
    Outcome, PRIORITY_STEP, State, Waiting,
};
pub use outlook::Outlook;
pub use rusqlite;
pub use server::Server;
pub use store::Store;
