//! One identity that writes and watches.

use std::sync::Arc;

use atcomms_identity::{Identity, ResolveError, Resolver};
use atcomms_lexicon::{Address, BlobRef, Did, Handle, Record};
use atcomms_publish::{DownloadError, Downloader, Publish, Publisher, Session};
use atcomms_store::Store;
use atcomms_subscribe::{Source, SourceError, Subscriber};
use url::Url;

use crate::broadcast::SendBroadcast;
use crate::builder::AgentBuilder;
use crate::request::Ask;
use crate::send::SendMessage;
use crate::serve::Serve;

/// An agent: an AT Protocol identity that is logged in at its PDS, and watches what its peers write.
/// Cheap to clone; all clones are the same agent.
#[derive(Clone, Debug)]
pub struct Agent {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    publisher: Publisher,
    resolver: Resolver,
    sources: Vec<Source>,
}

impl Agent {
    /// Says how to reach the network; ends in a login.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::default()
    }

    pub(crate) fn new(publisher: Publisher, resolver: Resolver, sources: Vec<Source>) -> Self {
        Agent {
            inner: Arc::new(Inner {
                publisher,
                resolver,
                sources,
            }),
        }
    }

    /// Who this agent is.
    pub fn did(&self) -> &Did {
        self.session().did()
    }

    /// What people call it.
    pub fn handle(&self) -> &Handle {
        self.session().handle()
    }

    /// Where its repository is.
    pub fn pds(&self) -> &Url {
        self.session().pds()
    }

    /// Its session at the PDS.
    pub fn session(&self) -> &Session {
        self.inner.publisher.session()
    }

    /// What writes its records.
    pub fn publisher(&self) -> &Publisher {
        &self.inner.publisher
    }

    /// What survives of it: what it accepted and has not written, and what its durable consumers have
    /// taken in. The default is gone with the process.
    pub fn store(&self) -> &Store {
        self.inner.publisher.store()
    }

    /// What finds out who others are.
    pub fn resolver(&self) -> &Resolver {
        &self.inner.resolver
    }

    /// Who an address is. Cancel safe.
    ///
    /// # Errors
    /// The handle or the DID does not resolve.
    pub async fn resolve(&self, address: &Address) -> Result<Identity, ResolveError> {
        self.inner.resolver.resolve(address).await
    }

    /// Writes any record, of ours or of your own type, into this agent's repository.
    pub fn publish<R: Record>(&self, record: R) -> Publish<R> {
        self.inner.publisher.publish(record)
    }

    /// Waits until everything that this agent's store accepted for it is written, as far as that is
    /// possible now. Cancel safe.
    pub async fn flush(&self) {
        self.inner.publisher.flush().await;
    }

    /// Fetches an attachment of a record from its author's PDS, whole, into memory; its size and CID are
    /// checked. [`Downloader`] writes larger ones to a file as they come. Cancel safe.
    ///
    /// # Errors
    /// The author or its PDS cannot be found, or the PDS gives something else than the record names.
    pub async fn download(&self, author: &Did, blob: &BlobRef) -> Result<Vec<u8>, FetchError> {
        let author = self.inner.resolver.resolve_did(author).await?;
        let mut bytes = Vec::new();
        let downloader = Downloader::with_client(self.inner.resolver.client().clone());
        downloader
            .download(&author.pds, &author.did, blob, &mut bytes)
            .await?;
        Ok(bytes)
    }

    /// A message to another agent.
    pub fn send(&self, to: impl Into<Address>, text: impl Into<String>) -> SendMessage {
        SendMessage::new(self.clone(), to.into(), text.into())
    }

    /// A word to everybody who listens.
    pub fn broadcast(&self, text: impl Into<String>) -> SendBroadcast {
        SendBroadcast::new(self.clone(), text.into())
    }

    /// Asks another agent to do something, and waits for the answer.
    pub fn request(&self, to: impl Into<Address>, task: impl Into<String>) -> Ask {
        Ask::new(self.clone(), to.into(), task.into())
    }

    /// Answers the requests of others for one task.
    pub fn serve(&self, task: impl Into<String>) -> Serve {
        Serve::new(self.clone(), task.into())
    }

    /// A subscriber with this agent's resolver and sources; without a source of its own, the agent
    /// watches its own PDS, which only brings what accounts of that PDS write.
    ///
    /// # Errors
    /// The PDS's URL is no source.
    pub fn watch(&self) -> Result<Subscriber, SourceError> {
        if self.inner.sources.is_empty() {
            return Ok(self.watch_at([Source::firehose(self.pds().as_str())?]));
        }
        Ok(self.watch_at(self.inner.sources.iter().cloned()))
    }

    /// A subscriber with this agent's resolver and these sources.
    pub fn watch_at(&self, sources: impl IntoIterator<Item = Source>) -> Subscriber {
        sources.into_iter().fold(
            Subscriber::new(self.inner.resolver.clone()),
            Subscriber::source,
        )
    }

    /// Where a peer's words are awaited: at this agent's sources, or else at the peer's PDS.
    pub(crate) fn sources_for(&self, peer: &Identity) -> Result<Vec<Source>, SourceError> {
        match self.inner.sources.is_empty() {
            true => Ok(vec![Source::of_pds(peer, &self.inner.resolver)?]),
            false => Ok(self.inner.sources.clone()),
        }
    }
}

/// Why an attachment could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Its author could not be found.
    #[error("the attachment's author cannot be found: {0}")]
    Resolve(#[from] ResolveError),
    /// Its author's PDS did not give it.
    #[error(transparent)]
    Download(#[from] DownloadError),
}
