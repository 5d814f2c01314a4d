//! The only loop that does I/O: it reads frames and answers, hands them to the engine, and does what
//! the engine asks for. A full delivery queue stops the reading: the reader's pace is the sockets'.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atcomms_identity::Resolver;
use atcomms_lexicon::Did;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{Semaphore, watch};

use crate::clock::micros;
use crate::connection::Links;
use crate::counters::Counters;
use crate::engine::{Engine, KeyAnswer, Output, SourceIndex};
use crate::sink::Sink;
use crate::source::SourceEvent;
use crate::source::firehose::Progress;
use crate::sources::Sources;
use crate::subscription::StreamError;

/// One source as the driver drives it.
pub(crate) struct Feed {
    pub(crate) host: Arc<str>,
    pub(crate) progress: Progress,
    pub(crate) events: Pin<Box<dyn Stream<Item = SourceEvent> + Send>>,
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

/// Look-ups at once: authors are strangers, and must not make us flood a directory or their hosts.
const LOOKUPS_AT_ONCE: usize = 32;
/// How long the end of an idle subscription waits for keys that are still being looked up.
const KEY_GRACE: Duration = Duration::from_secs(10);

/// How often it is looked whether the last keys are there, once all files are read.
const FILES_OVER: Duration = Duration::from_millis(20);
/// Events that are taken in before it is looked whether anything else has happened: about what one read of
/// a socket holds, and less than a millisecond's worth, as none of them is of interest.
const FRAMES_IN_TURN: usize = 64;
/// Frames that are looked at before what was gathered for an inbox is stored: some milliseconds' worth.
const FRAMES_TOGETHER: usize = 4096;

type Lookups = FuturesUnordered<Pin<Box<dyn Future<Output = (Did, KeyAnswer)> + Send>>>;

pub(crate) struct Driver {
    engine: Engine,
    resolver: Resolver,
    hosts: Vec<Host>,
    events: Sources,
    lookups: Lookups,
    at_once: Arc<Semaphore>,
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
        resolver: Resolver,
        feeds: Vec<Feed>,
        sink: Sink,
        links: watch::Sender<Links>,
        counters: Arc<Counters>,
        idle: Option<Duration>,
    ) -> Self {
        let mut hosts = Vec::new();
        let mut events = Vec::new();
        for feed in feeds {
            hosts.push(Host {
                name: feed.host,
                progress: feed.progress,
                up: false,
                refused: false,
                ended: false,
            });
            events.push(feed.events);
        }
        Driver {
            engine,
            resolver,
            hosts,
            events: Sources::new(events),
            lookups: Lookups::new(),
            at_once: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            sink,
            links,
            counters,
            idle,
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
                Some(event) = self.events.next() => {
                    if self.take_in(event, &mut last_event).await.is_none() {
                        break;
                    }
                }
                () = async { tokio::time::sleep(wake.unwrap_or_default()).await }, if wake.is_some() => {
                    self.engine.tick(micros());
                }
                () = &mut silence, if self.idle.is_some() => {
                    let idle = self.idle.unwrap_or_default();
                    let until = last_event + idle;
                    if until <= Instant::now() && self.lookups.is_empty() {
                        break;
                    }
                    if until + KEY_GRACE <= Instant::now() {
                        self.engine.give_up();
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
            if let SourceEvent::Frame(_) = event {
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
        self.carry_out().await.then_some(taken)
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

    fn source(&mut self, index: SourceIndex, event: SourceEvent, at: Instant, now: u64) {
        let Some(host) = self.hosts.get_mut(index) else {
            return;
        };
        match event {
            SourceEvent::Frame(bytes) => {
                self.counters.frame(at);
                if let Some(seq) = self.engine.frame(index, bytes, now) {
                    host.progress.set(seq);
                }
                return;
            }
            SourceEvent::TooLarge => {
                tracing::warn!(host = %host.name, "a frame is too large to be read; going on behind it");
                self.counters.frame(at);
                self.counters.rejected("frame_too_large");
                host.up = false;
            }
            SourceEvent::Connected => {
                tracing::info!(host = %host.name, "connected");
                host.up = true;
            }
            SourceEvent::Disconnected(why) => {
                tracing::warn!(host = %host.name, "not connected: {why}; trying again");
                host.up = false;
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
                Output::Settled { head, .. } => {
                    if let Some(keeper) = self.sink.keeper() {
                        keeper.settled(head);
                    }
                }
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

    fn look_up(&self, did: Did, fresh: bool, after: Duration) {
        let (resolver, at_once) = (self.resolver.clone(), self.at_once.clone());
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
                Ok(identity) => KeyAnswer::Key(identity.key),
                Err(error) if error.is_transient() => KeyAnswer::Unavailable(error.to_string()),
                Err(error) => KeyAnswer::None(error.to_string()),
            };
            (did, answer)
        }));
    }
}
