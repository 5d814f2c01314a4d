//! What every command needs: the store, and from it the login, the resolver and the agent.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use atcomms::identity::Resolver;
use atcomms::publish::{SavedSession, StoredSession};
use atcomms::subscribe::Source;
use atcomms::{Agent, Store};
use url::Url;

use crate::args::Global;

/// The public did:plc directory.
const PLC: &str = "https://plc.directory";

/// A login, and the directory that its account is in.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) session: SavedSession,
    pub(crate) plc: Url,
}

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    path: PathBuf,
}

impl Context {
    pub(crate) fn new(global: Global) -> Result<Self> {
        let path = match &global.state {
            Some(path) => path.clone(),
            None => dirs::data_dir()
                .context("your data folder is unknown: say where to keep things with --state FILE")?
                .join("atcomms")
                .join("store.sqlite3"),
        };
        Ok(Context { global, path })
    }

    /// The store's file, whether or not it is there.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The store; it is made if it is not there.
    pub(crate) fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.path)?)
    }

    /// The login that this command uses.
    pub(crate) fn login(&self) -> Result<Login> {
        let store = self.path.exists().then(|| self.store()).transpose()?;
        let login = store.map(|store| self.login_in(&store)).transpose()?;
        match (login.flatten(), &self.global.login) {
            (Some(login), _) => Ok(login),
            (None, Some(address)) => {
                bail!("there is no login of {address} here: log in with `atcomms login {address}`")
            }
            (None, None) => bail!("nobody is logged in: log in with `atcomms login HANDLE`"),
        }
    }

    /// An agent of the login that this command uses.
    pub(crate) fn agent(&self) -> Result<Agent> {
        let login = self.login()?;
        let agent = Agent::builder().plc(login.plc).store(self.store()?);
        Ok(agent.resume(login.session)?)
    }

    /// The directory that the command line names, or the public one.
    pub(crate) fn plc(&self) -> Result<Url> {
        match &self.global.plc {
            Some(plc) => Ok(plc.clone()),
            None => Ok(PLC.parse()?),
        }
    }

    /// A resolver for watching, which needs no login and leaves nothing on the disk, and the source of
    /// the login if there is one.
    pub(crate) fn resolver_for_watching(
        &self,
        sources: &[Source],
    ) -> Result<(Resolver, Option<Source>)> {
        // Nobody needs to be logged in to watch; but who is named must be.
        let login = match &self.global.login {
            Some(_) => Some(self.login()?),
            None if self.path.exists() => self.login_in(&self.store()?)?,
            None => None,
        };
        let plc = match &login {
            Some(login) => login.plc.clone(),
            None => self.plc()?,
        };
        let own = login
            .as_ref()
            .map(|login| Source::firehose(login.session.pds.as_str()))
            .transpose()?;
        let mut builder = atcomms::resolver(plc);
        // Handles that no DNS knows (.test) are known to the host that we were told of.
        let mut hosts = sources.iter().chain(own.as_ref());
        if let Some(host) = hosts.find_map(Source::http_url) {
            builder = builder.handle_server(host);
        }
        Ok((builder.build(), own))
    }

    fn login_in(&self, store: &Store) -> Result<Option<Login>> {
        let wanted = self.global.login.as_ref();
        let Some(session) = StoredSession::find(store, wanted)? else {
            return Ok(None);
        };
        let kept = store.login(wanted)?.and_then(|login| login.plc);
        let plc = match (&self.global.plc, kept) {
            (Some(plc), _) => plc.clone(),
            (None, Some(kept)) => kept.parse()?,
            (None, None) => PLC.parse()?,
        };
        Ok(Some(Login { session, plc }))
    }
}
