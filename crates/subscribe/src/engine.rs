//! Decides, frame by frame, what is delivered. Sans-IO: frames, answers and the time go in, deliveries
//! and questions come out of [`Engine::poll`]; no sockets, no clock, no tasks.
//!
//! A commit in scope waits here, bounded, while its author's key is looked up; commits of other
//! repositories pass it. The commits of one repository never overtake each other. What a Jetstream says is
//! no commit, and goes its own way: [`hearsay`], and for its proof [`raising`].

mod account;
mod admit;
mod backlog;
mod control;
mod difference;
mod hearsay;
mod held;
mod judgement;
mod missing;
mod order;
mod output;
mod raising;
mod repository;
mod resync;
mod said;
#[cfg(test)]
mod tests;
mod unsettled;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::{Did, Tid};
use atcomms_repo::frame::{self, Frame, Kind};
use atcomms_repo::verify::Head;
use bytes::Bytes;

pub(crate) use self::account::AccountStatus;
use self::account::Accounts;
use self::admit::Gate;
use self::backlog::Backlog;
use self::hearsay::Hearsay;
use self::held::is_recent;
use self::order::{HISTORY_MICROS, Order, Ticket};
pub(crate) use self::output::{KeyAnswer, Outcome, Output, Resyncs, Verified, Waiting};
use self::raising::Raising;
pub(crate) use self::raising::{ProofAnswer, Question};
pub(crate) use self::repository::Standing;
use self::repository::{Held, Key, Repositories};
use self::unsettled::Unsettled;
use crate::admission::Admission;
use crate::counters::Counters;
use crate::scope::Scope;
use crate::trust::Trust;

/// Which of the subscription's sources.
pub(crate) type SourceIndex = usize;

/// A key is asked for again after this long, while the old one goes on to count. The resolver caches,
/// too; an `#identity` event or a signature that fails is what shows a rotation at once.
const KEY_TTL_MICROS: u64 = 10 * 60 * 1_000_000;
/// One frame in so many is looked at for its time: decoding one costs as much as passing over some ten.
const LOOK_EVERY: u32 = 64;

/// A source, as an engine knows it.
#[derive(Debug)]
struct Named {
    name: Arc<str>,
    /// The PDS whose accounts alone it counts for, if it does not count for all.
    own: Option<Arc<str>>,
}

#[derive(Debug)]
pub(crate) struct Engine {
    scope: Arc<Scope>,
    gate: Gate,
    resyncs: Resyncs,
    backlog: Backlog,
    accounts: Accounts,
    /// Commits that were of interest, so far.
    in_scope: u64,
    /// Commit frames of no interest since one was looked at for its time.
    passed: u32,
    required: Trust,
    sources: Vec<Named>,
    repositories: Repositories,
    held_bytes: usize,
    questions: VecDeque<Output>,
    order: Order,
    unsettled: Unsettled,
    hearsay: Hearsay,
    raising: Raising,
    counters: Arc<Counters>,
}

impl Engine {
    pub(crate) fn new(
        scope: Arc<Scope>,
        admission: Admission,
        required: Trust,
        resyncs: Resyncs,
        counters: Arc<Counters>,
    ) -> Self {
        Engine {
            scope,
            gate: Gate::new(admission),
            resyncs,
            backlog: Backlog::default(),
            accounts: Accounts::default(),
            in_scope: 0,
            passed: 0,
            required,
            sources: Vec::new(),
            repositories: Repositories::default(),
            held_bytes: 0,
            questions: VecDeque::new(),
            order: Order::default(),
            unsettled: Unsettled::default(),
            hearsay: Hearsay::default(),
            raising: Raising::default(),
            counters,
        }
    }

    /// One more source; if it is one account's choice, the PDS whose accounts alone it counts for.
    pub(crate) fn add_source(&mut self, name: Arc<str>, own: Option<Arc<str>>) -> SourceIndex {
        self.sources.push(Named { name, own });
        self.sources.len() - 1
    }

    fn name_of(&self, source: SourceIndex) -> Arc<str> {
        let source = self.sources.get(source);
        source.map(|source| source.name.clone()).unwrap_or_default()
    }

    /// Whether a source does not count for this repository: its document names another PDS.
    fn is_stray(&mut self, source: SourceIndex, did: &Did) -> bool {
        let Some(Some(own)) = self.sources.get(source).map(|source| &source.own) else {
            return false;
        };
        let repository = self.repositories.get_mut(did);
        repository.is_some_and(|known| known.host.as_ref().is_some_and(|host| host != own))
    }

    /// Takes in what was verified by an earlier run.
    pub(crate) fn remember(&mut self, did: &Did, head: Head, standing: Standing) {
        let followed = self.scope.follows(did.as_str());
        let repository = self.repositories.entry(did, followed);
        repository.head = Some(head);
        repository.standing = standing;
    }

    /// The first commit of a source that is not settled yet, by its sequence number.
    pub(crate) fn first_unsettled(&self, source: SourceIndex) -> Option<i64> {
        if atcomms_lexicon::fault::on("unsettled") {
            return None;
        }
        self.unsettled.first(source)
    }

    pub(crate) fn waiting(&self) -> Waiting {
        Waiting {
            in_scope: self.in_scope,
            held: self.unsettled.len(),
            held_bytes: self.held_bytes,
            to_fetch: self.backlog.len(),
        }
    }

    /// What to do next: questions first, then deliveries in their order.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        let output = self.questions.pop_front().or_else(|| self.order.pop());
        if let Some(Output::Settled { source, seq, .. }) = &output {
            self.unsettled.remove((*source, *seq));
        }
        output
    }

    /// Whether [`Engine::poll`] has anything to say.
    pub(crate) fn has_output(&self) -> bool {
        !self.questions.is_empty() || self.order.is_ready()
    }

    /// When [`Engine::tick`] has something to do, in microseconds.
    pub(crate) fn wake_at(&self) -> Option<u64> {
        let wakes = [
            self.order.wake_at(),
            self.backlog.wake_at(),
            self.accounts.wake_at(),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: u64) {
        self.order.expire(now);
        self.resync_tick(now);
        self.ask_again(now);
    }

    /// Takes in one frame; gives its sequence number, if it has one.
    pub(crate) fn frame(&mut self, source: SourceIndex, bytes: Bytes, now: u64) -> Option<i64> {
        self.order.expire(now);
        self.backlog.frame(now);
        let peek = match frame::peek(&bytes) {
            Ok(peek) => peek,
            Err(error) => {
                tracing::debug!(%error, "a frame was skipped");
                self.counters.rejected(error.reason());
                return None;
            }
        };
        let seq = peek.seq();
        match peek.kind() {
            Kind::Commit => {
                self.look_at_the_time(&bytes, now);
                let did = peek.did().unwrap_or_default();
                if self.scope.wants_commit(did, peek.op_paths())
                    && self.lets_in(did, peek.op_paths(), now)
                {
                    self.in_scope += 1;
                    match did.parse::<Did>() {
                        Ok(did) => {
                            let held = Held {
                                source,
                                seq: seq.unwrap_or_default(),
                                bytes,
                                ticket: None,
                            };
                            let of = (source, held.seq);
                            self.unsettled.add(of);
                            if !self.commit(held, did, now) {
                                self.unsettled.remove(of);
                            }
                        }
                        Err(_) => self.counters.rejected("did_syntax"),
                    }
                }
            }
            Kind::Unknown => {}
            _ => self.control(source, &bytes, now),
        }
        seq
    }

    /// Looks at the time of a frame now and then, while the stream tells of the past.
    fn look_at_the_time(&mut self, bytes: &[u8], now: u64) {
        if !self.resyncs.allowed || self.backlog.has_caught_up() {
            return;
        }
        self.passed = self.passed.wrapping_add(1);
        if self.passed % LOOK_EVERY == 1
            && let Ok(Frame::Commit(commit)) = frame::decode(bytes)
            && let Ok(rev) = commit.rev.parse::<Tid>()
            && rev.micros().saturating_add(HISTORY_MICROS) >= now
        {
            self.backlog.catch_up();
        }
    }

    /// The subscription ends: what waits for its repository goes out, and what still waits for its author's
    /// key is counted as refused.
    pub(crate) fn give_up(&mut self, now: u64) {
        for did in self.scope.followed() {
            self.let_go(&did, now);
        }
        for _ in 0..self.repositories.held() {
            self.counters.rejected("no_key");
        }
        for _ in 0..self.raising.waiting() {
            self.counters.rejected("unproven");
        }
    }

    /// False if nothing more will be heard of it.
    fn commit(&mut self, mut held: Held, did: Did, now: u64) -> bool {
        let followed = self.scope.follows(did.as_str());
        let repository = self.repositories.entry(&did, followed);
        let fetched = repository.is_fetched();
        let ready = match &mut repository.key {
            Key::Known { key, since, fresh } if repository.held.is_empty() && !fetched => {
                if now.saturating_sub(*since) > KEY_TTL_MICROS {
                    *since = now;
                    let (did, after) = (did.clone(), Duration::ZERO);
                    self.questions.push_back(Output::Resolve {
                        did,
                        fresh: false,
                        after,
                    });
                }
                Some((key.clone(), is_recent(*fresh, now)))
            }
            _ => None,
        };
        let Some((key, fresh)) = ready else {
            return self.hold(held, did, followed, now);
        };
        // With the key at hand and nobody waiting, there is nothing to wait for.
        if !self.order.is_empty() {
            held.ticket = self.ticket(&did, &held.bytes, now);
        }
        self.judge(held, &did, Some(&key), fresh, now);
        true
    }

    /// A place in the queue for history, and for what comes after history of its own repository.
    fn ticket(&mut self, did: &Did, bytes: &[u8], now: u64) -> Option<Ticket> {
        let rev = match frame::decode(bytes) {
            Ok(Frame::Commit(commit)) => commit.rev.parse().ok(),
            _ => None,
        };
        self.place(did, rev.unwrap_or(Tid::from_parts(now, 0)), now)
    }

    /// The same for what has this rev.
    fn place(&mut self, did: &Did, rev: Tid, now: u64) -> Option<Ticket> {
        let followed = self.scope.follows(did.as_str());
        let repository = self.repositories.entry(did, followed);
        let behind = repository
            .last_ticket
            .is_some_and(|ticket| self.order.waits(ticket));
        let history = rev.micros().saturating_add(HISTORY_MICROS) < now;
        if !(history || behind) {
            return None;
        }
        repository.last_ticket = Some(self.order.take_place(now));
        repository.last_ticket
    }

    /// Says that nothing more comes of a commit.
    fn settled(&mut self, held: &Held, verified: Option<Box<Verified>>) {
        let (source, seq) = (held.source, held.seq);
        let outcome = verified.map_or(Outcome::Unverified, Outcome::Verified);
        let settled = Output::Settled {
            source,
            seq,
            outcome,
        };
        self.order.put(held.ticket, settled);
        self.order.done(held.ticket);
    }
}
