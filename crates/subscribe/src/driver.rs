//! The only loop that does I/O: it reads frames and answers, hands them to the engine, and does what
//! the engine asks for. A full delivery queue stops the reading: the reader's pace is the sockets'.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atcomms_identity::Resolver;
use atcomms_lexicon::Did;
use futures::stream::{FuturesUnordered, SelectAll};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::watch;
use url::Url;

use crate::backfill::{Backfill, BackfillEvent};
use crate::clock::micros;
use crate::connection::Links;
use crate::counters::Counters;
use crate::engine::{Engine, KeyAnswer, Output, SourceIndex};
use crate::lookups::LookupsAtOnce;
use crate::scope::Scope;
use crate::sink::Sink;
use crate::snapshot::FetchFailure;
use crate::source::SourceEvent;
use crate::source::firehose::Progress;
use crate::subscription::StreamError;
use crate::sweep::{Sweep, SweepEvent};

/// One source as the driver drives it.
pub(crate) struct Feed {
    pub(crate) host: Arc<str>,
    pub(crate) progress: Progress,
    pub(crate) events: Pin<Box<dyn Stream<Item = SourceEvent> + Send>>,
}

/// How a driver asks the network, and when it ends.
pub(crate) struct Plan {
    pub(crate) resolver: Resolver,
    pub(crate) scope: Arc<Scope>,
    pub(crate) sweep_every: Duration,
    pub(crate) idle: Option<Duration>,
}

/// A source as it is known while it runs.
struct Host {
    name: Arc<str>,
    progress: Progress,
    up: bool,
    /// It refused us for good.
    refused: bool,
    /// It was a file, which is read.
    ended: bool,
}

/// How long the end of an idle subscription waits for keys that are still being looked up.
const KEY_GRACE: Duration = Duration::from_secs(10);

/// How often it is looked whether the last keys are there, once all files are read.
const FILES_OVER: Duration = Duration::from_millis(20);
/// Frames that are looked at before what was gathered for an inbox is stored: some milliseconds' worth.
const FRAMES_TOGETHER: usize = 4096;

type Events = SelectAll<Pin<Box<dyn Stream<Item = (SourceIndex, SourceEvent)> + Send>>>;
type Lookups = FuturesUnordered<Pin<Box<dyn Future<Output = (Did, KeyAnswer)> + Send>>>;

pub(crate) struct Driver {
    engine: Engine,
    resolver: Resolver,
    hosts: Vec<Host>,
    events: Events,
    lookups: Lookups,
    at_once: LookupsAtOnce,
    backfill: Backfill,
    sweep: Sweep,
    sink: Sink,
    links: watch::Sender<Links>,
    counters: Arc<Counters>,
    idle: Option<Duration>,
    /// A file that was not read to its end.
    unread: Option<StreamError>,
}

impl Driver {
    pub(crate) fn new(
        engine: Engine,
        plan: Plan,
        feeds: Vec<Feed>,
        sink: Sink,
        links: watch::Sender<Links>,
        counters: Arc<Counters>,
    ) -> Self {
        let mut hosts = Vec::new();
        let mut events = Events::new();
        for (index, feed) in feeds.into_iter().enumerate() {
            hosts.push(Host {
                name: feed.host,
                progress: feed.progress,
                up: false,
                refused: false,
                ended: false,
            });
            events.push(feed.events.map(move |event| (index, event)).boxed());
        }
        Driver {
            engine,
            backfill: Backfill::new(plan.resolver.clone(), plan.scope),
            sweep: Sweep::new(plan.resolver.clone(), plan.sweep_every),
            resolver: plan.resolver,
            hosts,
            events,
            lookups: Lookups::new(),
            at_once: LookupsAtOnce::new(),
            sink,
            links,
            counters,
            idle: plan.idle,
            unread: None,
        }
    }

    /// Runs until the subscriber is gone, the sources are silent for the idle time, or the engine stops.
    pub(crate) async fn run(mut self) {
        let mut last_event = Instant::now();
        let silence = tokio::time::sleep(self.idle.unwrap_or(Duration::MAX / 4));
        tokio::pin!(silence);
        loop {
            // Nothing more comes from files that are read: what waits for a key is all that is left.
            if self.hosts.iter().all(|host| host.ended) && self.idle != Some(FILES_OVER) {
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
                event = self.sweep.next() => self.swept(event),
                Some((index, event)) = self.events.next() => {
                    if let SourceEvent::Frame(_) = event {
                        last_event = Instant::now();
                    }
                    self.source(index, event, last_event);
                }
                () = async { tokio::time::sleep(wake.unwrap_or_default()).await }, if wake.is_some() => {
                    self.engine.tick(micros());
                }
                () = &mut silence, if self.idle.is_some() => {
                    let idle = self.idle.unwrap_or_default();
                    let until = last_event + idle;
                    if until <= Instant::now() && self.lookups.is_empty() && self.backfill.is_idle() {
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
    }

    /// For an inbox: takes in what is there already, so that many commits share one transaction, and
    /// stores it. False when the subscription is over.
    async fn gather(&mut self, last_event: &mut Instant) -> bool {
        if self.sink.keeper().is_none() {
            return true;
        }
        for _ in 0..FRAMES_TOGETHER {
            if self.sink.keeper().is_none_or(|keeper| keeper.is_full()) {
                break;
            }
            let Some(Some((index, event))) = self.events.next().now_or_never() else {
                break;
            };
            if let SourceEvent::Frame(_) = event {
                *last_event = Instant::now();
            }
            self.source(index, event, *last_event);
            if !self.carry_out().await {
                return false;
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

    fn source(&mut self, index: SourceIndex, event: SourceEvent, now: Instant) {
        let Some(host) = self.hosts.get_mut(index) else {
            return;
        };
        match event {
            SourceEvent::Frame(bytes) => {
                self.counters.frame(now);
                if let Some(seq) = self.engine.frame(index, bytes, micros()) {
                    host.progress.set(seq);
                }
                return;
            }
            SourceEvent::TooLarge => {
                tracing::warn!(host = %host.name, "a frame is too large to be read; going on behind it");
                self.counters.frame(now);
                self.counters.rejected("frame_too_large");
                if std::mem::replace(&mut host.up, false) {
                    self.engine.disconnected();
                }
            }
            SourceEvent::Connected => {
                tracing::info!(host = %host.name, "connected");
                if !std::mem::replace(&mut host.up, true) {
                    self.engine.connected(micros());
                }
            }
            SourceEvent::Disconnected(why) => {
                tracing::warn!(host = %host.name, "not connected: {why}; trying again");
                if std::mem::replace(&mut host.up, false) {
                    self.engine.disconnected();
                }
            }
            SourceEvent::Ended(error) => {
                host.ended = true;
                if let Some(error) = error {
                    let file = host.name.to_string();
                    self.unread
                        .get_or_insert(StreamError::Unread { file, error });
                }
            }
        }
        let up = self.hosts.iter().filter(|host| host.up).count();
        self.links.send_modify(|links| {
            *links = Links {
                up,
                ever: links.ever || up > 0,
            }
        });
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
                Output::Settled { verified, .. } => self.sink.settled(verified),
                Output::Resynced(verified) => self.sink.settled(Some(verified)),
                Output::Broken { did } => self.sink.broken(did),
                Output::Fetch { did } => self.backfill.want(did),
                Output::Sweep => self.sweep.round(self.engine.followed(), true),
                Output::Resolve { did, fresh, after } => self.look_up(did, fresh, after),
                Output::Forget { did } => self.resolver.forget(&did).await,
                Output::Stop { source, error } => {
                    let Some(host) = self.hosts.get_mut(source) else {
                        continue;
                    };
                    tracing::error!(host = %host.name, "the host refused to stream: {error}");
                    host.progress.stop();
                    host.refused = true;
                    let host = host.name.to_string();
                    if self.hosts.iter().all(|host| host.refused) {
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
            tokio::time::sleep(after).await;
            // Never closed; without a permit it would only be one more at once.
            let _permit = at_once.acquire().await.ok();
            let resolved = if fresh {
                resolver.refresh(&did).await
            } else {
                resolver.resolve_did(&did).await
            };
            let answer = match resolved {
                Ok(identity) => KeyAnswer::Key(identity.key, host(&identity.pds).into()),
                Err(error) if error.is_transient() => KeyAnswer::Unavailable(error.to_string()),
                Err(error) => KeyAnswer::None(error.to_string()),
            };
            (did, answer)
        }));
    }
}

/// A server by name, and by port if it has one of its own: what it answers for.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
