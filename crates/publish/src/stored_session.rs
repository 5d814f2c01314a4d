//! Sessions whose tokens are in the store, shared by all processes that use it.

use atcomms_lexicon::{Address, Did};
use atcomms_store::{Login, Purpose, Store};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::session_store::{RefreshLock, SavedSession, SessionStore, StoreError};

/// Keeps the tokens of one account in a store (its file is readable for its owner only). One process
/// at a time renews, and the others take what it kept.
#[derive(Clone, Debug)]
pub struct StoredSession {
    store: Store,
    did: Did,
}

impl StoredSession {
    /// The session of this account.
    pub fn new(store: Store, did: Did) -> Self {
        Self { store, did }
    }

    /// The account's session, by its DID or its handle, or that of the newest login of all.
    ///
    /// # Errors
    /// The store cannot be read, or what it holds is damaged.
    pub fn find(
        store: &Store,
        address: Option<&Address>,
    ) -> Result<Option<SavedSession>, StoreError> {
        let login = store.login(address).map_err(StoreError::new)?;
        login.map(saved).transpose()
    }
}

impl SessionStore for StoredSession {
    fn load(&self) -> Result<Option<SavedSession>, StoreError> {
        Self::find(&self.store, Some(&Address::Did(self.did.clone())))
    }

    fn save(&self, session: &SavedSession) -> Result<(), StoreError> {
        self.store
            .keep_tokens(login(session, None))
            .map_err(StoreError::new)
    }

    fn lock(&self) -> Result<RefreshLock, StoreError> {
        let lock = self.store.lock(&self.did, Purpose::Refresh);
        lock.map(RefreshLock::new).map_err(StoreError::new)
    }
}

impl SavedSession {
    /// As a store keeps it: with the did:plc directory that the account is in, `None` for the public
    /// one.
    pub fn to_login(&self, plc: Option<&Url>) -> Login {
        login(self, plc)
    }
}

fn login(session: &SavedSession, plc: Option<&Url>) -> Login {
    Login {
        did: session.did.clone(),
        handle: session.handle.clone(),
        pds: session.pds.to_string(),
        plc: plc.map(Url::to_string),
        access: session.access.expose_secret().to_owned(),
        refresh: session.refresh.expose_secret().to_owned(),
    }
}

fn saved(login: Login) -> Result<SavedSession, StoreError> {
    Ok(SavedSession {
        pds: login.pds.parse().map_err(StoreError::new)?,
        did: login.did,
        handle: login.handle,
        access: SecretString::from(login.access),
        refresh: SecretString::from(login.refresh),
    })
}
