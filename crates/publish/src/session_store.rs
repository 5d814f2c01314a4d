//! Where a session's tokens are kept: in memory here; in a file or a database elsewhere.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use atcomms_lexicon::{Did, Handle};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

/// All that is needed to go on with a session later.
///
/// `Debug` hides the tokens; serde writes them. Whoever reads what was written can write as the
/// account: keep it where only the user can read it (a file of mode 0600).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "Written", into = "Written")]
pub struct SavedSession {
    /// The PDS that gave the tokens.
    pub pds: Url,
    /// The account.
    pub did: Did,
    /// Its handle at the time.
    pub handle: Handle,
    /// The access token.
    pub access: SecretString,
    /// The refresh token.
    pub refresh: SecretString,
}

/// Keeps one session's tokens.
///
/// The session loads and saves at each renewal, so that the newest tokens survive the process.
/// A store shared by several processes also overrides [`lock`](Self::lock): then one of them
/// renews, and the others take what it saved.
///
/// The methods are called on threads that may block.
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// What was saved last, if anything.
    ///
    /// # Errors
    /// It could not be read.
    fn load(&self) -> Result<Option<SavedSession>, StoreError>;

    /// Replaces what was saved, as a whole or not at all.
    ///
    /// # Errors
    /// It could not be written; what was there before still is.
    fn save(&self, session: &SavedSession) -> Result<(), StoreError>;

    /// Waits until no other process renews this session, and keeps it so until the lock is
    /// dropped. The default locks nothing: within one session, renewals are one at a time anyway.
    ///
    /// # Errors
    /// It could not be locked; the session is renewed without.
    fn lock(&self) -> Result<RefreshLock, StoreError> {
        Ok(RefreshLock::none())
    }
}

impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    fn load(&self) -> Result<Option<SavedSession>, StoreError> {
        (**self).load()
    }

    fn save(&self, session: &SavedSession) -> Result<(), StoreError> {
        (**self).save(session)
    }

    fn lock(&self) -> Result<RefreshLock, StoreError> {
        (**self).lock()
    }
}

/// The right to renew, given back by dropping it.
#[must_use = "the lock is released when it is dropped"]
pub struct RefreshLock(#[expect(dead_code, reason = "held for its drop")] Option<Box<dyn Send>>);

impl RefreshLock {
    /// Locks nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Locks until `guard` is dropped, for example a locked file.
    pub fn new(guard: impl Send + 'static) -> Self {
        Self(Some(Box::new(guard)))
    }
}

impl fmt::Debug for RefreshLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshLock")
    }
}

/// A store failed. Its message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("the session's tokens could not be kept: {0}")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

impl StoreError {
    /// Wraps what the store itself ran into.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Keeps the tokens in memory: the session ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Option<SavedSession>>);

impl SessionStore for MemoryStore {
    fn load(&self) -> Result<Option<SavedSession>, StoreError> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }

    fn save(&self, session: &SavedSession) -> Result<(), StoreError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        Ok(())
    }
}

/// The form in which a session is written down.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    pds: Url,
    did: Did,
    handle: Handle,
    access_jwt: String,
    refresh_jwt: String,
}

impl From<SavedSession> for Written {
    fn from(session: SavedSession) -> Self {
        Self {
            pds: session.pds,
            did: session.did,
            handle: session.handle,
            access_jwt: session.access.expose_secret().to_owned(),
            refresh_jwt: session.refresh.expose_secret().to_owned(),
        }
    }
}

impl From<Written> for SavedSession {
    fn from(written: Written) -> Self {
        Self {
            pds: written.pds,
            did: written.did,
            handle: written.handle,
            access: written.access_jwt.into(),
            refresh: written.refresh_jwt.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> SavedSession {
        SavedSession {
            pds: "https://pds.example".parse().unwrap(),
            did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap(),
            handle: "alice.test".parse().unwrap(),
            access: "secret-access".into(),
            refresh: "secret-refresh".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let json = serde_json::to_string(&saved()).unwrap();
        let read: SavedSession = serde_json::from_str(&json).unwrap();
        assert_eq!(read.did, saved().did);
        assert_eq!(read.refresh.expose_secret(), "secret-refresh");
        assert_eq!(read.access.expose_secret(), "secret-access");
    }

    #[test]
    fn debug_shows_no_token() {
        let store = MemoryStore::default();
        store.save(&saved()).unwrap();
        assert!(!format!("{:?} {store:?}", saved()).contains("secret-"));
    }
}
