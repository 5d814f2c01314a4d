//! The way in: watches what agents write, and hands out each operation once, verified.
//!
//! A [`Subscriber`] says what to watch: hosts ([`Source`]), repositories and collections, and how much
//! trust is required. It becomes a [`Subscription`], a stream of [`Delivery`]s, or of one record type by
//! [`Subscription::typed`]. On the way every frame is looked at in place; a commit in scope is checked in
//! full (hashes, signature, operations against the signed tree) before anything of it is delivered. What
//! fails is counted by reason ([`Summary`]) and never ends the stream.
//!
//! A [`Subscription`] keeps nothing on disk: it begins live or from a cursor, and what was delivered is
//! forgotten with the process. [`Subscriber::durable`] makes it an [`Inbox`]: what comes is stored first,
//! together with the cursor, and handed out as [`Leased`] until it is acknowledged; the next process goes on
//! where this one was. [`Inbox::typed`] hands out one record type, and [`Retention`] says how long it keeps
//! what nobody does.
//!
//! [`Subscriber::anyone`] lets everybody write, within the budgets of an [`Admission`], which also has contacts
//! and blocks. What it refuses is never stored, and can be seen: [`Subscription::refused`].
//!
//! A Jetstream ([`Source::jetstream`]) sends a small part of what a firehose sends, on its word ([`jetstream`]).
//! By default each of its events is proven at its author's PDS before it is delivered; a delivery that was
//! taken on its word can be proven later ([`Delivery::raise`]).
//!
//! [`discover()`] lists who has records of a collection, as a relay knows it.
//!
//! [`prove`] fetches one record with its proof, and [`prove_to_keep`] makes a file of such a proof, which can
//! be checked when all of this is gone.
//!
//! ```
//! use atcomms_devnet::Devnet;
//! use atcomms_identity::Resolver;
//! use atcomms_subscribe::{From, Source, Subscriber};
//! use futures::StreamExt;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { tokio::runtime::Runtime::new()?.block_on(async {
//!
//! let net = Devnet::start().await?;
//! let resolver = Resolver::builder().plc(net.plc_url().parse()?).allow_loopback(true).build();
//! let host = Source::firehose(net.pds()[0].url())?;
//! let mut subscription = Subscriber::new(resolver).source(host).from(From::Start).start()?;
//! subscription.connected().await;
//! assert_eq!(subscription.summary().delivered, 0); // nobody has written anything yet
//! # Ok(()) }) }
//! ```

mod account;
mod admission;
mod backfill;
mod clock;
mod connection;
mod counters;
mod delivery;
mod discover;
mod driver;
mod durable;
mod engine;
mod frames;
mod homes;
mod inbox;
mod intake;
pub mod jetstream;
mod known;
mod lag;
mod leased;
mod lookups;
mod metrics;
mod portable;
mod proof;
mod prover;
mod raise;
mod retention;
mod room;
mod scope;
#[cfg(test)]
mod simulation;
mod sink;
mod snapshot;
mod source;
mod sources;
mod subscriber;
mod subscription;
mod sweep;
mod taken;
mod trust;
mod typed_inbox;
mod waiting;

pub use admission::{AUTHOR_BUDGET, Admission, Budget, HOST_BUDGET, Origin, Refusal, Refused};
pub use atcomms_repo::frame::Action;
pub use atcomms_store::LeaseError;
pub use connection::Connection;
pub use counters::Summary;
pub use delivery::{Delivery, Undecodable};
pub use discover::{DiscoverError, Discovery, discover};
pub use durable::{ACK_WAIT, Durable, MAX_DELIVER, MAX_IN_FLIGHT, MAX_WAITING};
pub use frames::Frames;
pub use inbox::Inbox;
pub use leased::Leased;
pub use portable::prove_to_keep;
pub use proof::{ProofError, Proven, prove};
pub use raise::RaiseError;
pub use retention::Retention;
pub use scope::{CollectionPattern, PatternError, Scope, Who};
pub use source::file::Recording;
pub use source::{From, FromError, Source, SourceError};
pub use subscriber::{SubscribeError, Subscriber};
pub use subscription::{StreamError, Subscription, Typed};
pub use sweep::SWEEP_EVERY;
pub use trust::{Continuity, Trust};
pub use typed_inbox::TypedInbox;
pub use waiting::Waiting;
