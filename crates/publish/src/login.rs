//! From a password, or from saved tokens, to a [`Session`].

use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::{Did, Handle};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::XrpcError;
use crate::error_kind::ErrorKind;
use crate::refresh::{Core, blocking};
use crate::session::Session;
use crate::session_store::{MemoryStore, SavedSession, SessionStore, StoreError};
use crate::token::Tokens;
use crate::xrpc::{Call, REQUEST_TIMEOUT, Xrpc};

const CREATE_SESSION: &str = "com.atproto.server.createSession";

/// Why there is no session. It never holds the password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The PDS does not accept the account and password together.
    #[error(
        "{pds} does not know {identifier} with this password: check both, and that the account is at this PDS; an app password from the account's settings is the right kind"
    )]
    WrongPassword {
        /// The account as it was given.
        identifier: String,
        /// The PDS.
        pds: String,
    },
    /// The account is protected by a second factor, which a program does not have.
    #[error(
        "{identifier} needs a second factor: create an app password in the account's settings and use that"
    )]
    SecondFactor {
        /// The account as it was given.
        identifier: String,
    },
    /// The PDS logged in another account than the one that was asked for.
    #[error(
        "{pds} logged in {got} instead of {asked}: give the DID or the handle of the account that you mean"
    )]
    OtherAccount {
        /// The account as it was given.
        asked: Did,
        /// Whose session came.
        got: Did,
        /// The PDS.
        pds: String,
    },
    /// The account exists and cannot write.
    #[error("the account {did} is {status}: it cannot write until it is active again")]
    Inactive {
        /// The account.
        did: Did,
        /// Such as `deactivated`.
        status: String,
    },
    /// There is nothing to resume.
    #[error("nobody is logged in here: log in first")]
    NotLoggedIn,
    /// The tokens could not be kept or found.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The PDS gave no usable answer.
    #[error(transparent)]
    Xrpc(#[from] XrpcError),
}

impl LoginError {
    /// What kind of failure it is, for exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongPassword { .. } | Self::SecondFactor { .. } | Self::Inactive { .. } => {
                ErrorKind::Refused
            }
            Self::OtherAccount { .. } | Self::NotLoggedIn => ErrorKind::Invalid,
            Self::Store(_) => ErrorKind::Failed,
            Self::Xrpc(error) => error.kind(),
        }
    }
}

/// How a session is opened: where its tokens are kept, how patient it is.
#[derive(Clone, Debug)]
pub struct SessionBuilder {
    store: Arc<dyn SessionStore>,
    timeout: Duration,
}

impl Default for SessionBuilder {
    fn default() -> Self {
        Self {
            store: Arc::new(MemoryStore::default()),
            timeout: REQUEST_TIMEOUT,
        }
    }
}

#[derive(Serialize)]
struct CreateSession<'a> {
    identifier: &'a str,
    password: &'a str,
}

/// The answer to createSession, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    access_jwt: String,
    refresh_jwt: String,
    did: Did,
    handle: Handle,
    active: Option<bool>,
    status: Option<String>,
}

impl SessionBuilder {
    /// Where the tokens are kept; in memory by default.
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// How long one request may take, [`REQUEST_TIMEOUT`] by default. The transfer of a blob has no
    /// fixed time; it fails when it stands still.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Logs in with an app password. `pds` is the account's PDS: the caller finds it by resolving
    /// the handle or DID.
    ///
    /// Cancel safe: a session that the PDS has begun meanwhile is forgotten there in time.
    ///
    /// # Errors
    /// [`LoginError`] says why not, and what to do.
    pub async fn login(
        self,
        pds: Url,
        identifier: &str,
        password: SecretString,
    ) -> Result<Session, LoginError> {
        let xrpc = Xrpc::new(&pds, self.timeout)?;
        let password = password.expose_secret();
        let input = CreateSession {
            identifier,
            password,
        };
        let mut call = Call::procedure(CREATE_SESSION, Some(&input));
        call.secret = Some(password);
        let created: Created = match xrpc.call(call).await {
            Ok(answer) => answer.body,
            Err(error) => return Err(explained(error, identifier, &xrpc)),
        };
        if let Ok(asked) = identifier.parse::<Did>()
            && asked != created.did
        {
            return Err(LoginError::OtherAccount {
                asked,
                got: created.did,
                pds: xrpc.name(),
            });
        }
        if created.active == Some(false) {
            let status = created.status.unwrap_or_else(|| "inactive".to_owned());
            return Err(LoginError::Inactive {
                did: created.did,
                status,
            });
        }
        let tokens = Tokens::issued(created.access_jwt.into(), created.refresh_jwt.into());
        let tokens = tokens.ok_or_else(|| unusable(&xrpc))?;
        let core = Core::new(xrpc, created.did, created.handle, self.store, tokens);
        core.save().await?;
        Ok(Session::of(core))
    }

    /// Goes on with a saved session. Asks nobody: tokens that have expired are renewed by the first
    /// request.
    ///
    /// # Errors
    /// [`LoginError::Xrpc`] if what was saved is damaged.
    pub fn resume(self, saved: SavedSession) -> Result<Session, LoginError> {
        let xrpc = Xrpc::new(&saved.pds, self.timeout)?;
        let tokens = Tokens::kept(saved.access, saved.refresh).ok_or_else(|| unusable(&xrpc))?;
        Ok(Session::of(Core::new(
            xrpc,
            saved.did,
            saved.handle,
            self.store,
            tokens,
        )))
    }

    /// Goes on with what the store holds.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LoginError::NotLoggedIn`] if it holds nothing; [`LoginError::Store`] if it cannot be read.
    pub async fn open(self) -> Result<Session, LoginError> {
        let saved = blocking(self.store.clone(), |store| store.load()).await?;
        let saved = saved.ok_or(LoginError::NotLoggedIn)?;
        self.resume(saved)
    }
}

fn unusable(xrpc: &Xrpc) -> LoginError {
    LoginError::Xrpc(XrpcError::NotXrpc {
        pds: xrpc.name(),
        method: CREATE_SESSION.to_owned(),
        found: "tokens that cannot be sent".to_owned(),
    })
}

fn explained(error: XrpcError, identifier: &str, xrpc: &Xrpc) -> LoginError {
    match &error {
        XrpcError::Refused { name, .. } if name == "AuthFactorTokenRequired" => {
            LoginError::SecondFactor {
                identifier: identifier.to_owned(),
            }
        }
        XrpcError::Refused { name, status, .. }
            if name == "AuthenticationRequired"
                || (*status == 401 && name != "AccountTakedown") =>
        {
            LoginError::WrongPassword {
                identifier: identifier.to_owned(),
                pds: xrpc.name(),
            }
        }
        _ => error.into(),
    }
}
