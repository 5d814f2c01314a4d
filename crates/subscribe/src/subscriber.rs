//! Says what to watch, and starts watching.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use atcomms_identity::Resolver;
use atcomms_lexicon::Did;
use atcomms_repo::frame::Action;
use atcomms_repo::verify::Head;
use atcomms_store::{Store, StoreError};
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use crate::admission::Admission;
use crate::clock::micros;
use crate::connection::{Connection, Links};
use crate::counters::Counters;
use crate::driver::{Driver, Plan};
use crate::durable::Durable;
use crate::engine::{Engine, Resyncs, Standing};
use crate::known::Known;
use crate::room::Room;
use crate::scope::{CollectionPattern, Scope, Who};
use crate::sink::Sink;
use crate::source::{From, Source};
use crate::subscription::Subscription;
use crate::sweep::SWEEP_EVERY;
use crate::trust::Trust;

/// Deliveries that wait for the subscriber; when it is full, reading pauses. Enough to keep a consumer
/// busy while the next socket read is parsed. Their bytes are bounded, too ([`Room`]).
const DELIVERIES_WAITING: usize = 256;

/// Why a [`Subscriber`] does not start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There is nothing to watch.
    #[error("no source to watch: name the host of a PDS, of a relay or of a Jetstream")]
    NoSource,
    /// Nobody is watched.
    #[error("the list of peers that are not blocked is empty: name at least one, or use anyone()")]
    NoPeers,
    /// The store of a durable consumer fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Says what to watch; [`Subscriber::start`] begins. The default is every `agent.comms.*` record of
/// anyone, live, delivered only if verified.
#[derive(Clone, Debug)]
#[must_use = "nothing is watched until `start`"]
pub struct Subscriber {
    resolver: Resolver,
    sources: Vec<Source>,
    from: From,
    who: Who,
    admission: Admission,
    left_out: Vec<Did>,
    collections: Vec<CollectionPattern>,
    actions: Vec<Action>,
    trust: Trust,
    idle: Option<Duration>,
    at_their_pds: bool,
    sweep_every: Duration,
}

impl Subscriber {
    /// A subscriber that looks up the authors' keys through this resolver.
    pub fn new(resolver: Resolver) -> Self {
        Subscriber {
            resolver,
            sources: Vec::new(),
            from: From::Live,
            who: Who::Anyone,
            admission: Admission::new(),
            left_out: Vec::new(),
            collections: Vec::new(),
            actions: Vec::new(),
            trust: Trust::Verified,
            idle: None,
            at_their_pds: false,
            sweep_every: SWEEP_EVERY,
        }
    }

    /// Watches this host, too. What several hosts bring is delivered once.
    pub fn source(mut self, source: Source) -> Self {
        // Several peers may share a PDS: one socket serves them all.
        if self
            .sources
            .iter()
            .all(|other| other.host() != source.host())
        {
            self.sources.push(source);
        }
        self
    }

    /// Watches each followed peer at its PDS, without a relay: a PDS joins when the first of them is there, and
    /// leaves when the last has moved away. It counts only for the accounts whose documents name it. Nobody
    /// who is not followed is heard this way.
    pub fn at_their_pds(mut self) -> Self {
        self.at_their_pds = true;
        self
    }

    /// Where in the stream to begin.
    pub fn from(mut self, from: From) -> Self {
        self.from = from;
        self
    }

    /// Only these repositories; every commit of theirs is verified.
    pub fn peers(mut self, peers: impl IntoIterator<Item = Did>) -> Self {
        self.who = Who::Peers(HashSet::from_iter(peers));
        self
    }

    /// Everybody who writes records of our collections, as far as the [admission](Self::admission) lets in.
    pub fn anyone(mut self) -> Self {
        self.who = Who::Anyone;
        self
    }

    /// The same, and these repositories as if only they were named: every commit of theirs is verified, what
    /// is missed of them is fetched, and no budget counts for them.
    pub fn anyone_and(mut self, peers: impl IntoIterator<Item = Did>) -> Self {
        self.who = Who::AnyoneAnd(HashSet::from_iter(peers));
        self
    }

    /// Who may write to us, and how much; the budgets of [`Admission::new`] by default. Its blocks count for
    /// everybody, also for who is followed by name; the rest only for who is not.
    pub fn admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// Delivers nothing that these write, such as the subscriber's own messages. The commits of one that is
    /// followed by name are verified all the same.
    pub fn leave_out(mut self, authors: impl IntoIterator<Item = Did>) -> Self {
        self.left_out.extend(authors);
        self
    }

    /// Also this collection, or all below this prefix. None given: all of `agent.comms.*`.
    pub fn collection(mut self, pattern: CollectionPattern) -> Self {
        self.collections.push(pattern);
        self
    }

    /// Also this action. None given: all.
    pub fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// The least trust that is delivered. What a Jetstream says is delivered as it is with
    /// [`Trust::Jetstream`]; else it is raised to [`Trust::Verified`] by a proof from its author's PDS, and
    /// what the proof does not confirm is counted: `superseded` if the repository proves something else, which
    /// it may have become since, `unproven` if no proof was to be had.
    pub fn trust(mut self, least: Trust) -> Self {
        self.trust = least;
        self
    }

    /// Ends the stream after this long without a frame from any source.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// How often the PDSs of the followed repositories are asked for what the stream did not bring;
    /// [`SWEEP_EVERY`] by default. It is also asked whenever a source is connected.
    pub fn sweep_every(mut self, every: Duration) -> Self {
        self.sweep_every = every.max(Duration::from_secs(1));
        self
    }

    /// Keeps what is delivered in a store, under a name, until it is acknowledged: the next subscription
    /// of this name, in this process or another, goes on where this one was.
    pub fn durable(self, store: Store, name: impl Into<String>) -> Durable {
        Durable::new(self, store, name.into())
    }

    /// Starts watching, within a Tokio runtime.
    ///
    /// # Errors
    /// There is no source, or the list of peers is empty.
    pub fn start(self) -> Result<Subscription, SubscribeError> {
        self.check()?;
        let (items, received) = mpsc::channel(DELIVERIES_WAITING);
        let room = Room::new();
        let (links, seen) = watch::channel(Links::default());
        let connection = Connection::new(seen);
        let counters = Arc::new(Counters::new());
        let driver = self.drive(
            Sink::Hands {
                items,
                room: room.clone(),
                known: Known::default(),
            },
            Before {
                started_at: micros(),
                ..Before::default()
            },
            links,
            counters.clone(),
        );
        let task = tokio::spawn(driver.run().instrument(tracing::info_span!("subscription")));
        Ok(Subscription::new(
            received, room, connection, counters, task,
        ))
    }

    pub(crate) fn begins_live(&self) -> bool {
        self.from == From::Live
    }

    /// How many repositories are followed by name.
    pub(crate) fn followed(&self) -> usize {
        self.who.followed().map_or(0, HashSet::len)
    }

    /// Whose repositories are in scope, without those that are blocked.
    fn who(&self) -> Who {
        let blocks = &self.admission.blocks;
        self.who.clone().without(|did| blocks.contains(did))
    }

    pub(crate) fn check(&self) -> Result<(), SubscribeError> {
        if self.sources.is_empty() && !self.at_their_pds {
            return Err(SubscribeError::NoSource);
        }
        if matches!(self.who(), Who::Peers(peers) if peers.is_empty()) {
            return Err(SubscribeError::NoPeers);
        }
        Ok(())
    }

    /// Puts the parts together, to go on from what was before.
    pub(crate) fn drive(
        &self,
        sink: Sink,
        before: Before,
        links: watch::Sender<Links>,
        counters: Arc<Counters>,
    ) -> Driver {
        let (collections, actions) = (self.collections.clone(), self.actions.clone());
        let scope = Scope::new(self.who(), collections, actions);
        let scope = Arc::new(scope.leave_out(self.left_out.iter().cloned()));
        let resyncs = Resyncs {
            allowed: self
                .sources
                .iter()
                .any(|source| source.tells_all(self.trust)),
            begins_live: self.begins_live().then_some(before.started_at),
            began_live: before.began_live,
        };
        let mut engine = Engine::new(
            scope.clone(),
            self.admission.clone(),
            self.trust,
            resyncs,
            counters.clone(),
        );
        for (did, head, standing) in &before.heads {
            engine.remember(did, *head, *standing);
        }
        for did in &before.paused {
            engine.remember_paused(did);
        }
        engine.begin(micros());
        let plan = Plan {
            resolver: self.resolver.clone(),
            scope,
            sources: self.sources.clone(),
            at_their_pds: self.at_their_pds,
            from: self.from,
            cursors: before.cursors,
            sweep_every: self.sweep_every,
            idle: self.idle,
        };
        Driver::new(engine, plan, sink, links, counters)
    }
}

/// What an earlier run of the same subscription came to.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// How far each host's stream was taken in.
    pub(crate) cursors: Vec<(String, i64)>,
    /// The repositories that were verified.
    pub(crate) heads: Vec<(Did, Head, Standing)>,
    /// Accounts whose events are paused.
    pub(crate) paused: Vec<Did>,
    /// When this run was started, in microseconds.
    pub(crate) started_at: u64,
    /// When it began with what was live then, in microseconds, if it did.
    pub(crate) began_live: Option<u64>,
}
