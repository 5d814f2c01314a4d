//! The devnet itself.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::net::Server;
use crate::{Account, CreateAccountError, DevnetBuilder, Jetstream, Pds, Plc, Relay, StartError};

/// A running AT network on this machine: a PLC directory, PDSs, a relay over them,
/// and a Jetstream of the relay. Dropping it stops everything.
///
/// Every frame that was ever emitted stays in memory, at its PDS and at the relay, so that any cursor can be replayed: a network for tests
/// and for a desk, not for years.
pub struct Devnet {
    plc: Plc,
    pds: Vec<Pds>,
    relay: Relay,
    jetstream: Jetstream,
    servers: Vec<Server>,
    /// Held while this lives, so that no second devnet writes into its folder.
    _lock: Option<Arc<File>>,
    /// The accounts so far, by which the next one gets its PDS.
    turn: AtomicUsize,
}

impl Devnet {
    /// Starts a PLC directory, one PDS, a relay and a Jetstream on free ports, in memory. Cancel safe: a start that is dropped leaves
    /// nothing running.
    ///
    /// # Errors
    /// [`StartError`] if no port can be bound.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// A devnet with options.
    pub fn builder() -> DevnetBuilder {
        DevnetBuilder::default()
    }

    pub(crate) fn new(
        plc: Plc,
        pds: Vec<Pds>,
        relay: Relay,
        jetstream: Jetstream,
        servers: Vec<Server>,
        lock: Option<Arc<File>>,
    ) -> Self {
        let accounts = pds.iter().map(|pds| pds.accounts().len()).sum();
        Self {
            plc,
            pds,
            relay,
            jetstream,
            servers,
            _lock: lock,
            turn: AtomicUsize::new(accounts),
        }
    }

    /// The address of the PLC directory, `http://localhost:PORT`.
    pub fn plc_url(&self) -> &str {
        self.plc.url()
    }

    /// The PLC directory.
    pub fn plc(&self) -> &Plc {
        &self.plc
    }

    /// The PDSs; there is at least one.
    pub fn pds(&self) -> &[Pds] {
        &self.pds
    }

    /// The relay over all of them.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// The Jetstream of the relay.
    pub fn jetstream(&self) -> &Jetstream {
        &self.jetstream
    }

    /// Creates an account `NAME.test`, on the PDSs in turn. Cancel safe, as [`Pds::create_account`].
    ///
    /// # Errors
    /// [`CreateAccountError`] if the name is taken or cannot be one.
    pub async fn create_account(&self, name: &str) -> Result<Account, CreateAccountError> {
        let taken = crate::server::handle(name).is_ok_and(|handle| {
            let accounts = self.accounts();
            accounts.iter().any(|account| account.handle == handle)
        });
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        match self.pds.get(turn % self.pds.len().max(1)) {
            Some(pds) if !taken => pds.create_account(name).await,
            _ => Err(CreateAccountError::Refused {
                name: name.to_owned(),
                reason: "the handle is taken".to_owned(),
            }),
        }
    }

    /// Every account, with its password, PDS after PDS in the order in which they were created.
    pub fn accounts(&self) -> Vec<Account> {
        self.pds.iter().flat_map(Pds::accounts).collect()
    }

    /// Stops: no new connection, every request is finished, every subscriber gets what is in the log. Not
    /// cancel safe: dropped halfway, it stops at once.
    pub async fn shutdown(self) {
        for server in &self.servers {
            server.shutdown().await;
        }
    }
}
