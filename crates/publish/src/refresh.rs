//! Renewing a session's tokens: once for everybody who waits, and never a log-out because the PDS
//! is down.
//!
//! The renewal runs in a task of its own, so that a caller who gives up does not lose the tokens
//! that are on their way: the old ones may already be void.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use atcomms_lexicon::{Did, Handle, fault};
use backon::{ExponentialBuilder, Retryable};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::XrpcError;
use crate::session_store::{SavedSession, SessionStore, StoreError};
use crate::token::Tokens;
use crate::xrpc::{Call, Xrpc};

/// How often one renewal is tried again while the PDS is out of reach: a restart of the PDS within
/// a second goes unnoticed, and a caller is not held for longer than that.
const RETRIES: usize = 2;

/// The first pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// After a renewal ahead of time has failed, the present token is used this long before the next
/// try, so that not every request waits for a PDS that cannot renew.
const HOLD_OFF: Duration = Duration::from_secs(15);

/// What a session is made of, apart from its renewal.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) xrpc: Xrpc,
    pub(crate) did: Did,
    pub(crate) handle: Handle,
    pub(crate) store: Arc<dyn SessionStore>,
    tokens: RwLock<Arc<Tokens>>,
}

type Outcome = Result<Arc<Tokens>, XrpcError>;

/// One renewal that is under way or over.
struct Flight {
    outcome: Shared<BoxFuture<'static, Outcome>>,
    task: AbortHandle,
}

/// Hands out tokens and renews them.
pub(crate) struct Refresh {
    core: Arc<Core>,
    flight: Mutex<Option<Flight>>,
    hold_off: Mutex<Option<Instant>>,
}

/// The answer to refreshSession, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Renewed {
    access_jwt: String,
    refresh_jwt: String,
    did: String,
}

impl Core {
    pub(crate) fn new(
        xrpc: Xrpc,
        did: Did,
        handle: Handle,
        store: Arc<dyn SessionStore>,
        tokens: Tokens,
    ) -> Self {
        Self {
            xrpc,
            did,
            handle,
            store,
            tokens: RwLock::new(Arc::new(tokens)),
        }
    }

    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        self.tokens
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, tokens: Tokens) -> Arc<Tokens> {
        let tokens = Arc::new(tokens);
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens.clone();
        tokens
    }

    pub(crate) fn saved(&self) -> SavedSession {
        let tokens = self.tokens();
        SavedSession {
            pds: self.xrpc.base().clone(),
            did: self.did.clone(),
            handle: self.handle.clone(),
            access: tokens.access.clone(),
            refresh: tokens.refresh.clone(),
        }
    }

    /// Has the store keep the present tokens.
    pub(crate) async fn save(&self) -> Result<(), StoreError> {
        let saved = self.saved();
        self.stored(move |store| store.save(&saved)).await
    }

    async fn stored<T: Send + 'static>(
        &self,
        action: impl FnOnce(&dyn SessionStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        blocking(self.store.clone(), action).await
    }

    /// The tokens that another process of this account has saved since, if it has.
    pub(crate) async fn saved_by_another(&self) -> Option<Tokens> {
        let saved = match self.stored(|store| store.load()).await {
            Ok(saved) => saved?,
            Err(error) => {
                tracing::warn!(did = %self.did, %error, "going on with the tokens in memory");
                return None;
            }
        };
        if saved.did != self.did || saved.pds != *self.xrpc.base() {
            return None;
        }
        Tokens::kept(saved.access, saved.refresh)
            .filter(|theirs| theirs.follows(&self.tokens()) && !theirs.is_due())
    }

    async fn renew(&self) -> Outcome {
        let lock = self.stored(|store| store.lock()).await;
        if let Err(error) = &lock {
            tracing::warn!(did = %self.did, %error, "renewing without the store's lock");
        }
        if let Some(theirs) = self.saved_by_another().await {
            return Ok(self.set(theirs));
        }
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_times(RETRIES)
            .with_jitter();
        let tokens = (|| self.ask())
            .retry(pauses)
            .when(|error| error.is_transient() && !matches!(error, XrpcError::RateLimited { .. }))
            .await?;
        let tokens = self.set(tokens);
        // The tokens in memory are good: a full disk must not stop the agent. What is on the disk
        // may not outlive the process, which the user has to know.
        if let Err(error) = self.save().await {
            tracing::warn!(did = %self.did, %error, "after a restart, log in again");
        }
        Ok(tokens)
    }

    async fn ask(&self) -> Result<Tokens, XrpcError> {
        let old = self.tokens();
        let call = Call::procedure("com.atproto.server.refreshSession", None::<&()>)
            .token(Some(old.refresh.expose_secret()));
        let renewed: Renewed = match self.xrpc.call(call).await {
            Ok(answer) => answer.body,
            Err(error) => return Err(self.ended(error)),
        };
        let odd = |found: &str| XrpcError::NotXrpc {
            pds: self.xrpc.name(),
            method: "com.atproto.server.refreshSession".to_owned(),
            found: found.to_owned(),
        };
        if renewed.did != self.did.as_str() && !fault::on("tokens-of-another") {
            return Err(odd("another account's tokens"));
        }
        Tokens::issued(renewed.access_jwt.into(), renewed.refresh_jwt.into())
            .ok_or_else(|| odd("tokens that cannot be sent"))
    }

    /// A refresh token that is refused is the end of the session; everything else is not.
    fn ended(&self, error: XrpcError) -> XrpcError {
        match error {
            XrpcError::Refused { name, message, .. }
                if matches!(
                    name.as_str(),
                    "ExpiredToken" | "InvalidToken" | "AuthMissing"
                ) =>
            {
                XrpcError::SessionEnded {
                    did: self.did.to_string(),
                    pds: self.xrpc.name(),
                    reason: if message.is_empty() { name } else { message },
                }
            }
            other => other,
        }
    }
}

impl Refresh {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            core: Arc::new(core),
            flight: Mutex::default(),
            hold_off: Mutex::default(),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Tokens to send a request with, renewed first if they are about to end.
    pub(crate) async fn current(&self) -> Outcome {
        let tokens = self.core.tokens();
        if !tokens.is_due() || (tokens.is_alive() && self.holds_off()) {
            return Ok(tokens);
        }
        match self.renew(&tokens).await {
            Err(error) if error.is_transient() && tokens.is_alive() => {
                tracing::warn!(did = %self.core.did, %error, "the session was not renewed yet");
                *lock(&self.hold_off) = Some(Instant::now() + HOLD_OFF);
                Ok(tokens)
            }
            outcome => outcome,
        }
    }

    /// Tokens newer than `stale`: those of a renewal that is under way, or of a new one.
    pub(crate) async fn renew(&self, stale: &Arc<Tokens>) -> Outcome {
        let outcome = {
            let mut flight = lock(&self.flight);
            let now = self.core.tokens();
            if !Arc::ptr_eq(&now, stale) {
                return Ok(now);
            }
            let shared = !fault::on("two-refreshes");
            match flight
                .as_ref()
                .filter(|flight| shared && !flight.task.is_finished())
            {
                Some(flight) => flight.outcome.clone(),
                None => flight.insert(self.take_off()).outcome.clone(),
            }
        };
        outcome.await
    }

    fn take_off(&self) -> Flight {
        let core = self.core.clone();
        let name = core.xrpc.name();
        let task = tokio::spawn(async move { core.renew().await });
        let abort = task.abort_handle();
        let outcome = task.map(move |outcome| {
            outcome.unwrap_or_else(|error| {
                Err(XrpcError::AnswerLost {
                    pds: name,
                    method: "com.atproto.server.refreshSession".to_owned(),
                    source: Arc::new(error),
                })
            })
        });
        Flight {
            outcome: outcome.boxed().shared(),
            task: abort,
        }
    }

    fn holds_off(&self) -> bool {
        lock(&self.hold_off).is_some_and(|until| Instant::now() < until)
    }
}

impl Drop for Refresh {
    fn drop(&mut self) {
        if let Some(flight) = lock(&self.flight).as_ref() {
            flight.task.abort();
        }
    }
}

impl std::fmt::Debug for Refresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresh")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

/// Runs a store's method where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    store: Arc<dyn SessionStore>,
    action: impl FnOnce(&dyn SessionStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(move || action(&*store))
        .await
        .unwrap_or_else(|panicked| Err(StoreError::new(panicked)))
}

/// What these locks guard is replaced whole: a panic elsewhere leaves it good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
