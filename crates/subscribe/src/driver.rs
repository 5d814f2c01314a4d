//! The only loop that does I/O: it reads frames and answers, hands them to the engine, and does what
//! the engine asks for. A full delivery queue stops the reading: the reader's pace is the sockets'.

mod hosts;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atcomms_identity::Resolver;
use atcomms_lexicon::{Datetime, Did};
use atcomms_repo::frame::{self, Frame};
use atcomms_store::AccountChange;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use self::hosts::{Host, next_home};
use crate::account::ask_status;
use crate::backfill::{Backfill, BackfillEvent};
use crate::clock::micros;
use crate::connection::Links;
use crate::counters::Counters;
use crate::engine::{AccountStatus, Engine, KeyAnswer, Outcome, Output, SourceIndex};
use crate::homes::Homes;
use crate::lag::{LagWatch, Notice};
use crate::lookups::LookupsAtOnce;
use crate::metrics;
use crate::prover::{Proofs, Prover};
use crate::scope::Scope;
use crate::sink::Sink;
use crate::snapshot::FetchFailure;
use crate::source::{From, Source, SourceEvent, host_of};
use crate::sources::Sources;
use crate::subscription::StreamError;
use crate::sweep::{Sweep, SweepEvent};

/// What a driver watches, how it asks the network, and when it ends.
pub(crate) struct Plan {
    pub(crate) resolver: Resolver,
    pub(crate) scope: Arc<Scope>,
    pub(crate) sources: Vec<Source>,
    /// The followed repositories are watched at their PDSs.
    pub(crate) at_their_pds: bool,
    pub(crate) from: From,
    pub(crate) cursors: Vec<(String, i64)>,
    pub(crate) sweep_every: Duration,
    pub(crate) idle: Option<Duration>,
}

/// How long the end of an idle subscription waits for keys and proofs that are still being looked up.
const KEY_GRACE: Duration = Duration::from_secs(10);

/// How often it is looked whether the last keys are there, once all files are read.
const FILES_OVER: Duration = Duration::from_millis(20);
/// Events that are taken in before it is looked whether anything else has happened: about what one read of
/// a socket holds, and less than a millisecond's worth, as none of them is of interest.
const FRAMES_IN_TURN: usize = 64;
/// Commits that may wait while there are only files to read: what is in a file is not lost by waiting, too.
const HELD_OF_FILES: usize = 128;
/// Frames that are looked at before what was gathered for an inbox is stored: some milliseconds' worth.
const FRAMES_TOGETHER: usize = 4096;

type Statuses = FuturesUnordered<Pin<Box<dyn Future<Output = (Did, AccountStatus)> + Send>>>;
type Lookups = FuturesUnordered<Pin<Box<dyn Future<Output = (Did, KeyAnswer)> + Send>>>;

pub(crate) struct Driver {
    engine: Engine,
    resolver: Resolver,
    from: From,
    /// How far each source was taken in by an earlier run.
    cursors: Vec<(String, i64)>,
    scope: Arc<Scope>,
    /// Where the followed repositories are, if they are watched there.
    homes: Option<Homes>,
    hosts: Vec<Host>,
    events: Sources,
    lookups: Lookups,
    at_once: LookupsAtOnce,
    statuses: Statuses,
    backfill: Backfill,
    sweep: Sweep,
    prover: Prover,
    proofs: Proofs,
    sink: Sink,
    links: watch::Sender<Links>,
    counters: Arc<Counters>,
    idle: Option<Duration>,
    /// There are only files to read.
    only_files: bool,
    /// Since when they wait for keys.
    files_wait_since: Option<Instant>,
    /// Bytes of all frames.
    bytes: u64,
    lag: LagWatch,
    /// The next commit is looked at for its time.
    look: bool,
    /// A file that was not read to its end.
    unread: Option<StreamError>,
}

impl Driver {
    pub(crate) fn new(
        engine: Engine,
        plan: Plan,
        sink: Sink,
        links: watch::Sender<Links>,
        counters: Arc<Counters>,
    ) -> Self {
        let homes = plan.at_their_pds.then(|| {
            let followed = plan.scope.followed();
            Homes::new(plan.resolver.clone(), followed)
        });
        let mut driver = Driver {
            engine,
            backfill: Backfill::new(plan.resolver.clone(), plan.scope.clone()),
            sweep: Sweep::new(plan.resolver.clone(), plan.sweep_every),
            prover: Prover::new(plan.resolver.clone()),
            proofs: Proofs::new(),
            resolver: plan.resolver,
            from: plan.from,
            cursors: plan.cursors,
            scope: plan.scope,
            homes,
            hosts: Vec::new(),
            events: Sources::default(),
            lookups: Lookups::new(),
            at_once: LookupsAtOnce::new(),
            statuses: Statuses::new(),
            sink,
            links,
            counters,
            idle: plan.idle,
            only_files: !plan.at_their_pds && plan.sources.iter().all(Source::is_file),
            files_wait_since: None,
            bytes: 0,
            lag: LagWatch::default(),
            look: true,
            unread: None,
        };
        for source in plan.sources {
            driver.join(&source);
        }
        driver.wanted();
        driver
    }

    /// Runs until the subscriber is gone, the sources are silent for the idle time, or the engine stops.
    pub(crate) async fn run(mut self) {
        let mut last_event = Instant::now();
        let silence = tokio::time::sleep(self.idle.unwrap_or(Duration::MAX / 4));
        tokio::pin!(silence);
        let mut second = tokio::time::interval(metrics::EVERY);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Nothing more comes from files that are read: what waits for a key is all that is left.
            self.pace_files();
            let read = !self.hosts.is_empty() && self.hosts.iter().all(|host| host.ended);
            if read && self.idle != Some(FILES_OVER) {
                self.idle = Some(FILES_OVER);
                silence.as_mut().reset(tokio::time::Instant::now());
            }
            let wake = self
                .engine
                .wake_at()
                .map(|at| Duration::from_micros(at.saturating_sub(micros())));
            tokio::select! {
                biased;
                () = self.sink.closed() => break,
                Some((did, answer)) = self.lookups.next(), if !self.lookups.is_empty() => {
                    self.engine.resolved(&did, answer, micros());
                }
                event = self.backfill.next(), if !self.backfill.is_idle() => self.backfilled(event).await,
                Some((did, status)) = self.statuses.next(), if !self.statuses.is_empty() => {
                    self.engine.status(&did, status, micros());
                    // Where the account is was looked up anew for it.
                    if let Some(homes) = &mut self.homes {
                        homes.look_again(&did);
                    }
                }
                Some(changes) = next_home(&mut self.homes) => self.moved(changes),
                event = self.sweep.next() => self.swept(event),
                Some((did, answer)) = self.proofs.next(), if !self.proofs.is_empty() => {
                    self.engine.proven(&did, answer);
                }
                Some(event) = self.events.next() => {
                    if self.take_in(event, &mut last_event).await.is_none() {
                        break;
                    }
                }
                () = async { tokio::time::sleep(wake.unwrap_or_default()).await }, if wake.is_some() => {
                    self.engine.tick(micros());
                }
                _ = second.tick() => {
                    self.tell();
                    continue;
                }
                () = &mut silence, if self.idle.is_some() => {
                    let idle = self.idle.unwrap_or_default();
                    let until = last_event + idle;
                    let settled = self.lookups.is_empty()
                        && self.proofs.is_empty()
                        && self.backfill.is_idle();
                    if until <= Instant::now() && settled {
                        break;
                    }
                    if until + KEY_GRACE <= Instant::now() {
                        self.engine.give_up(micros());
                        break;
                    }
                    let next = until.max(Instant::now() + idle.min(Duration::from_millis(100)));
                    silence.as_mut().reset(next.into());
                    continue;
                }
            }
            if !self.carry_out().await || !self.gather(&mut last_event).await {
                break;
            }
        }
        if let Some(error) = self.unread.take() {
            self.sink.stopped(error).await;
        }
        self.keep(true).await;
        self.tell();
    }

    /// Tells where it stands: to metrics, and to the log what an operator should know.
    fn tell(&mut self) {
        for notice in self.lag.tick(micros()) {
            match notice {
                Notice::Behind(host, lag) => {
                    let lag = lag.as_secs();
                    tracing::warn!(%host, lag, "its stream is read more slowly than it comes: seconds behind");
                }
                Notice::CaughtUp(host) => tracing::info!(%host, "its stream is up to date again"),
                Notice::Silent(host, silence) => {
                    let silence = silence.as_secs();
                    tracing::warn!(%host, silence, "connected, but nothing came for so many seconds");
                }
                Notice::Heard(host) => tracing::info!(%host, "it is not silent any more"),
            }
        }
        self.look = true;
        let (waiting, summary) = (self.engine.waiting(), self.counters.summary());
        self.counters.set_to_fetch(waiting.to_fetch);
        let name = self.sink.name();
        metrics::tell(name, &summary, self.bytes, waiting, self.lag.least());
    }

    /// What a frame says of the lag, once a second.
    fn look(&mut self, index: SourceIndex, bytes: &[u8], now: u64) {
        self.lag.heard(index, now);
        if let Ok(Frame::Commit(commit)) = frame::decode(bytes)
            && let Ok(at) = commit.time.parse::<Datetime>()
        {
            let at = u64::try_from(at.unix_millis()).unwrap_or(0);
            self.lag.looked(index, at.saturating_mul(1000), now);
            self.look = false;
        }
    }

    /// Takes in what a source brings, and what has arrived behind it, until the engine asks for something:
    /// what else may happen is looked at only once for many frames of no interest. How many events it
    /// were; `None` when the subscription is over.
    async fn take_in(
        &mut self,
        (mut index, mut event): (SourceIndex, SourceEvent),
        last_event: &mut Instant,
    ) -> Option<usize> {
        let (at, now) = (Instant::now(), micros());
        let mut taken = 1;
        loop {
            if let SourceEvent::Frame(_) | SourceEvent::Word(_) = event {
                *last_event = at;
            }
            self.source(index, event, at, now);
            if self.engine.has_output() || taken >= FRAMES_IN_TURN {
                break;
            }
            match self.events.next().now_or_never() {
                Some(Some(next)) => (index, event) = next,
                _ => break,
            }
            taken += 1;
        }
        self.carry_out().await.then(|| {
            self.pace_files();
            taken
        })
    }

    /// Lets files wait while many of their commits wait for keys, but not for longer than they would be waited
    /// for at the end.
    fn pace_files(&mut self) {
        let waiting = self.only_files
            && !self.lookups.is_empty()
            && self.engine.waiting().held >= HELD_OF_FILES;
        self.files_wait_since = match self.files_wait_since {
            _ if !waiting => None,
            since => since.or_else(|| Some(Instant::now())),
        };
        let patient = |since: Instant| since.elapsed() < KEY_GRACE;
        self.events
            .pause(self.files_wait_since.is_some_and(patient));
    }

    /// For an inbox: takes in what is there already, so that many commits share one transaction, and
    /// stores it. False when the subscription is over.
    async fn gather(&mut self, last_event: &mut Instant) -> bool {
        if self.sink.keeper().is_none() {
            return true;
        }
        let mut frames = 0;
        while frames < FRAMES_TOGETHER {
            if self.sink.keeper().is_none_or(|keeper| keeper.is_full()) {
                break;
            }
            let Some(Some(event)) = self.events.next().now_or_never() else {
                break;
            };
            match self.take_in(event, last_event).await {
                Some(taken) => frames += taken,
                None => return false,
            }
        }
        self.keep(false).await;
        true
    }

    /// For an inbox: stores what was gathered, and how far the sources are taken in.
    async fn keep(&mut self, last: bool) {
        let Some(keeper) = self.sink.keeper() else {
            return;
        };
        let cursors = self.hosts.iter().enumerate().filter_map(|(index, host)| {
            let seq = match self.engine.first_unsettled(index) {
                Some(first) => first.checked_sub(1)?,
                None => host.progress.get()?,
            };
            Some((host.name.to_string(), seq))
        });
        keeper.store(cursors.collect(), last).await;
    }

    /// Does what the engine asks for; false when the subscription is over.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Deliver(delivery) => {
                    if !self.sink.deliver(delivery).await {
                        return false;
                    }
                }
                Output::Undecodable(undecodable) => {
                    if !self.sink.undecodable(undecodable).await {
                        return false;
                    }
                }
                Output::Settled { outcome, .. } => self.sink.settled(outcome),
                Output::Resynced(verified) => {
                    self.sink.settled(Outcome::Verified(verified));
                    self.counters.set_to_fetch(self.engine.waiting().to_fetch);
                }
                Output::Broken { did } => self.sink.broken(did),
                Output::AskStatus { did } => {
                    let asked = ask_status(self.resolver.clone(), did);
                    self.statuses.push(Box::pin(asked));
                }
                Output::Pause { did } => self.sink.account(did, AccountChange::Pause),
                Output::Resume { did } => self.sink.account(did, AccountChange::Resume),
                Output::Purge { did } => self.sink.account(did, AccountChange::Purge),
                Output::Fetch { did } => self.backfill.want(did),
                Output::Sweep => self.sweep.round(self.engine.followed(), true),
                Output::Resolve { did, fresh, after } => self.look_up(did, fresh, after),
                Output::Prove(question) => {
                    let answer = self.prover.clone().answer(question);
                    self.proofs.push(Box::pin(answer));
                }
                Output::Forget { did } => {
                    self.resolver.forget(&did).await;
                    if let Some(homes) = &mut self.homes {
                        homes.look_again(&did);
                    }
                }
                Output::Stop { source, error } => {
                    let Some(host) = self.hosts.get_mut(source) else {
                        continue;
                    };
                    tracing::error!(host = %host.name, "the host refused to stream: {error}");
                    host.progress.stop();
                    host.refused = true;
                    let host = host.name.to_string();
                    if self.hosts.iter().all(|host| host.refused || host.left) {
                        self.sink
                            .stopped(StreamError::Refused { host, error })
                            .await;
                        return false;
                    }
                }
            }
        }
        true
    }

    /// A repository that was asked for comes to its turn, or is here.
    async fn backfilled(&mut self, event: BackfillEvent) {
        match event {
            BackfillEvent::Turn(turn) => {
                self.engine.fetching(turn.did(), micros());
                // Only to spare proofs: what counts is what is known when it is here.
                let known = self.sink.known(turn.did()).await.unwrap_or_default();
                self.backfill.fetch(turn, known);
            }
            BackfillEvent::Done(did, Ok(snapshot)) => {
                self.keep(false).await;
                let answer = match self.sink.known(&did).await {
                    Ok(known) if snapshot.tells_all_but(&known) => Ok((snapshot, known)),
                    Ok(_) => Err(FetchFailure::ForNow(
                        "it was written while it was read".to_owned(),
                    )),
                    Err(error) => Err(FetchFailure::ForNow(error.to_string())),
                };
                self.engine.fetched(&did, answer, micros());
            }
            BackfillEvent::Done(did, Err(failure)) => {
                self.engine.fetched(&did, Err(failure), micros());
            }
        }
    }

    fn swept(&mut self, event: SweepEvent) {
        match event {
            SweepEvent::Due => self.sweep.round(self.engine.followed(), false),
            SweepEvent::Latest(latest) => {
                for (did, rev) in latest {
                    self.engine.swept(&did, rev, micros());
                }
            }
        }
    }

    fn look_up(&self, did: Did, fresh: bool, after: Duration) {
        let named = self.engine.vouched_for(did.as_str());
        let (resolver, at_once) = (self.resolver.clone(), self.at_once.of(&did, named));
        self.lookups.push(Box::pin(async move {
            // A timer takes a millisecond even for no time at all.
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            // Never closed; without a permit it would only be one more at once.
            let _permit = at_once.acquire().await.ok();
            let resolved = if fresh {
                resolver.refresh(&did).await
            } else {
                resolver.resolve_did(&did).await
            };
            let answer = match resolved {
                Ok(identity) => KeyAnswer::Key(identity.key, host_of(&identity.pds).into()),
                Err(_) if atcomms_lexicon::fault::on("resolver-down") => {
                    KeyAnswer::None(String::new())
                }
                Err(error) if error.is_transient() => KeyAnswer::Unavailable(error.to_string()),
                Err(error) => KeyAnswer::None(error.to_string()),
            };
            (did, answer)
        }));
    }
}
