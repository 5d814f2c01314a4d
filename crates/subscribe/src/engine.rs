//! Decides, frame by frame, what is delivered. Sans-IO: frames, answers and the time go in, deliveries
//! and questions come out of [`Engine::poll`]; no sockets, no clock, no tasks.
//!
//! A commit in scope waits here, bounded, while its author's key is looked up; commits of other
//! repositories pass it. The commits of one repository never overtake each other.

mod control;
mod judgement;
mod order;
mod repository;
mod unsettled;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::{Did, Tid};
use atcomms_repo::VerifyingKey;
use atcomms_repo::frame::{self, Frame, Kind};
use atcomms_repo::verify::{Head, Limits, OpenCommit};
use bytes::Bytes;

use self::order::{HISTORY_MICROS, Order, Ticket};
use self::repository::{Held, Key, Repositories};
use self::unsettled::Unsettled;
use crate::counters::Counters;
use crate::delivery::{Delivery, Undecodable};
use crate::scope::Scope;
use crate::trust::Trust;

/// Which of the subscription's sources.
pub(crate) type SourceIndex = usize;

/// Commits of one repository that wait for its key: a busy agent's minute.
const HELD_PER_REPOSITORY: usize = 256;
/// Bytes of all commits that wait for keys: what a subscriber can spare while a directory is down.
const HELD_BYTES: usize = 64 * 1024 * 1024;
/// What strangers may take of it, so that they cannot push out those that are followed.
const HELD_BYTES_OF_STRANGERS: usize = HELD_BYTES / 2;
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
/// The longest such wait.
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// What a look-up brought.
#[derive(Debug)]
pub(crate) enum KeyAnswer {
    /// The author's signing key.
    Key(VerifyingKey),
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
    /// All that this commit has for the subscriber has been said; and what its repository's head is from
    /// here on, if it was verified.
    Settled {
        source: SourceIndex,
        seq: i64,
        head: Option<(Did, Head)>,
    },
    /// Look up the key of this repository, past the cache if `fresh`, not before `after`.
    Resolve {
        did: Did,
        fresh: bool,
        after: Duration,
    },
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

#[derive(Debug)]
pub(crate) struct Engine {
    scope: Scope,
    required: Trust,
    hosts: Vec<Arc<str>>,
    repositories: Repositories,
    held_bytes: usize,
    questions: VecDeque<Output>,
    order: Order,
    unsettled: Unsettled,
    counters: Arc<Counters>,
}

impl Engine {
    pub(crate) fn new(
        scope: Scope,
        required: Trust,
        hosts: Vec<Arc<str>>,
        counters: Arc<Counters>,
    ) -> Self {
        Engine {
            scope,
            required,
            hosts,
            repositories: Repositories::default(),
            held_bytes: 0,
            questions: VecDeque::new(),
            order: Order::default(),
            unsettled: Unsettled::default(),
            counters,
        }
    }

    /// Takes in what was verified by an earlier run.
    pub(crate) fn remember(&mut self, did: &Did, head: Head) {
        let followed = self.scope.follows(did.as_str());
        self.repositories.entry(did, followed).head = Some(head);
    }

    /// The first commit of a source that is not settled yet, by its sequence number.
    pub(crate) fn first_unsettled(&self, source: SourceIndex) -> Option<i64> {
        self.unsettled.first(source)
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
        self.order.wake_at()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: u64) {
        self.order.expire(now);
    }

    /// Takes in one frame; gives its sequence number, if it has one.
    pub(crate) fn frame(&mut self, source: SourceIndex, bytes: Bytes, now: u64) -> Option<i64> {
        self.order.expire(now);
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
                let did = peek.did().unwrap_or_default();
                if self.scope.wants_commit(did, peek.op_paths()) {
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
            _ => self.control(source, &bytes),
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
                if let KeyAnswer::Key(new) = answer {
                    *key = new;
                }
                return;
            }
            Key::Unknown => return,
        };
        match answer {
            KeyAnswer::Key(key) => {
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

    /// The subscription ends: what still waits for its author's key is counted as refused.
    pub(crate) fn give_up(&mut self) {
        for _ in 0..self.repositories.held() {
            self.counters.rejected("no_key");
        }
    }

    /// False if nothing more will be heard of it.
    fn commit(&mut self, mut held: Held, did: Did, now: u64) -> bool {
        let followed = self.scope.follows(did.as_str());
        let repository = self.repositories.entry(&did, followed);
        let ready = match &mut repository.key {
            Key::Known { key, since, fresh } if repository.held.is_empty() => {
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

    /// Keeps a commit until its author's key is there. What cannot be believed under any key is refused
    /// before anybody is asked.
    fn hold(&mut self, mut held: Held, did: Did, followed: bool, now: u64) -> bool {
        if let Err(reason) = opens(&held.bytes, now) {
            self.counters.rejected(reason);
            return false;
        }
        let Some(repository) = self.repositories.get_mut(&did) else {
            return false;
        };
        let budget = if followed {
            HELD_BYTES
        } else {
            HELD_BYTES_OF_STRANGERS
        };
        let bytes = held.bytes.len();
        if repository.held.len() >= HELD_PER_REPOSITORY || self.held_bytes + bytes > budget {
            self.counters.rejected("held_too_long");
            // Said, for no cursor comes back to it.
            tracing::warn!(%did, "a commit is lost: too many wait for its author's key");
            return false;
        }
        self.held_bytes += bytes;
        // A piece of its own: it would keep all of the socket's buffer, which is then never used again.
        held.bytes = Bytes::copy_from_slice(&held.bytes);
        held.ticket = self.ticket(&did, &held.bytes, now);
        if let Some(repository) = self.repositories.get_mut(&did) {
            repository.held.push_back(held);
        }
        self.ask(&did, false);
        true
    }

    /// A place in the queue for history, and for what comes after history of its own repository.
    fn ticket(&mut self, did: &Did, bytes: &[u8], now: u64) -> Option<Ticket> {
        let repository = self.repositories.get_mut(did)?;
        let behind = repository
            .last_ticket
            .is_some_and(|ticket| self.order.waits(ticket));
        let history = match frame::decode(bytes) {
            Ok(Frame::Commit(commit)) => {
                let rev = commit.rev.parse::<Tid>();
                rev.is_ok_and(|rev| rev.micros().saturating_add(HISTORY_MICROS) < now)
            }
            _ => false,
        };
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
    fn settled(&mut self, held: &Held, head: Option<(Did, Head)>) {
        let (source, seq) = (held.source, held.seq);
        self.order
            .put(held.ticket, Output::Settled { source, seq, head });
        self.order.done(held.ticket);
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
