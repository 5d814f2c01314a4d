//! The way out: from a typed record to a commit in the account's repository, and from a file to a
//! blob that the record refers to.
//!
//! ```
//! use atcomms_devnet::Devnet;
//! use atcomms_lexicon::Message;
//! use atcomms_publish::{Attachment, Downloader, Publisher, Session, Store};
//!
//! # let folder = tempfile::tempdir()?;
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let devnet = Devnet::builder().account("alice").account("bob").start().await?;
//! let accounts = devnet.accounts();
//! let (alice, bob) = (&accounts[0], &accounts[1]);
//!
//! let password = alice.password.clone().into();
//! let session = Session::login(alice.pds.parse()?, alice.handle.as_str(), password).await?;
//! let store = Store::open(folder.path().join("store.sqlite3"))?;
//! let publisher = Publisher::new(session, store);
//!
//! let message = Message::new(alice.did.clone(), bob.did.clone(), "The report is attached.");
//! let report = Attachment::bytes("step,result\nbuild,green\n").name("report.csv");
//! let receipt = publisher.publish(message).attach(report).await?;
//! println!("{} is in the repository, as {}", receipt.uri, receipt.cid);
//!
//! let stored = publisher.get_record(&receipt.uri).await?.ok_or("it was there a moment ago")?;
//! let blob = &stored.decode::<Message>()?.attachments[0].blob;
//! let mut bytes = Vec::new();
//! let downloader = Downloader::new(true); // The devnet is on this machine.
//! downloader.download(&alice.pds.parse()?, &alice.did, blob, &mut bytes).await?;
//! assert_eq!(bytes, b"step,result\nbuild,green\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Everything that is published is public**, attachments included, also after it was deleted; and
//! the signature is that of whoever holds the repository's signing key, normally the PDS.
//!
//! A record's way: the sender, the key, the limits and the files are checked; the record and a copy of
//! its attachments go into the outbox of a store, and from then on it is **accepted**: it will be written
//! exactly once (promise P1), whatever fails and whoever dies. Then the attachments are uploaded; the
//! record, whose CID is now fixed, is written create-if-absent, alone or with others in one commit; a lost
//! answer is settled by reading back; the PDS's CID must be ours.
//!
//! - who writes: [`Session`], its options in [`SessionBuilder`], its tokens in a [`SessionStore`]
//! - what is written: [`Publisher`], which gives [`Publish`], [`Put`] and [`Delete`]; once accepted, it is
//!   [`Accepted`], shows its [`Progress`], and gives a [`Receipt`]
//! - what may be written: [`Budget`], by the PDS's rate limits; what has expired is [`Pruned`];
//!   how the PDS behaves: [`NullSwap`], [`Checked`]
//! - where it waits: the outbox of [`store::Store`]
//! - files: [`Attachment`], for records that [`Attach`]; fetched and checked by a [`Downloader`]
//! - what goes wrong: [`PublishError`], [`LoginError`], [`UploadError`], [`DownloadError`],
//!   [`RecordError`], below them [`XrpcError`]; each has an [`ErrorKind`], and says what to do
//!

mod accepted;
mod answer;
mod atrium;
mod attach;
mod attachment;
mod budget;
mod clock;
mod download;
mod draft;
mod drain;
mod error;
mod error_kind;
mod login;
mod own;
mod pds;
mod probe;
mod prune;
mod publish;
mod publish_error;
mod publisher;
mod rate_limit;
mod read_back;
mod receipt;
mod record;
mod refresh;
mod session;
mod session_store;
mod stored_session;
mod token;
mod transfer;
mod upload;
mod waiters;
mod xrpc;

pub use accepted::{Accepted, FromEntry, Pending, Progress};
pub use atcomms_store as store;
pub use atcomms_store::{MAX_PRIORITY, Store};
pub use attach::Attach;
pub use attachment::Attachment;
pub use budget::{Budget, Limit};
pub use download::{DownloadError, Downloader, MAX_DOWNLOAD};
pub use error::{Cause, XrpcError};
pub use error_kind::ErrorKind;
pub use login::{LoginError, SessionBuilder};
pub use own::Own;
pub use probe::NullSwap;
pub use prune::Pruned;
pub use publish::{Delete, Publish, Put};
pub use publish_error::PublishError;
pub use publisher::Publisher;
pub use rate_limit::RateLimit;
pub use receipt::{Deleted, Receipt, Stored};
pub use record::RecordError;
pub use secrecy::{ExposeSecret, SecretString};
pub use session::{Checked, Session};
pub use session_store::{
    MemoryStore, RefreshLock, SavedSession, SessionStore, StoreError as SessionStoreError,
};
pub use stored_session::StoredSession;
pub use upload::UploadError;
pub use xrpc::REQUEST_TIMEOUT;
