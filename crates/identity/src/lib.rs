//! WHO: from a handle or a DID to the key that signs and the PDS that serves.
//!
//! A name is only worth what it resolves to. [`Resolver`] follows it: a handle through DNS or
//! https to its DID, a DID (did:plc, did:web) to its document, the document to the signing key,
//! the PDS, and the handle that it claims in return. Answers are cached; concurrent callers share
//! one request; a flood of bad signatures can't become a flood of requests.
//!
//! Strangers decide where that leads, so every connection passes a [`Guard`]: public addresses
//! only, checked on the resolved address, on literals and on every redirect, unless the caller
//! allows loopback. [`GuardedClient`] and [`Guard::connect`] give other crates the same guard.
//!
//! ```
//! use atcomms_identity::Resolver;
//! use wiremock::{matchers::path, Mock, MockServer, ResponseTemplate};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let directory = MockServer::start().await; // plc.directory, if none is given
//! Mock::given(path("/did:plc:ewvi7nxzyoun6zhxrhs64oiz"))
//!     .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({
//!         "id": "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
//!         "alsoKnownAs": ["at://alice.example.com"],
//!         "verificationMethod": [{
//!             "id": "did:plc:ewvi7nxzyoun6zhxrhs64oiz#atproto",
//!             "type": "Multikey",
//!             "controller": "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
//!             "publicKeyMultibase": "zQ3shunBKsXixLxKtC5qeSG9E4J5RkGN57im31pcTzbNQnm5w"
//!         }],
//!         "service": [{
//!             "id": "#atproto_pds",
//!             "type": "AtprotoPersonalDataServer",
//!             "serviceEndpoint": "https://pds.example.com"
//!         }]
//!     })))
//!     .mount(&directory)
//!     .await;
//!
//! let resolver = Resolver::builder()
//!     .plc(directory.uri().parse()?)
//!     .allow_loopback(true)
//!     .build();
//! let alice = resolver.resolve_did(&"did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse()?).await?;
//! assert_eq!(alice.pds.as_str(), "https://pds.example.com/");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod client;
mod did;
mod dns;
mod document;
mod error;
mod fetch;
mod guard;
mod handle;
mod identity;
mod ip;
mod key_history;
#[cfg(test)]
mod name_server;
mod resolver;
pub mod tls;

pub use client::{
    BodyError, GuardedClient, MAX_REDIRECTS, READ_TIMEOUT, RequestError, guarded_client, read_body,
};
pub use error::{DocumentProblem, ResolveError};
pub use guard::{CONNECT_TIMEOUT, ConnectError, Guard, LookupError, Refused, is_loopback_url};
pub use identity::Identity;
pub use ip::{is_loopback, is_public};
pub use key_history::KeyStanding;
pub use resolver::{DEFAULT_PLC, DEFAULT_TTL, Resolver, ResolverBuilder};
