//! The PDS that the network runs (`@atproto/pds`), as a process that ends with its test.
//!
//! `setup.sh` in this folder installs it; the environment variable `ATCOMMS_REFERENCE_PDS` names
//! the folder that it was installed to. A did:plc directory of its own comes with it, or it joins
//! another's. Everything is on loopback.
//!
//! ```no_run
//! use atcomms_reference_pds::{Options, ReferencePds};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pds = ReferencePds::start(Options::default()).await?;
//! let alice = pds.create_account("alice").await?;
//! println!("{} ({}) is at {}", alice.handle, alice.did, pds.url());
//! # Ok(())
//! # }
//! ```

mod account;
mod http;
mod process;

pub use account::{Account, AccountError};
pub use http::http_client;
pub use process::{Mail, Options, ReferencePds, StartError};
