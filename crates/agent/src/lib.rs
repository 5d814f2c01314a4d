//! Agents that talk to each other over AT Protocol, without a broker.
//!
//! An [`Agent`] is an identity that is logged in at its PDS. It writes messages, requests and answers as
//! records into its signed repository, and watches what its peers write, each record verified against
//! its author's key before it is delivered.
//!
//! ```
//! use atcomms::Agent;
//! use atcomms_devnet::Devnet;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { tokio::runtime::Runtime::new()?.block_on(async {
//!
//! let net = Devnet::start().await?;
//! let mut agents = Vec::new();
//! for name in ["alice", "bob"] {
//!     let account = net.create_account(name).await?;
//!     let builder = Agent::builder().plc(net.plc_url().parse()?).pds(account.pds.parse()?);
//!     agents.push(builder.login(account.handle, account.password.into()).await?);
//! }
//! let [alice, bob] = agents.as_slice() else { unreachable!() };
//!
//! let mut adder = bob.serve("add").handle(|job| async move {
//!     let terms = job.params.as_list().unwrap_or_default();
//!     Ok(terms.iter().filter_map(|term| term.as_int()).sum::<i64>())
//! })?;
//! adder.connected().await;
//!
//! let answer = alice.request(bob.did(), "add").params([2, 40]).await?;
//! assert_eq!(answer.result.as_int(), Some(42));
//! # adder.shutdown().await; Ok(()) }) }
//! ```
//!
//! - one identity, writing and watching: [`Agent`], [`AgentBuilder`]
//! - conversations: [`SendMessage`], [`SendBroadcast`], [`Ask`] and its [`Answer`], [`Serve`] and its [`Job`]s
//! - below: [`lexicon`] (what is said), [`publish`] (the way out), [`subscribe`] (the way in),
//!   [`identity`] (who), [`repo`] (why it can be believed), [`store`] (what survives)

mod agent;
mod answer;
mod broadcast;
mod builder;
mod request;
mod send;
mod serve;

pub use agent::{Agent, FetchError};
pub use answer::{Answer, RequestError};
pub use atcomms_identity as identity;
pub use atcomms_lexicon as lexicon;
pub use atcomms_publish as publish;
pub use atcomms_publish::SecretString;
pub use atcomms_repo as repo;
pub use atcomms_store as store;
pub use atcomms_store::Store;
pub use atcomms_subscribe as subscribe;
pub use broadcast::SendBroadcast;
pub use builder::{AgentBuilder, ConnectError, resolver};
pub use request::{Ask, DEFAULT_DEADLINE};
pub use send::{SendError, SendMessage};
pub use serve::{
    DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT, Job, Outcome, Serve, ServeError, Served, Server,
    TaskError, Unwritten,
};

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
