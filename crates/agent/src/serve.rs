//! Answers the requests of others for one task, each once.
//!
//! The answer's record key is derived from the request, so that a server that died after writing it
//! finds it there, and two servers of one agent cannot both answer.

mod job;
mod served;

pub use job::{Job, TaskError};
pub use served::{Outcome, Served, Unwritten};

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use atcomms_lexicon::{Did, Nsid, Record, Request, SyntaxError};
use atcomms_subscribe::{
    CollectionPattern, Connection, From, Source, SourceError, StreamError, SubscribeError,
    Subscriber, Subscription,
};
use futures::{Stream, StreamExt};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::agent::Agent;

/// How many requests are handled at once, unless the caller says otherwise.
pub const DEFAULT_CONCURRENCY: usize = 8;
/// How long a handler may take, unless the caller says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Outcomes that nobody has taken yet; beyond it they are dropped, the work goes on.
const OUTCOMES_WAITING: usize = 256;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A source is not one.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is nothing to watch.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The name of the request's lexicon is broken.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
}

/// A server in the making; [`Serve::handle`] starts it.
#[derive(Clone, Debug)]
#[must_use = "a server starts with `handle`"]
pub struct Serve {
    agent: Agent,
    task: String,
    concurrency: NonZeroUsize,
    timeout: Duration,
    sources: Vec<Source>,
    peers: Vec<Did>,
    from: From,
}

impl Serve {
    pub(crate) fn new(agent: Agent, task: String) -> Self {
        let concurrency = NonZeroUsize::new(DEFAULT_CONCURRENCY).unwrap_or(NonZeroUsize::MIN);
        Serve {
            agent,
            task,
            concurrency,
            timeout: DEFAULT_TIMEOUT,
            sources: Vec::new(),
            peers: Vec::new(),
            from: From::Live,
        }
    }

    /// How many requests are handled at once; others wait in the stream.
    pub fn concurrency(mut self, at_once: NonZeroUsize) -> Self {
        self.concurrency = at_once;
        self
    }

    /// How long the handler may take for one request; the request's own deadline may be sooner.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A host to watch for requests; the agent's own sources if none is named.
    pub fn source(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// Only requests of this agent; of anyone if none is named.
    pub fn peer(mut self, peer: Did) -> Self {
        self.peers.push(peer);
        self
    }

    /// Where in the stream to begin. What was answered already is not answered again.
    pub fn from(mut self, from: From) -> Self {
        self.from = from;
        self
    }

    /// Starts to answer. A handler that panics or takes too long answers with an error.
    ///
    /// # Errors
    /// There is nothing to watch.
    pub fn handle<H, F, T>(self, handler: H) -> Result<Server, ServeError>
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, TaskError>> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        let subscriber = match self.sources.is_empty() {
            true => self.agent.watch()?,
            false => self.agent.watch_at(self.sources.iter().cloned()),
        };
        let subscriber: Subscriber = match self.peers.is_empty() {
            true => subscriber.anyone(),
            false => subscriber.peers(self.peers.iter().cloned()),
        };
        let collection = CollectionPattern::Exact(Request::NSID.parse::<Nsid>()?);
        let subscription = subscriber.collection(collection).from(self.from).start()?;
        let (stop, stopped) = watch::channel(false);
        let (outcomes, served) = mpsc::channel(OUTCOMES_WAITING);
        let connection = subscription.connection();
        let error = Arc::new(OnceLock::new());
        let ended = error.clone();
        let serving = serve(self, subscription, Arc::new(handler), stopped, outcomes);
        let task = tokio::spawn(async move {
            if let Some(error) = serving.await {
                // Nobody else sets it.
                let _ = ended.set(error);
            }
        });
        Ok(Server {
            served,
            stop,
            connection,
            error,
            task,
        })
    }
}

/// A running server: a [`Stream`] of what it did, which may be ignored. Dropping it aborts the requests
/// that are under way; [`Server::shutdown`] finishes them.
#[derive(Debug)]
#[must_use = "a dropped server answers nothing"]
pub struct Server {
    served: mpsc::Receiver<Served>,
    stop: watch::Sender<bool>,
    connection: Connection,
    error: Arc<OnceLock<StreamError>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Waits until the source is connected: requests from then on are heard. Cancel safe.
    pub async fn connected(&mut self) {
        self.connection.established().await;
    }

    /// Tells about the connections to the sources, independent of this handle.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Takes no more requests. Those under way are finished; the stream of outcomes ends after them.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Why the server ended, if nobody asked it to.
    pub fn error(&self) -> Option<StreamError> {
        self.error.get().cloned()
    }

    /// Takes no more requests, finishes those under way, and ends. Not cancel safe: dropped half-way,
    /// the rest is aborted.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // An aborted or finished task is what we want; there is no other outcome to report.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream for Server {
    type Item = Served;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Served>> {
        self.served.poll_recv(context)
    }
}

async fn serve<H, F, T>(
    config: Serve,
    subscription: Subscription,
    handler: Arc<H>,
    mut stopped: watch::Receiver<bool>,
    outcomes: mpsc::Sender<Served>,
) -> Option<StreamError>
where
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, TaskError>> + Send + 'static,
    T: Serialize + Send + 'static,
{
    let mut requests = subscription.typed::<Request>();
    let mut jobs = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(done) = jobs.join_next(), if !jobs.is_empty() => tell(done, &outcomes),
            // Not taking another request while all hands are busy leaves it in the stream.
            item = requests.next(), if jobs.len() < config.concurrency.get() => match item {
                Some(Ok(delivery)) => {
                    if let Some(job) = Job::of(delivery, config.agent.did(), &config.task) {
                        jobs.spawn(served::answer(config.agent.clone(), job, handler.clone(), config.timeout));
                    }
                }
                Some(Err(undecodable)) => tracing::warn!("{undecodable}"),
                None => break,
            },
        }
    }
    while let Some(done) = jobs.join_next().await {
        tell(done, &outcomes);
    }
    requests.subscription().error().cloned()
}

fn tell(done: Result<Served, tokio::task::JoinError>, outcomes: &mpsc::Sender<Served>) {
    match done {
        // Full or closed: nobody looks, and the work does not depend on it.
        Ok(served) => drop(outcomes.try_send(served)),
        Err(error) => tracing::error!(%error, "a request was not answered"),
    }
}
