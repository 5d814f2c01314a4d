//! How an agent comes to its network: a directory, a PDS, sources, a login.

use atcomms_identity::{ResolveError, Resolver, ResolverBuilder, is_loopback_url};
use atcomms_lexicon::{Address, Datetime};
use atcomms_publish::{
    LoginError, Publisher, SavedSession, SecretString, Session, SessionBuilder, SessionStoreError,
    StoredSession,
};
use atcomms_store::{OpenError, Store, StoreError};
use atcomms_subscribe::Source;
use url::Url;

use crate::agent::Agent;

/// Why an agent could not be brought to its network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The account could not be found.
    #[error(
        "cannot find out where {address} is: {source}; if it is not on the public network, name its PDS"
    )]
    Resolve {
        /// The account.
        address: String,
        /// What went wrong.
        source: ResolveError,
    },
    /// The PDS did not let us in.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// There is no store for an agent that was given none.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The login could not be kept.
    #[error("the login could not be kept: {0}")]
    Store(#[from] StoreError),
    /// What was kept of the login cannot be read.
    #[error(transparent)]
    Session(#[from] SessionStoreError),
}

/// Says how to reach the network; ends in [`AgentBuilder::login`], [`AgentBuilder::resume`] or
/// [`AgentBuilder::open`].
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens until `login`, `resume` or `open`"]
pub struct AgentBuilder {
    plc: Option<Url>,
    pds: Option<Url>,
    sources: Vec<Source>,
    store: Option<Store>,
    session: SessionBuilder,
}

impl AgentBuilder {
    /// The did:plc directory; the public one if none is named. One on this machine also means that
    /// PDSs on this machine may be talked to.
    pub fn plc(mut self, plc: Url) -> Self {
        self.plc = Some(plc);
        self
    }

    /// The account's PDS, so that it need not be looked up.
    pub fn pds(mut self, pds: Url) -> Self {
        self.pds = Some(pds);
        self
    }

    /// A host to watch: a relay, or a PDS.
    pub fn source(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// Where the session, and what the agent accepted for writing, survive: without it, they are gone
    /// with the process. Several agents, and several processes, may share one.
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Logs in with an app password. Cancel safe: nothing is kept of a login that was not finished.
    ///
    /// # Errors
    /// The account or its PDS is not found, or the PDS refuses.
    pub async fn login(
        self,
        account: impl Into<Address>,
        password: SecretString,
    ) -> Result<Agent, ConnectError> {
        let account = account.into();
        let pds = match &self.pds {
            Some(pds) => pds.clone(),
            None => {
                let identity = self.resolver(None).resolve(&account).await;
                identity
                    .map_err(|source| ConnectError::Resolve {
                        address: account.to_string(),
                        source,
                    })?
                    .pds
            }
        };
        let session = self
            .session
            .clone()
            .login(pds, account.as_str(), password)
            .await?;
        let Some(store) = self.store.clone() else {
            return self.agent(session);
        };
        let saved = session.saved();
        let now = Datetime::now().unix_millis();
        store
            .keep_login(saved.to_login(self.plc.as_ref()), now)
            .await?;
        self.resume(saved)
    }

    /// Goes on with a session that was kept. Asks nobody. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// What was kept is damaged.
    pub fn resume(self, saved: SavedSession) -> Result<Agent, ConnectError> {
        let mut session = self.session.clone();
        if let Some(store) = &self.store {
            session = session.store(StoredSession::new(store.clone(), saved.did.clone()));
        }
        self.agent(session.resume(saved)?)
    }

    /// Goes on with a login that the store holds: that of this account, or the newest of all. Asks
    /// nobody. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`LoginError::NotLoggedIn`] if the store holds none, or there is no store.
    pub fn open(self, account: Option<&Address>) -> Result<Agent, ConnectError> {
        let saved = match &self.store {
            Some(store) => StoredSession::find(store, account)?,
            None => None,
        };
        self.resume(saved.ok_or(LoginError::NotLoggedIn)?)
    }

    fn agent(self, session: Session) -> Result<Agent, ConnectError> {
        let resolver = self.resolver(Some(session.pds()));
        let publisher = match self.store {
            Some(store) => Publisher::new(session, store),
            None => Publisher::temporary(session)?,
        };
        Ok(Agent::new(publisher, resolver, self.sources))
    }

    fn resolver(&self, pds: Option<&Url>) -> Resolver {
        let mut builder = match &self.plc {
            Some(plc) => resolver(plc.clone()),
            None => Resolver::builder(),
        };
        if let Some(pds) = pds.or(self.pds.as_ref()) {
            builder = builder.handle_server(pds.clone());
        }
        builder.build()
    }
}

/// A resolver for this directory. A directory on this machine means a network on this machine: only
/// then are loopback addresses allowed.
pub fn resolver(plc: Url) -> ResolverBuilder {
    let local = is_loopback_url(&plc);
    Resolver::builder().plc(plc).allow_loopback(local)
}
