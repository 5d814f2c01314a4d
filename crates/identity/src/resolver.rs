//! The resolver: handles and DIDs to identities, through the cache.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::{Address, Did, Handle, fault};
use atcomms_repo::VerifyingKey;
use url::Url;

use crate::cache::Cache;
use crate::client::GuardedClient;
use crate::did;
use crate::dns::HandleRecords;
use crate::error::ResolveError;
use crate::handle::Handles;
use crate::identity::Identity;
use crate::key_history::KeyStanding;

/// The public directory of did:plc.
pub const DEFAULT_PLC: &str = "https://plc.directory";

/// How long an identity is kept. `#identity` events and bad signatures cut it short, so this only
/// bounds how long a change is missed whose event was missed too.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);

/// Resolves handles and DIDs, and keeps what it learnt. Cheap to clone; clones share the cache and
/// the connections.
///
/// Concurrent callers for one name share one request. An answer is kept for the time to live, an
/// error for seconds (transient) or a minute (final), and while the directory is down, what was
/// good goes on being given for up to a day.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    client: GuardedClient,
    plc: Url,
    handles: Handles,
    identities: Cache<Did, Identity>,
    dids: Cache<Handle, Did>,
}

/// Options of a [`Resolver`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ResolverBuilder {
    plc: Option<Url>,
    allow_loopback: bool,
    handle_server: Option<Url>,
    name_server: Option<SocketAddr>,
    ttl: Duration,
}

impl ResolverBuilder {
    /// The did:plc directory. Default: [`DEFAULT_PLC`].
    pub fn plc(mut self, directory: Url) -> Self {
        self.plc = Some(directory);
        self
    }

    /// Whether this machine's own addresses may be connected to (then also without TLS). Default:
    /// no. For a devnet and for tests; never where strangers' names are resolved in earnest.
    pub fn allow_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// A PDS (or another server with `com.atproto.identity.resolveHandle`) that is asked for
    /// handles when DNS and https know none, and for reserved domains such as `.test`. It can't
    /// pass off an account as another's: the DID's document must name the handle too.
    pub fn handle_server(mut self, server: Url) -> Self {
        self.handle_server = Some(server);
        self
    }

    /// The name server to ask for handles' TXT records, instead of the system's: for networks
    /// whose own does not pass on TXT records.
    pub fn name_server(mut self, address: SocketAddr) -> Self {
        self.name_server = Some(address);
        self
    }

    /// How long an answer is kept. Default: [`DEFAULT_TTL`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// The resolver. No connection is made until something is resolved.
    #[expect(
        clippy::expect_used,
        reason = "DEFAULT_PLC is a constant, which a test parses"
    )]
    pub fn build(self) -> Resolver {
        let client = GuardedClient::new(self.allow_loopback);
        let plc = self
            .plc
            .unwrap_or_else(|| DEFAULT_PLC.parse().expect("a URL"));
        let handles = Handles {
            client: client.clone(),
            records: HandleRecords::new(self.name_server),
            server: self.handle_server,
            #[cfg(test)]
            origin: None,
        };
        let (identities, dids) = (Cache::new(self.ttl), Cache::new(self.ttl));
        Resolver {
            inner: Arc::new(Inner {
                client,
                plc,
                handles,
                identities,
                dids,
            }),
        }
    }
}

impl Resolver {
    /// A resolver with options.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder {
            plc: None,
            allow_loopback: false,
            handle_server: None,
            name_server: None,
            ttl: DEFAULT_TTL,
        }
    }

    /// The client that it uses, for other requests to the servers that it finds.
    pub fn client(&self) -> &GuardedClient {
        &self.inner.client
    }

    /// Resolves a DID or a handle, and checks the handle in both directions: it must point to the
    /// DID, and the DID's document must name it.
    ///
    /// Given a DID, a handle that can't be confirmed is left out. Given a handle, it is an error.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ResolveError::HandleMismatch`] if the account disowns the handle; else what DNS, the
    /// handle's host or the DID's directory said.
    pub async fn resolve(&self, address: &Address) -> Result<Identity, ResolveError> {
        match address {
            Address::Did(did) => self.resolve_with_handle(did).await,
            Address::Handle(handle) => self.resolve_from_handle(&handle.normalize()).await,
        }
    }

    /// Resolves a DID to its key and PDS. One request at most, none while it is cached; the handle
    /// is only claimed ([`Identity::claimed_handle`]). What verification needs.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What the directory or host said, or what is wrong with the document.
    pub async fn resolve_did(&self, did: &Did) -> Result<Identity, ResolveError> {
        self.inner.identities.get(did, || self.fetch(did)).await
    }

    /// Where a handle points, by DNS, https or the handle server. Whether the account agrees is
    /// not asked: see [`Self::resolve`].
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ResolveError::HandleNotFound`] lists what was tried.
    pub async fn resolve_handle(&self, handle: &Handle) -> Result<Did, ResolveError> {
        let handle = &handle.normalize();
        self.inner
            .dids
            .get(handle, || self.inner.handles.resolve(handle))
            .await
    }

    /// Asks for a DID's document past the cache, as after a signature that is bad under the known
    /// key. Concurrent callers share one request. A DID that is asked for too often (3 at once,
    /// then 1 in 10 seconds) gets the latest answer instead, which is then no older than that:
    /// whoever sends bad signatures must not be able to flood the directory through us.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`Self::resolve_did`], except that an answer from before is not given instead of
    /// [`ResolveError::Unavailable`]: a directory that is down proves nothing.
    pub async fn refresh(&self, did: &Did) -> Result<Identity, ResolveError> {
        self.inner.identities.refresh(did, || self.fetch(did)).await
    }

    /// Marks what is known of a DID as out of date, as after an `#identity` event: the next
    /// resolution asks again, within the limit of [`Self::refresh`].
    ///
    /// Cancel safe.
    pub async fn forget(&self, did: &Did) {
        self.inner.identities.forget(did).await;
    }

    /// Whether a key is that of a DID now, or once was: by the document, asked for past the cache as by
    /// [`Self::refresh`], and for another key by the audit log that the directory of did:plc keeps. Both are
    /// the directory's word.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What the directory or host said. That it does not know the DID, or that its owner gave it up, is no
    /// error as long as the log tells of the key.
    pub async fn key_standing(
        &self,
        did: &Did,
        key: &VerifyingKey,
    ) -> Result<KeyStanding, ResolveError> {
        let (client, plc) = (&self.inner.client, &self.inner.plc);
        match self.refresh(did).await {
            Ok(identity) if identity.key == *key => Ok(KeyStanding::Current),
            Ok(_) => did::key_standing(client, plc, did, key).await,
            Err(error) if error.is_transient() => Err(error),
            Err(error) => match did::key_standing(client, plc, did, key).await {
                // The log is no more than what the document is made of: it cannot be that the key is in use.
                Ok(standing @ KeyStanding::Past { .. }) => Ok(standing),
                _ => Err(error),
            },
        }
    }

    /// The operations of a did:plc that count, as its directory's `/DID/log` lists them, the first first: by
    /// them the DID vouches for its key. They are not checked here. None for a DID of another method.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What the directory said.
    pub async fn operations(&self, did: &Did) -> Result<Vec<serde_json::Value>, ResolveError> {
        did::operations(&self.inner.client, &self.inner.plc, did).await
    }

    async fn fetch(&self, did: &Did) -> Result<Identity, ResolveError> {
        let outcome = did::resolve(&self.inner.client, &self.inner.plc, did).await;
        if let Err(error) = &outcome {
            tracing::debug!(%did, %error, "a DID was not resolved");
        }
        outcome
    }

    async fn resolve_with_handle(&self, did: &Did) -> Result<Identity, ResolveError> {
        let mut identity = self.resolve_did(did).await?;
        if let Some(claimed) = identity.claimed_handle.clone()
            && self.resolve_handle(&claimed).await.as_ref() == Ok(did)
        {
            identity.handle = Some(claimed);
        }
        Ok(identity)
    }

    async fn resolve_from_handle(&self, handle: &Handle) -> Result<Identity, ResolveError> {
        let mut did = self.resolve_handle(handle).await?;
        let mut identity = self.resolve_did(&did).await?;
        if identity.claimed_handle.as_ref() != Some(handle) {
            // Either may have changed after the other was cached.
            did = self
                .inner
                .dids
                .refresh(handle, || self.inner.handles.resolve(handle))
                .await?;
            identity = self.refresh(&did).await?;
        }
        if identity.claimed_handle.as_ref() != Some(handle) && !fault::on("handle-one-way") {
            return Err(ResolveError::HandleMismatch {
                handle: handle.clone(),
                did,
            });
        }
        identity.handle = Some(handle.clone());
        Ok(identity)
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("plc", &self.inner.plc.as_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_is_a_url() {
        assert!(DEFAULT_PLC.parse::<Url>().is_ok());
    }
}
