//! Fetches the repositories that the engine asks for, some at once and few from one host, so that a slow PDS
//! does not hold up the others.

mod listing;
mod repository;
mod xrpc;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use atcomms_identity::{Identity, Resolver};
use atcomms_lexicon::Did;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

pub(crate) use self::xrpc::{XrpcFailure, get_json};
use crate::scope::Scope;
use crate::snapshot::{FetchFailure, KnownRecords, Snapshot};

/// Repositories that are fetched at once: with the largest that is taken whole, this bounds the memory.
const FETCHES_AT_ONCE: usize = 4;
/// Of them, from one host: so that two slow ones do not stop the rest.
const FETCHES_PER_HOST: usize = 2;
/// Owners that are looked up at once.
const LOOKUPS_AT_ONCE: usize = 16;
/// A host that let us wait for nothing is not asked for its other repositories for this long.
const HOST_REST: Duration = Duration::from_secs(10);
/// Who fails faster than this holds nobody up.
const SLOW: Duration = Duration::from_secs(2);

/// What happens to a repository that was asked for.
pub(crate) enum BackfillEvent {
    /// It is its turn; [`Backfill::fetch`] goes on.
    Turn(Turn),
    /// It is here, or it is not.
    Done(Did, Result<Snapshot, FetchFailure>),
}

/// A repository whose turn it is.
pub(crate) struct Turn {
    identity: Identity,
    /// Given back when the fetch is over.
    _permits: [OwnedSemaphorePermit; 2],
}

impl Turn {
    pub(crate) fn did(&self) -> &Did {
        &self.identity.did
    }
}

enum Step {
    Turn(Did, Result<Turn, FetchFailure>),
    Done(Did, Result<Snapshot, FetchFailure>),
}

/// A host of repositories, as far as it concerns their fetching.
struct Host {
    at_once: Arc<Semaphore>,
    rests_until: Option<Instant>,
}

pub(crate) struct Backfill {
    resolver: Resolver,
    scope: Arc<Scope>,
    lookups: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    hosts: Arc<Mutex<HashMap<String, Host>>>,
    steps: FuturesUnordered<Pin<Box<dyn Future<Output = Step> + Send>>>,
}

impl Backfill {
    pub(crate) fn new(resolver: Resolver, scope: Arc<Scope>) -> Self {
        Self {
            resolver,
            scope,
            lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            at_once: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
            hosts: Arc::default(),
            steps: FuturesUnordered::new(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.steps.is_empty()
    }

    /// Asks for a repository.
    pub(crate) fn want(&self, did: Did) {
        let (resolver, lookups) = (self.resolver.clone(), self.lookups.clone());
        let (at_once, hosts) = (self.at_once.clone(), self.hosts.clone());
        self.steps.push(Box::pin(async move {
            let turn = turn(&resolver, &did, lookups, at_once, &hosts).await;
            Step::Turn(did, turn)
        }));
    }

    /// Fetches a repository whose turn it is; what is known of it spares proofs if it is large.
    pub(crate) fn fetch(&self, turn: Turn, known: KnownRecords) {
        let (resolver, scope) = (self.resolver.clone(), self.scope.clone());
        let hosts = self.hosts.clone();
        self.steps.push(Box::pin(async move {
            let did = turn.identity.did.clone();
            let began = Instant::now();
            let span = tracing::info_span!("fetch", %did, host = %turn.identity.pds);
            let fetched = repository::fetch(&resolver, &turn.identity, &scope, &known);
            let fetched = fetched.instrument(span).await;
            if let Err(XrpcFailure::Unreachable(_)) = &fetched
                && began.elapsed() >= SLOW
            {
                let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(host) = hosts.get_mut(turn.identity.pds.as_str()) {
                    host.rests_until = Some(Instant::now() + HOST_REST);
                }
            }
            Step::Done(did, fetched.map_err(FetchFailure::from))
        }));
    }

    /// What happens next; never, if nothing is under way. Cancel safe.
    pub(crate) async fn next(&mut self) -> BackfillEvent {
        match self.steps.next().await {
            Some(Step::Turn(_, Ok(turn))) => BackfillEvent::Turn(turn),
            Some(Step::Turn(did, Err(failure))) => BackfillEvent::Done(did, Err(failure)),
            Some(Step::Done(did, fetched)) => BackfillEvent::Done(did, fetched),
            None => std::future::pending().await,
        }
    }
}

/// Finds the repository's host, and waits until it is its turn there.
async fn turn(
    resolver: &Resolver,
    did: &Did,
    lookups: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    hosts: &Mutex<HashMap<String, Host>>,
) -> Result<Turn, FetchFailure> {
    let closed = |_| FetchFailure::ForNow("the subscription is over".to_owned());
    let identity = {
        let _permit = lookups.acquire().await.map_err(closed)?;
        let resolved = resolver.resolve_did(did).await;
        resolved.map_err(|error| FetchFailure::ForNow(error.to_string()))?
    };
    let of_host = with_host(hosts, identity.pds.as_str(), |host| host.at_once.clone());
    // First the host's, so that who waits for a slow one takes nothing from the others.
    let of_host = of_host.acquire_owned().await.map_err(closed)?;
    let rests = with_host(hosts, identity.pds.as_str(), |host| host.rests_until);
    if rests.is_some_and(|until| Instant::now() < until) {
        let why = format!("{} did not answer a moment ago", identity.pds);
        return Err(FetchFailure::ForNow(why));
    }
    let of_all = at_once.acquire_owned().await.map_err(closed)?;
    Ok(Turn {
        identity,
        _permits: [of_host, of_all],
    })
}

fn with_host<T>(
    hosts: &Mutex<HashMap<String, Host>>,
    pds: &str,
    with: impl FnOnce(&Host) -> T,
) -> T {
    let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
    if !hosts.contains_key(pds) {
        // Those that nobody waits for are forgotten, so that the table is as small as what is under way.
        hosts.retain(|_, host| {
            Arc::strong_count(&host.at_once) > 1
                || host.at_once.available_permits() < FETCHES_PER_HOST
                || host.rests_until.is_some_and(|until| Instant::now() < until)
        });
    }
    with(hosts.entry(pds.to_owned()).or_insert_with(|| Host {
        at_once: Arc::new(Semaphore::new(FETCHES_PER_HOST)),
        rests_until: None,
    }))
}
