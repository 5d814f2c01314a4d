//! The options of a devnet, and its start.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::faults::Faults;
use crate::firehose::StreamLimits;
use crate::jetstream::{self, Jetstream};
use crate::journal::{Journal, write_whole};
use crate::net::{Listener, Server, Tasks};
use crate::pds::{self, Setup};
use crate::plc::{self, Directory, Plc};
use crate::relay::{self, Relay};
use crate::server::handle;
use crate::{Devnet, Pds, RateLimits, StartError};

/// Options of a [`Devnet`].
#[derive(Debug, Clone)]
#[must_use]
pub struct DevnetBuilder {
    pds: usize,
    port: u16,
    data: Option<PathBuf>,
    accounts: Vec<String>,
    limits: StreamLimits,
    rate_limits: Option<RateLimits>,
    relay_hosts: Vec<String>,
}

impl Default for DevnetBuilder {
    fn default() -> Self {
        Self {
            pds: 1,
            port: 0,
            data: None,
            accounts: Vec::new(),
            limits: StreamLimits::default(),
            rate_limits: None,
            relay_hosts: Vec::new(),
        }
    }
}

impl DevnetBuilder {
    /// How many PDSs there are; 1 by default.
    pub fn pds(mut self, count: usize) -> Self {
        self.pds = count;
        self
    }

    /// The first PDS's port on 127.0.0.1; 0, the default, takes a free one, or the one of last time if there
    /// is a data folder.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// A folder in which everything survives: accounts, repositories, blobs, the log with its numbers, and the
    /// ports, which documents and scripts know. One devnet at a time may use it. A killed process loses
    /// nothing that was answered; a power loss may.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// An account `NAME.test`, unless there is one already. Several go to the PDSs in turn.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.accounts.push(name.into());
        self
    }

    /// How long events are replayed: a cursor before that gets the `#info` `OutdatedCursor`. A day by default.
    pub fn backfill_window(mut self, window: Duration) -> Self {
        self.limits.backfill = window;
        self
    }

    /// How many events may wait for a live subscriber that takes nothing before it is cut off with
    /// `ConsumerTooSlow`; 500 by default.
    pub fn max_subscription_lag(mut self, events: usize) -> Self {
        self.limits.lag = events;
        self
    }

    /// Rate limits for every PDS, which counts for itself; there are none by default. A restart forgets what
    /// was used.
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.rate_limits = Some(limits);
        self
    }

    /// A host from outside, such as a PDS that runs beside this devnet or another relay, whose stream the relay
    /// takes too, from the beginning of what the host still has. Its address is ws:// or http://, without a
    /// path: there is no TLS here.
    pub fn relay_host(mut self, url: impl Into<String>) -> Self {
        self.relay_hosts.push(url.into());
        self
    }

    /// Starts the devnet. Cancel safe: a start that is dropped leaves nothing running.
    ///
    /// # Errors
    /// [`StartError`] if a port is in use, the data folder cannot be used, a host for the relay is not one, or
    /// an account cannot be created.
    pub async fn start(self) -> Result<Devnet, StartError> {
        if self.pds == 0 {
            return Err(StartError::NoPds);
        }
        let lock = match &self.data {
            Some(folder) => Some(Arc::new(lock(folder).await?)),
            None => None,
        };
        let before = self.data.as_deref().map(Ports::read).transpose()?.flatten();
        let listeners = self.bind(before).await?;
        if let Some(folder) = &self.data {
            let ports = Ports {
                plc: listeners.plc.port(),
                pds: listeners.pds.iter().map(Listener::port).collect(),
                relay: listeners.relay.port(),
                jetstream: listeners.jetstream.port(),
            };
            write_whole(&folder.join(PORTS), &ports)?;
        }
        let devnet = self.open(listeners, lock)?;
        for name in &self.accounts {
            let exists = handle(name).is_ok_and(|handle| {
                let accounts = devnet.accounts();
                accounts.iter().any(|account| account.handle == handle)
            });
            if !exists {
                devnet.create_account(name).await?;
            }
        }
        Ok(devnet)
    }

    async fn bind(&self, before: Option<Ports>) -> Result<Listeners, StartError> {
        let Ports {
            plc,
            pds: known,
            relay,
            jetstream,
        } = before.unwrap_or_default();
        if known.len() > self.pds {
            return Err(StartError::PdsCount {
                path: self.data.clone().unwrap_or_default(),
                found: known.len(),
                asked: self.pds,
            });
        }
        let plc = bind_again(plc).await?;
        let relay = bind_again(relay).await?;
        let jetstream = bind_again(jetstream).await?;
        let mut pds = Vec::with_capacity(self.pds);
        for index in 0..self.pds {
            let known = known.get(index).copied().unwrap_or(0);
            pds.push(match (index, self.port) {
                (0, port) if port != 0 && port != known => Listener::bind(port).await?,
                _ => bind_again(known).await?,
            });
        }
        Ok(Listeners {
            plc,
            pds,
            relay,
            jetstream,
        })
    }

    fn open(&self, listeners: Listeners, lock: Option<Arc<File>>) -> Result<Devnet, StartError> {
        let directory = Arc::new(self.directory()?);
        let (stop, _) = watch::channel(false);
        let plc_faults = Arc::new(Faults::new());
        let plc = Plc::new(listeners.plc.url(), plc_faults.clone());
        let mut servers = vec![Server::spawn(
            listeners.plc,
            plc::router(directory.clone(), plc_faults),
            Tasks::holding(lock.clone()),
            stop,
        )];
        let mut all = Vec::with_capacity(listeners.pds.len());
        for (index, listener) in listeners.pds.into_iter().enumerate() {
            let (stop, stopped) = watch::channel(false);
            let tasks = Tasks::holding(lock.clone());
            let data = self.data.as_ref();
            let state = pds::open(Setup {
                url: listener.url(),
                plc: directory.clone(),
                folder: data.map(|folder| folder.join(format!("pds-{}", index + 1))),
                stream_limits: self.limits,
                rate_limits: self.rate_limits.clone(),
                tasks: tasks.clone(),
                stop: stopped,
            })?;
            let router = pds::router(state.clone());
            servers.push(Server::spawn(listener, router, tasks, stop));
            all.push(Pds::new(state));
        }
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::holding(lock.clone());
        let intake = relay::open(relay::Setup {
            plc: directory,
            folder: self.data.as_ref().map(|folder| folder.join("relay")),
            limits: self.limits,
            tasks: tasks.clone(),
            stop: stopped,
            pds: all.iter().map(Pds::log).collect(),
            external: self
                .relay_hosts
                .iter()
                .map(|url| relay::ExternalHost::parse(url))
                .collect::<Result<_, _>>()?,
        })?;
        let relay_log = intake.stream.log.clone();
        let relay = Relay::new(intake.clone(), listeners.relay.url());
        let router = relay::router(intake);
        servers.push(Server::spawn(listeners.relay, router, tasks, stop));
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::holding(lock.clone());
        let stream = jetstream::open(jetstream::Setup {
            relay: relay_log,
            limits: self.limits,
            tasks: tasks.clone(),
            stop: stopped,
        });
        let router = jetstream::router(stream.clone());
        let jetstream = Jetstream::new(stream, listeners.jetstream.url());
        servers.push(Server::spawn(listeners.jetstream, router, tasks, stop));
        Ok(Devnet::new(plc, all, relay, jetstream, servers, lock))
    }

    fn directory(&self) -> Result<Directory, StartError> {
        let Some(folder) = &self.data else {
            return Ok(Directory::in_memory());
        };
        let path = folder.join("plc.jsonl");
        let (journal, lines) = Journal::open(path.clone())?;
        Directory::new(journal, lines).map_err(|error| StartError::Corrupt {
            path,
            reason: error.to_string(),
        })
    }
}

struct Listeners {
    plc: Listener,
    pds: Vec<Listener>,
    relay: Listener,
    jetstream: Listener,
}

/// The ports of a devnet with a data folder, which stay the same.
#[derive(Default, Serialize, Deserialize)]
struct Ports {
    plc: u16,
    pds: Vec<u16>,
    #[serde(default)]
    relay: u16,
    #[serde(default)]
    jetstream: u16,
}

impl Ports {
    fn read(folder: &Path) -> Result<Option<Self>, StartError> {
        let path = folder.join(PORTS);
        let failed = |source| StartError::Data {
            path: path.clone(),
            source,
        };
        if !path.exists() {
            return Ok(None);
        }
        let bytes = std::fs::read(&path).map_err(failed)?;
        let ports = serde_json::from_slice(&bytes).map_err(|error| StartError::Corrupt {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        Ok(Some(ports))
    }
}

/// Takes the folder for this devnet alone: two would write into each other's files. The last run's requests
/// may still be writing just now.
async fn lock(folder: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::Data {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = File::create(folder.join("lock")).map_err(failed)?;
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::FolderInUse {
                    path: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

/// Binds a port that this devnet had before. Its last run may be letting go of it just now; if another
/// program has taken it, a free one has to do, and the accounts' documents will say so.
async fn bind_again(port: u16) -> Result<Listener, StartError> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match Listener::bind(port).await {
            Err(StartError::PortInUse { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(StartError::PortInUse { port }) => {
                tracing::warn!(port, "the port of last time is in use: taking another one");
                return Listener::bind(0).await;
            }
            result => return result,
        }
    }
}

/// The file of the ports.
const PORTS: &str = "devnet.json";

/// How long a devnet that was just dropped may take to finish a write and to close its ports: its tasks end
/// when the runtime next runs them.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Between two looks at whether it has; a restart is this much slower than it could be.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
