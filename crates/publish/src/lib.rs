//! The way out: from a typed record to a commit in the account's repository, and from a file to a
//! blob that the record refers to.
//!
//! ```
//! use atcomms_devnet::Devnet;
//! use atcomms_lexicon::Message;
//! use atcomms_publish::{Attachment, Downloader, Publisher, Session};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let devnet = Devnet::builder().account("alice").account("bob").start().await?;
//! let accounts = devnet.accounts();
//! let (alice, bob) = (&accounts[0], &accounts[1]);
//!
//! let password = alice.password.clone().into();
//! let session = Session::login(alice.pds.parse()?, alice.handle.as_str(), password).await?;
//! let publisher = Publisher::new(session);
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
//! A record's way: the sender, the key, the limits and the files are checked before anything is
//! sent; the attachments are uploaded; the record, whose CID is now fixed, is written
//! create-if-absent; a lost answer is settled by reading back; the PDS's CID must be ours.
//!
//! - who writes: [`Session`], its options in [`SessionBuilder`], its tokens in a [`SessionStore`]
//! - what is written: [`Publisher`], which gives [`Publish`] and [`Put`], which give a [`Receipt`]
//! - files: [`Attachment`], for records that [`Attach`]; fetched and checked by a [`Downloader`]
//! - what goes wrong: [`PublishError`], [`LoginError`], [`UploadError`], [`DownloadError`],
//!   [`RecordError`], below them [`XrpcError`]; each has an [`ErrorKind`], and says what to do
//!
//! Deliberately not here: a queue on disk, and a budget for the PDS's rate limits. What `publish`
//! could not write it returns as an error.

mod answer;
mod atrium;
mod attach;
mod attachment;
mod download;
mod error;
mod error_kind;
mod login;
mod pds;
mod publish;
mod publish_error;
mod publisher;
mod rate_limit;
mod receipt;
mod record;
mod refresh;
mod session;
mod session_store;
mod token;
mod transfer;
mod upload;
mod write;
mod xrpc;

pub use attach::Attach;
pub use attachment::Attachment;
pub use download::{DownloadError, Downloader, MAX_DOWNLOAD};
pub use error::{Cause, XrpcError};
pub use error_kind::ErrorKind;
pub use login::{LoginError, SessionBuilder};
pub use publish::{Publish, Put};
pub use publish_error::PublishError;
pub use publisher::Publisher;
pub use rate_limit::RateLimit;
pub use receipt::{Deleted, Receipt, Stored};
pub use record::RecordError;
pub use secrecy::{ExposeSecret, SecretString};
pub use session::Session;
pub use session_store::{MemoryStore, RefreshLock, SavedSession, SessionStore, StoreError};
pub use upload::UploadError;
pub use xrpc::REQUEST_TIMEOUT;
