//! WHO: from a handle or a DID to the key that signs and the PDS that serves.

mod client;
mod guard;
mod ip;
pub mod tls;

pub use client::{
    BodyError, GuardedClient, MAX_REDIRECTS, READ_TIMEOUT, RequestError, guarded_client, read_body,
};
pub use guard::{CONNECT_TIMEOUT, ConnectError, Guard, LookupError, Refused, is_loopback_url};
pub use ip::{is_loopback, is_public};
