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
mod judgement;
mod order;
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

use atcomms_lexicon::{Cid, Did, Tid};
use atcomms_repo::VerifyingKey;
use atcomms_repo::frame::{self, Frame, Kind};
use atcomms_repo::verify::{Head, Limits, OpenCommit};
use bytes::Bytes;

pub(crate) use self::account::AccountStatus;
use self::account::Accounts;
use self::admit::Gate;
use self::backlog::Backlog;
use self::hearsay::Hearsay;
use self::order::{HISTORY_MICROS, Order, Ticket};
use self::raising::Raising;
pub(crate) use self::raising::{ProofAnswer, Question};
pub(crate) use self::repository::Standing;
use self::repository::{Held, Key, Repositories};
use self::unsettled::Unsettled;
use crate::admission::Admission;
use crate::counters::Counters;
use crate::delivery::{Delivery, Undecodable};
use crate::scope::Scope;
use crate::snapshot::Path;
use crate::trust::Trust;

/// Which of the subscription's sources.
pub(crate) type SourceIndex = usize;

/// Commits of one repository that wait for its key: a busy agent's minute.
const HELD_PER_REPOSITORY: usize = 256;
/// Bytes of all commits that wait for keys: what a subscriber can spare while a directory is down.
const HELD_BYTES: usize = 64 * 1024 * 1024;
/// What strangers may take of it, so that they cannot push out those that are followed.
const HELD_BYTES_OF_STRANGERS: usize = HELD_BYTES / 2;
/// And each of them, after its first commit, so that one cannot push out the others: some large records, or
/// more messages than may wait.
const HELD_BYTES_OF_A_STRANGER: usize = HELD_BYTES_OF_STRANGERS / 8;
/// How often a stranger's key is tried to be looked up: with the waits between, about a minute.
const STRANGER_ATTEMPTS: u32 = 7;
/// After a fresh look-up, signatures that fail are believed to be bad for this long: a flood of them
/// must not become a flood of look-ups, nor hold up the genuine ones behind it.
const DOUBT_MICROS: u64 = 10 * 1_000_000;
/// A key is asked for again after this long, while the old one goes on to count. The resolver caches,
/// too; an `#identity` event or a signature that fails is what shows a rotation at once.
const KEY_TTL_MICROS: u64 = 10 * 60 * 1_000_000;
/// The first wait before a directory that was down is asked again; it doubles.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// One frame in so many is looked at for its time: decoding one costs as much as passing over some ten.
const LOOK_EVERY: u32 = 64;
/// The longest such wait.
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// What a look-up brought.
#[derive(Debug)]
pub(crate) enum KeyAnswer {
    /// The author's signing key, and the host of its repository.
    Key(VerifyingKey, Arc<str>),
    /// Nobody could say for now.
    Unavailable(String),
    /// There is none, and asking again will not help.
    None(String),
}

/// What the driver is to do.
#[derive(Debug)]
pub(crate) enum Output {
    Deliver(Delivery),
    Undecodable(Undecodable),
    /// All that this commit has for the subscriber has been said, and what it comes to.
    Settled {
        source: SourceIndex,
        seq: i64,
        outcome: Outcome,
    },
    /// All that a fetched repository has for the subscriber has been said.
    Resynced(Box<Verified>),
    /// Something of this repository was dropped: what is known of it is not whole any more.
    Broken {
        did: Did,
    },
    /// Fetch this repository, and read what is known of it after all that was delivered before.
    Fetch {
        did: Did,
    },
    /// Ask an account's PDS whether it is active.
    AskStatus {
        did: Did,
    },
    /// Deliver nothing more of this account for now.
    Pause {
        did: Did,
    },
    /// Deliver what was paused.
    Resume {
        did: Did,
    },
    /// Forget what waits of this account: it was deleted.
    Purge {
        did: Did,
    },
    /// Ask the followed repositories' PDSs for their latest revs.
    Sweep,
    /// Look up the key of this repository, past the cache if `fresh`, not before `after`.
    Resolve {
        did: Did,
        fresh: bool,
        after: Duration,
    },
    /// Fetch a record's proof from its author's PDS.
    Prove(Question),
    /// What was resolved of this repository is out of date.
    Forget {
        did: Did,
    },
    /// The source refuses us; an operator must act.
    Stop {
        source: SourceIndex,
        error: String,
    },
}

/// What is known of a repository after a commit of it, or after it was fetched.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) did: Did,
    pub(crate) head: Head,
    /// The records in scope that changed, if the repository is followed: what they are now, or that they are gone.
    pub(crate) known: Vec<(Path, Option<Cid>)>,
    /// How much of its story is known, if that changed.
    pub(crate) standing: Option<Standing>,
}

/// What a commit, or one operation that came alone, comes to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A commit on a relay's word, or nothing.
    Unverified,
    /// A commit that its author signed.
    Verified(Box<Verified>),
    /// One operation, and what it changes of the records in scope, if it is proven and its repository followed.
    Alone(Option<(Did, Path, Option<Cid>)>),
}

/// A source, as an engine knows it.
#[derive(Debug)]
struct Named {
    name: Arc<str>,
    /// The PDS whose accounts alone it counts for, if it does not count for all.
    own: Option<Arc<str>>,
}

/// How much waits in an engine, and how much came by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// Commits that were of interest, so far.
    pub(crate) in_scope: u64,
    /// Commits that came and are not settled.
    pub(crate) held: usize,
    /// Bytes of those that wait for a key or a repository.
    pub(crate) held_bytes: usize,
    /// Repositories that are to be fetched.
    pub(crate) to_fetch: usize,
}

/// What an engine is to do about what it did not see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resyncs {
    /// Whether followed repositories are fetched at all: not where there is only a file to read.
    pub(crate) allowed: bool,
    /// When the subscription begins with what is live, in microseconds, if it does: what was there before is no
    /// news where nothing of the repository was seen.
    pub(crate) begins_live: Option<u64>,
    /// When an earlier run of the same subscription began with what was live, in microseconds, if it did: where
    /// something of the repository was seen since.
    pub(crate) began_live: Option<u64>,
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

    /// Takes in the answer to an [`Output::Resolve`].
    pub(crate) fn resolved(&mut self, did: &Did, answer: KeyAnswer, now: u64) {
        let followed = self.scope.follows(did.as_str());
        let Some(repository) = self.repositories.get_mut(did) else {
            return;
        };
        let (asked_fresh, attempts) = match &mut repository.key {
            Key::Asked { fresh, attempts } => (*fresh, *attempts),
            // It was only looked up again; without an answer, the one that we have is good enough.
            Key::Known { key, .. } => {
                if let KeyAnswer::Key(new, host) = answer {
                    *key = new;
                    repository.host = Some(host);
                }
                return;
            }
            Key::Unknown => return,
        };
        match answer {
            KeyAnswer::Key(key, host) => {
                repository.host = Some(host);
                let fresh = asked_fresh.then_some(now);
                repository.key = Key::Known {
                    key,
                    since: now,
                    fresh,
                };
                self.release(did, now);
            }
            KeyAnswer::Unavailable(why)
                if self.required > Trust::Relayed && (followed || attempts < STRANGER_ATTEMPTS) =>
            {
                // Said once, not at every try.
                if attempts == 0 {
                    tracing::warn!(%did, "its key cannot be looked up yet, its commits wait: {why}");
                }
                let after = RETRY_AT_MOST.min(RETRY_AFTER * 2u32.saturating_pow(attempts.min(16)));
                let attempts = attempts.saturating_add(1);
                repository.key = Key::Asked {
                    fresh: asked_fresh,
                    attempts,
                };
                let did = did.clone();
                self.questions.push_back(Output::Resolve {
                    did,
                    fresh: asked_fresh,
                    after,
                });
            }
            KeyAnswer::Unavailable(why) => {
                tracing::debug!(%did, "it has no key: {why}");
                repository.key = Key::Unknown;
                self.without_key(did, now);
            }
            KeyAnswer::None(why) => {
                tracing::debug!(%did, "it has no key: {why}");
                repository.key = Key::Unknown;
                // The first failed under the key that there was: nobody's word makes it better.
                if asked_fresh && let Some(held) = repository.held.pop_front() {
                    self.held_bytes -= held.bytes.len();
                    self.counters.rejected("signature");
                    self.settled(&held, None);
                }
                self.without_key(did, now);
            }
        }
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

    /// Keeps a commit until its author's key is there, or its repository is fetched. What cannot be believed
    /// under any key is refused before anybody is asked.
    fn hold(&mut self, mut held: Held, did: Did, followed: bool, now: u64) -> bool {
        if self.over_budget(&did, |engine| engine.events(&held.bytes), now) {
            return false;
        }
        if let Err(reason) = opens(&held.bytes, now) {
            self.counters.rejected(reason);
            return false;
        }
        let vouched_for = self.vouched_for(did.as_str());
        let Some(repository) = self.repositories.get_mut(&did) else {
            return false;
        };
        let (fetched, has_key) = (
            repository.is_fetched(),
            matches!(repository.key, Key::Known { .. }),
        );
        let budget = if vouched_for {
            HELD_BYTES
        } else {
            HELD_BYTES_OF_STRANGERS
        };
        let bytes = held.bytes.len();
        let waiting = repository.held.iter().map(|held| held.bytes.len());
        let too_many = repository.held.len() >= HELD_PER_REPOSITORY
            || !vouched_for
                && !repository.held.is_empty()
                && waiting.sum::<usize>() + bytes > HELD_BYTES_OF_A_STRANGER;
        if too_many || self.held_bytes + bytes > budget {
            if fetched {
                // They need not wait: what was missed before them comes later, then.
                self.let_go(&did, now);
                return self.commit(held, did, now);
            }
            self.counters.rejected("held_too_long");
            if followed && self.resyncs.allowed {
                self.miss(&did, None, "too many of its commits wait for its key", now);
            } else {
                // Said, for no cursor comes back to it.
                tracing::warn!(%did, "a commit is lost: too many wait for its author's key");
            }
            return false;
        }
        self.held_bytes += bytes;
        // A piece of its own: it would keep all of the socket's buffer, which is then never used again.
        held.bytes = Bytes::copy_from_slice(&held.bytes);
        held.ticket = self.ticket(&did, &held.bytes, now);
        if let Some(repository) = self.repositories.get_mut(&did) {
            repository.held.push_back(held);
        }
        if !has_key {
            self.ask(&did, false);
        }
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

    /// Asks for the key of a repository, unless that is under way.
    fn ask(&mut self, did: &Did, fresh: bool) {
        let Some(repository) = self.repositories.get_mut(did) else {
            return;
        };
        if !matches!(repository.key, Key::Asked { .. }) {
            repository.key = Key::Asked { fresh, attempts: 0 };
            self.questions.push_back(Output::Resolve {
                did: did.clone(),
                fresh,
                after: Duration::ZERO,
            });
        }
    }

    /// Judges what waited for this key; stops when a commit asks for a fresh one.
    fn release(&mut self, did: &Did, now: u64) {
        while let Some(repository) = self.repositories.get_mut(did) {
            if repository.is_fetched() {
                return;
            }
            let Key::Known { key, fresh, .. } = &repository.key else {
                return;
            };
            let (key, fresh) = (key.clone(), is_recent(*fresh, now));
            let Some(held) = repository.held.pop_front() else {
                return;
            };
            self.held_bytes -= held.bytes.len();
            self.judge(held, did, Some(&key), fresh, now);
        }
    }

    /// Judges what waited for a key that does not come.
    fn without_key(&mut self, did: &Did, now: u64) {
        while let Some(held) = self
            .repositories
            .get_mut(did)
            .and_then(|repository| repository.held.pop_front())
        {
            self.held_bytes -= held.bytes.len();
            self.judge(held, did, None, true, now);
        }
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

    /// Puts a commit back to the front: its repository is fetched first.
    fn hold_first(&mut self, held: Held, did: &Did) {
        if let Some(repository) = self.repositories.get_mut(did) {
            self.held_bytes += held.bytes.len();
            repository.held.push_front(held);
        }
    }

    /// Puts a commit back to the front: a fresh key may prove it.
    fn hold_again(&mut self, mut held: Held, did: &Did) {
        if let Some(repository) = self.repositories.get_mut(did) {
            held.bytes = Bytes::copy_from_slice(&held.bytes);
            self.held_bytes += held.bytes.len();
            repository.held.push_front(held);
            repository.key = Key::Unknown;
            self.ask(did, true);
        }
    }
}

/// Whether a key was looked up past every cache so lately that a signature that fails is a bad one.
fn is_recent(fresh: Option<u64>, now: u64) -> bool {
    fresh.is_some_and(|at| now.saturating_sub(at) < DOUBT_MICROS)
}

/// Whether a commit agrees with itself as far as that needs no key and no tree.
fn opens(bytes: &[u8], now: u64) -> Result<(), &'static str> {
    match frame::decode(bytes) {
        Ok(Frame::Commit(commit)) => OpenCommit::open(&commit, now, &Limits::default())
            .map(drop)
            .map_err(|error| error.reason()),
        Ok(_) => Err("frame_malformed"),
        Err(error) => Err(error.reason()),
    }
}
