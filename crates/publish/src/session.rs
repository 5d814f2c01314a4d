//! A logged-in account at its PDS.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use atcomms_lexicon::{Did, Handle};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use crate::RateLimit;
use crate::clock::{millis, now};
use crate::error::XrpcError;
use crate::login::{LoginError, SessionBuilder};
use crate::refresh::{Core, Refresh};
use crate::session_store::SavedSession;
use crate::token::Tokens;
use crate::xrpc::{Answer, Call, Xrpc};

/// A logged-in account. Cheap to clone; clones share the tokens, and renew them once for all.
///
/// Tokens are renewed before they expire and when the PDS says that they did. A PDS that is down
/// never ends the session: the request fails, and the next one tries again. Only a refresh token
/// that the PDS refuses does ([`XrpcError::SessionEnded`]).
#[derive(Clone, Debug)]
pub struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    refresh: Refresh,
    limit: Mutex<Option<RateLimit>>,
    blob_limit: AtomicU64,
}

impl Session {
    /// Logs in with an app password, keeping the tokens in memory. [`Session::builder`] has the
    /// other ways.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LoginError`] says why not, and what to do.
    pub async fn login(
        pds: Url,
        identifier: &str,
        password: SecretString,
    ) -> Result<Self, LoginError> {
        Self::builder().login(pds, identifier, password).await
    }

    /// Goes on with a saved session, keeping new tokens in memory.
    ///
    /// # Errors
    /// [`LoginError::Xrpc`] if what was saved is damaged.
    pub fn resume(saved: SavedSession) -> Result<Self, LoginError> {
        Self::builder().resume(saved)
    }

    /// A session with its options.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    pub(crate) fn of(core: Core) -> Self {
        let refresh = Refresh::new(core);
        let blob_limit = AtomicU64::new(UNKNOWN);
        Self(Arc::new(Inner {
            refresh,
            limit: Mutex::default(),
            blob_limit,
        }))
    }

    /// The account.
    pub fn did(&self) -> &Did {
        &self.core().did
    }

    /// The account's handle at login. Whether it still is, the network decides.
    pub fn handle(&self) -> &Handle {
        &self.core().handle
    }

    /// The account's PDS.
    pub fn pds(&self) -> &Url {
        self.core().xrpc.base()
    }

    /// What is needed to go on later. Holds the tokens.
    pub fn saved(&self) -> SavedSession {
        self.core().saved()
    }

    /// What the PDS last said of its rate limits; `None` if it has none, or nothing was sent yet.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.0
            .limit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks the PDS whether it accepts the session, and what time it is. Cancel safe.
    ///
    /// # Errors
    /// [`XrpcError`] says why the session cannot be used, and what to do.
    pub async fn check(&self) -> Result<Checked, XrpcError> {
        let answer = self
            .call::<serde::de::IgnoredAny>(Call::query("com.atproto.server.getSession", &[]))
            .await?;
        let date = answer.headers.get(http::header::DATE);
        let date = date
            .and_then(|date| date.to_str().ok())
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
        let clock_ahead = date.map(|date| (now() - millis(date)) / 1000);
        Ok(Checked { clock_ahead })
    }

    fn core(&self) -> &Core {
        self.0.refresh.core()
    }

    pub(crate) fn xrpc(&self) -> &Xrpc {
        &self.core().xrpc
    }

    /// Tokens to send a request with.
    pub(crate) async fn tokens(&self) -> Result<Arc<Tokens>, XrpcError> {
        self.0
            .refresh
            .current()
            .await
            .map_err(XrpcError::not_renewed)
    }

    /// Sends a request as the account, once more with new tokens if the PDS refuses these.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
    ) -> Result<Answer<T>, XrpcError> {
        let tokens = self.tokens().await?;
        let first = self.send(call.clone(), &tokens).await;
        match first {
            Err(error) if error.is_token_refused() => {
                let tokens = self.renew(&tokens).await?;
                self.send(call, &tokens).await
            }
            other => other,
        }
    }

    /// Tokens newer than `stale`, which the PDS refused.
    pub(crate) async fn renew(&self, stale: &Arc<Tokens>) -> Result<Arc<Tokens>, XrpcError> {
        self.0
            .refresh
            .renew(stale)
            .await
            .map_err(XrpcError::not_renewed)
    }

    /// Whether another process has saved newer tokens than these: somebody has logged in again, say.
    pub(crate) async fn is_renewed_by_another(&self) -> bool {
        self.core().saved_by_another().await.is_some()
    }

    /// The largest blob that the PDS is known to accept, in bytes, if it has refused one.
    pub(crate) fn blob_limit(&self) -> Option<u64> {
        let limit = self.0.blob_limit.load(Ordering::Relaxed);
        (limit != UNKNOWN).then_some(limit)
    }

    /// Remembers that the PDS accepts at most `limit` bytes; returns the lowest such limit.
    pub(crate) fn learn_blob_limit(&self, limit: u64) -> u64 {
        self.0
            .blob_limit
            .fetch_min(limit, Ordering::Relaxed)
            .min(limit)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        tokens: &Tokens,
    ) -> Result<Answer<T>, XrpcError> {
        let answer = self
            .xrpc()
            .call(call.token(Some(tokens.access.expose_secret())))
            .await;
        self.note(match &answer {
            Ok(answer) => RateLimit::from_headers(&answer.headers),
            Err(XrpcError::RateLimited { limit, .. }) => limit.as_deref().cloned(),
            Err(_) => None,
        });
        answer
    }

    /// Remembers what an answer said of the rate limits.
    pub(crate) fn note(&self, limit: Option<RateLimit>) {
        if limit.is_some() {
            *self.0.limit.lock().unwrap_or_else(PoisonError::into_inner) = limit;
        }
    }
}

/// What a look at the PDS has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// By how many seconds this machine's clock is ahead of the PDS's (behind, if negative); `None`
    /// if the PDS does not tell the time.
    pub clock_ahead: Option<i64>,
}

/// The limit of a PDS that has refused no blob yet.
const UNKNOWN: u64 = u64::MAX;
