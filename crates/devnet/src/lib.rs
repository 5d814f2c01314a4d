//! An AT network in a process, for development and tests: a did:plc directory, PDSs, a relay
//! and a Jetstream, on loopback, with real bytes. Repositories are signed, the firehose carries them, and what the XRPC methods answer is what
//! the reference PDS answers. It protects nothing and nobody: passwords are in clear.
//!
//! ```
//! use atcomms_devnet::Devnet;
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let devnet = Devnet::builder().account("alice").account("bob").start().await?;
//!
//! let alice = &devnet.accounts()[0];
//! assert_eq!(alice.handle.as_str(), "alice.test");
//! println!("log in at {} as {} with {}", alice.pds, alice.handle, alice.password);
//! println!("watch {}, with {} as its PLC", devnet.pds()[0].ws_url(), devnet.plc_url());
//!
//! devnet.shutdown().await; // or just drop it
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Devnet`]: the network; [`DevnetBuilder`]: several PDSs, a port, a data folder, accounts
//! - [`Pds`]: one of its servers, with its [`Faults`], which make requests fail, and
//!   streams lie, in the ways of real networks
//! - [`Relay`]: the streams of all PDSs as one; [`Jetstream`]: the same as JSON
//! - [`Plc`]: the directory, which can be down
//! - [`RateLimits`]: those of the reference PDS, or tighter ones; there are none by default
//! - [`Replay`]: a [`Recording`] or hand-made frames played back, broken ones too
//!
//! How it differs from the reference PDS, which it otherwise follows:
//! - an event is on the stream at once, where the reference polls;
//! - it knows no lexicon, so that every record is `unknown` to it;
//! - a malformed `$link`, `$bytes` or blob is a 400, where the reference stores a plain object;
//! - a record of more than 2^18 values is a 400;
//! - two writes of one `applyWrites` on one path are a 500, where the reference makes a commit that nobody
//!   can verify;
//! - after a restart, `getRepo` with an older `since` gives the whole repository;
//! - its rate limits leave out those on new accounts, handles, `getRepo`, and logins over a day;
//! - no invitations, no reserved handles, no OAuth, no e-mail; what a moderator or a mailed token does there
//!   ([`Pds::take_down`], [`Pds::delete_account`]) is a method of [`Pds`] here.

mod account;
mod builder;
mod devnet;
mod error;
mod event;
mod faults;
mod firehose;
mod input;
mod jetstream;
mod journal;
mod net;
mod params;
mod pds;
mod plc;
mod rate_limit;
mod recording;
mod relay;
mod replay;
mod server;
mod session;
mod xrpc;

pub use account::Account;
pub use builder::DevnetBuilder;
pub use devnet::Devnet;
pub use error::{ChangeError, CreateAccountError, RecordingError, StartError};
pub use faults::{Fault, FaultCounts, Faults, Forgery, StreamFault};
pub use jetstream::Jetstream;
pub use plc::Plc;
pub use rate_limit::{Limit, RateLimits};
pub use recording::Recording;
pub use relay::Relay;
pub use replay::{PdsUrl, Replay, ReplayBuilder};
pub use server::Pds;
