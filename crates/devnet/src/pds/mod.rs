//! A PDS: accounts, repositories, sessions, and the XRPC methods over them.

mod account;
mod blobs;
mod call;
mod create;
mod handle;
mod http;
mod methods;
mod migrate;
mod moved;
mod profile;
mod rebuild;
mod record;
mod registry;
mod reset;
mod rotate;
mod sessions;
mod snapshot;
mod sniff;
mod status;
mod store;
mod write;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use atcomms_lexicon::{Datetime, Did, Tid};
use atcomms_repo::{SigningKey, TidClock};

use crate::event::Event;
use crate::firehose::Stream;
use crate::journal::Journal;
use crate::plc::{Directory, Operation};
use crate::rate_limit::Budget;
use crate::session::{RefreshTokens, TokenKey};
use crate::xrpc::XrpcError;
use registry::Registry;
use store::Line;

pub(crate) use account::Account;
pub(crate) use handle::DOMAIN;
pub(crate) use http::router;
pub(crate) use profile::{Profile, new_password};
pub(crate) use store::{Setup, open};

/// All that one PDS is.
pub(crate) struct State {
    url: String,
    plc: Arc<Directory>,
    pub(crate) stream: Arc<Stream>,
    limits: Limits,
    /// Signs the PLC operations of every account here.
    rotation_key: SigningKey,
    tokens: TokenKey,
    /// What the clients have left, if there are rate limits.
    pub(crate) budget: Option<Budget>,
    refresh: Mutex<RefreshTokens>,
    registry: RwLock<Registry>,
    journal: Mutex<Journal<Line>>,
    clock: Mutex<TidClock>,
    /// Where blobs are; `None` in memory.
    blobs: Option<PathBuf>,
    /// Where repositories are that this PDS's own events do not make; `None` in memory.
    snapshots: Option<PathBuf>,
    /// A commit is in a repository, but not in the log.
    unwritable: AtomicBool,
}

/// What a PDS takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of a blob.
    pub(crate) blob_bytes: usize,
}

impl Default for Limits {
    /// Those of the reference PDS.
    fn default() -> Self {
        Self {
            blob_bytes: 5 * 1024 * 1024,
        }
    }
}

impl State {
    /// `http://localhost:PORT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every account's profile, in the order in which they were created.
    pub(crate) fn profiles(&self) -> Vec<Profile> {
        let registry = self.registry();
        registry
            .after(None)
            .map(|(_, account)| account.profile())
            .collect()
    }

    /// An account that is here and has not moved.
    pub(crate) fn account(&self, did: &Did) -> Option<Arc<Account>> {
        let account = self.registry().by_did(did)?;
        (!account.profile().moved).then_some(account)
    }

    fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry_mut(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts events into the log, together.
    fn emit(&self, events: &[Event<'_>]) -> Result<(), XrpcError> {
        self.stream
            .log
            .append(SystemTime::now(), events, |event, seq| {
                event.encode(seq, &Datetime::now())
            })
            .map_err(XrpcError::internal)
    }

    /// Writes a line into the journal.
    fn record(&self, line: &Line) -> Result<(), XrpcError> {
        self.journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(line)
            .map_err(XrpcError::internal)
    }

    /// Changes what the directory says of one of our accounts.
    fn update_plc(&self, did: &Did, change: impl FnOnce(&mut Operation)) -> Result<(), XrpcError> {
        self.plc
            .update(did, &self.rotation_key, change)
            .map_err(XrpcError::internal)
    }

    /// The next TID, for a rev or a record key.
    fn next_tid(&self) -> Tid {
        let micros = since_1970().as_micros();
        self.clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Every TID from now on is greater than this one.
    fn advance_past(&self, tid: Tid) {
        self.clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .advance_past(tid);
    }

    fn now_seconds(&self) -> u64 {
        since_1970().as_secs()
    }
}

fn since_1970() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
