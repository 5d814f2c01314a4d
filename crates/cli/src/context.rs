//! What every command needs: the state file, and from it the login, the resolver and the agent.

use std::fs::File;

use anyhow::Result;
use atcomms::Agent;
use atcomms::identity::Resolver;
use atcomms::lexicon::Did;
use atcomms::publish::{RefreshLock, SavedSession, SessionStore, StoreError};
use atcomms::subscribe::Source;
use url::Url;

use crate::args::Global;
use crate::state::{Login, State};

/// The public did:plc directory.
const PLC: &str = "https://plc.directory";

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) state: State,
}

impl Context {
    pub(crate) fn new(global: Global) -> Result<Self> {
        let state = State::at(global.state.clone())?;
        Ok(Context { global, state })
    }

    /// The login that this command uses.
    pub(crate) fn login(&self) -> Result<(Did, Login)> {
        self.state.read()?.login(self.global.login.as_ref())
    }

    /// An agent of the login that this command uses.
    pub(crate) fn agent(&self) -> Result<Agent> {
        let (did, login) = self.login()?;
        let plc = self.global.plc.clone().unwrap_or(login.plc);
        let store = StateSessions {
            state: self.state.clone(),
            did,
        };
        Ok(Agent::builder()
            .plc(plc)
            .session_store(store)
            .resume(login.session)?)
    }

    /// The directory that the command line names, or the public one.
    pub(crate) fn plc(&self) -> Result<Url> {
        match &self.global.plc {
            Some(plc) => Ok(plc.clone()),
            None => Ok(PLC.parse()?),
        }
    }

    /// A resolver for watching, which needs no login, and the source of the login if there is one.
    pub(crate) fn resolver_for_watching(
        &self,
        sources: &[Source],
    ) -> Result<(Resolver, Option<Source>)> {
        // Nobody needs to be logged in to watch; but who is named must be.
        let contents = self.state.read()?;
        let login = match (&self.global.login, &contents.current) {
            (None, None) => None,
            (wanted, _) => Some(contents.login(wanted.as_ref())?.1),
        };
        let plc = match (&self.global.plc, &login) {
            (Some(plc), _) => plc.clone(),
            (None, Some(login)) => login.plc.clone(),
            (None, None) => PLC.parse()?,
        };
        let own = login
            .as_ref()
            .map(|login| Source::firehose(login.session.pds.as_str()))
            .transpose()?;
        let mut builder = atcomms::resolver(plc);
        // Handles that no DNS knows (.test) are known to the host that we were told of.
        if let Some(host) = sources.first().or(own.as_ref()) {
            builder = builder.handle_server(host.http_url());
        }
        Ok((builder.build(), own))
    }
}

/// Tokens of one login, kept in the state file; renewed by one process at a time.
#[derive(Debug)]
struct StateSessions {
    state: State,
    did: Did,
}

impl SessionStore for StateSessions {
    fn load(&self) -> Result<Option<SavedSession>, StoreError> {
        let contents = self.state.read().map_err(store_error)?;
        Ok(contents
            .logins
            .get(&self.did)
            .map(|login| login.session.clone()))
    }

    fn save(&self, session: &SavedSession) -> Result<(), StoreError> {
        let change = self.state.change(|contents| {
            if let Some(login) = contents.logins.get_mut(&self.did) {
                login.session = session.clone();
            }
            Ok(())
        });
        change.map_err(store_error)
    }

    fn lock(&self) -> Result<RefreshLock, StoreError> {
        let file = File::create(self.state.beside("refresh")).map_err(StoreError::new)?;
        file.lock().map_err(StoreError::new)?;
        Ok(RefreshLock::new(file))
    }
}

fn store_error(error: anyhow::Error) -> StoreError {
    StoreError::new(format!("{error:#}"))
}
