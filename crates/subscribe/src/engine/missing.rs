//! Followed repositories of which something was missed: when they are fetched, and what waits for it. Their
//! commits are held meanwhile, bounded; a commit that is verified goes out also if the fetch fails.

use atcomms_lexicon::{Did, Tid, fault};

use super::repository::{Key, Missing, Standing};
use super::{Engine, Output};
use crate::snapshot::{FetchFailure, KnownRecords, Snapshot};

/// How long commits are held for a fetch: a PDS that is reached answers in seconds. After it they go out as
/// they are, and what was missed comes later.
const HOLD_MICROS: u64 = 30_000_000;
/// The first wait before a repository that could not be fetched is asked for again; it doubles.
const AGAIN_MICROS: u64 = 1_000_000;
/// The longest such wait, and the one for a repository that is not served.
const AGAIN_AT_MOST_MICROS: u64 = 10 * 60 * 1_000_000;
/// A snapshot that is older than what the stream brought is a cache's; it is asked for again after this.
const STALE_MICROS: u64 = 2_000_000;
/// Why a repository is fetched in which a commit does not build on the head.
pub(super) const CHAIN_BROKEN: &str = "a commit does not follow on the one before";
/// Hints that nobody signed make us fetch a repository this often at most.
const HINT_EVERY_MICROS: u64 = 30_000_000;
/// While earlier commits of a repository wait for their place in the stream's order, it is not fetched.
const BEHIND_MICROS: u64 = 100_000;

impl Engine {
    /// Begins with the followed repositories: those whose story is not whole will be fetched.
    pub(crate) fn begin(&mut self, now: u64) {
        if !self.resyncs.allowed {
            return;
        }
        for did in self.scope.followed() {
            let repository = self.repositories.entry(&did, true);
            if repository.standing == Standing::Whole {
                continue;
            }
            let mut missing = Missing::new(now);
            missing.first_sight = repository.standing == Standing::Begun;
            if missing.first_sight {
                missing.silent_before = match repository.head {
                    None => self.resyncs.begins_live,
                    Some(_) => self.resyncs.began_live,
                };
            }
            repository.missing = Some(Box::new(missing));
            self.backlog.fetch_at(now, &did);
        }
    }

    /// The followed repositories that are not going to be fetched anyway.
    pub(crate) fn followed(&mut self) -> Vec<Did> {
        if !self.resyncs.allowed {
            return Vec::new();
        }
        let mut followed = self.scope.followed();
        followed.retain(|did| {
            let repository = self.repositories.get_mut(did);
            repository.is_some_and(|repository| repository.missing.is_none())
        });
        followed
    }

    /// A source is connected: it may have a past to tell, and may have passed over something.
    pub(crate) fn connected(&mut self, now: u64) {
        self.backlog.connected(now);
        self.questions.push_back(Output::Sweep);
    }

    pub(crate) fn disconnected(&mut self) {
        self.backlog.disconnected();
    }

    /// Something of a followed repository was missed: it will be fetched, as it is at this rev or later. Without
    /// a rev it is a hint, as anybody may give it: then not at once each time.
    pub(super) fn miss(&mut self, did: &Did, rev: Option<Tid>, why: &'static str, now: u64) {
        if !self.resyncs.allowed || !self.scope.follows(did.as_str()) {
            return;
        }
        let repository = self.repositories.entry(did, true);
        match &mut repository.missing {
            Some(missing) => {
                // What was signed need not wait for a hint's time.
                if rev.is_some() && !missing.asked && missing.attempts == 0 && missing.due > now {
                    self.backlog.no_fetch(missing.due, did);
                    missing.due = now;
                    self.backlog.fetch_at(now, did);
                }
                // What is under way may have been answered before this.
                missing.at_least = missing.at_least.max(rev);
                missing.again |= missing.asked && rev.is_none();
            }
            None => {
                self.counters.missed(why);
                tracing::info!(%did, why, "something of its repository was missed; it will be fetched");
                let mut due = now;
                if rev.is_none() {
                    due = due.max(repository.no_hint_before);
                    repository.no_hint_before = due.saturating_add(HINT_EVERY_MICROS);
                }
                let mut missing = Missing::new(due);
                missing.at_least = rev;
                repository.missing = Some(Box::new(missing));
                if repository.standing == Standing::Whole {
                    repository.standing = Standing::Broken;
                    // The cursor goes on: who dies before the fetch must know of it (P5).
                    self.questions
                        .push_back(Output::Broken { did: did.clone() });
                }
                self.backlog.fetch_at(due, did);
            }
        }
    }

    /// Its story is known from the first commit on: there is nothing to fetch.
    pub(super) fn whole_from_birth(&mut self, did: &Did) -> bool {
        let Some(repository) = self.repositories.get_mut(did) else {
            return false;
        };
        match &repository.missing {
            Some(missing) if missing.first_sight && !missing.asked => {
                self.backlog.no_fetch(missing.due, did);
                repository.missing = None;
                repository.standing = Standing::Whole;
                true
            }
            _ => false,
        }
    }

    /// Whether a commit that does not follow on the head waits until its repository is fetched.
    pub(super) fn waits_for_fetch(&mut self, did: &Did, rev: Tid, now: u64) -> bool {
        if !self.resyncs.allowed
            || !self.backlog.has_caught_up()
            || !self.scope.follows(did.as_str())
        {
            return false;
        }
        // Who could not be fetched, or was waited for, holds nothing up until its turn comes again.
        let soon = self.repositories.get_mut(did).is_some_and(|repository| {
            let missing = repository.missing.as_ref();
            missing.is_none_or(|missing| missing.attempts == 0 && !missing.was_let_go)
        });
        if soon {
            self.miss(did, Some(rev), CHAIN_BROKEN, now);
            self.hold_commits(did, now);
        }
        soon
    }

    fn hold_commits(&mut self, did: &Did, now: u64) {
        if let Some(missing) = self
            .repositories
            .get_mut(did)
            .and_then(|repository| repository.missing.as_mut())
            && missing.holding.is_none()
        {
            let until = now.saturating_add(HOLD_MICROS);
            missing.holding = Some(until);
            self.backlog.hold(until, did);
        }
    }

    /// Lets go what was held for a fetch.
    pub(super) fn let_go(&mut self, did: &Did, now: u64) {
        let Some(repository) = self.repositories.get_mut(did) else {
            return;
        };
        if let Some(until) = repository.missing.as_mut().and_then(|missing| {
            missing.was_let_go = true;
            missing.holding.take()
        }) {
            self.backlog.no_hold(until, did);
        }
        self.release(did, now);
        // An `#identity` took the key meanwhile, and no other commit may come that asks for it.
        let stays = self.repositories.get_mut(did).is_some_and(|repository| {
            !repository.held.is_empty() && matches!(repository.key, Key::Unknown)
        });
        if stays {
            self.ask(did, false);
        }
    }

    /// Does what its time has come for.
    pub(super) fn resync_tick(&mut self, now: u64) {
        if !self.backlog.has_caught_up() && self.backlog.is_quiet(now) {
            self.backlog.catch_up();
        }
        while let Some(did) = self.backlog.held_for_too_long(now) {
            self.let_go(&did, now);
        }
        while let Some((did, rev)) = self.backlog.overdue(now) {
            let behind = self
                .repositories
                .get_mut(&did)
                .is_some_and(|repository| repository.head.is_none_or(|head| head.rev < rev));
            if behind {
                let why = "its PDS has a commit that the stream did not bring";
                self.miss(&did, Some(rev), why, now);
            }
        }
        while let Some(did) = self.backlog.next_due(now) {
            let Some(repository) = self.repositories.get_mut(&did) else {
                continue;
            };
            let waits = |ticket| self.order.waits(ticket);
            let behind = repository.last_ticket.is_some_and(waits);
            let Some(missing) = repository.missing.as_mut() else {
                continue;
            };
            if behind {
                missing.due = now.saturating_add(BEHIND_MICROS);
                self.backlog.fetch_at(missing.due, &did);
                continue;
            }
            missing.asked = true;
            self.backlog.asked();
            self.questions.push_back(Output::Fetch { did });
        }
    }

    /// The fetch of a repository begins: its commits wait for the end.
    pub(crate) fn fetching(&mut self, did: &Did, now: u64) {
        self.hold_commits(did, now);
    }

    /// Takes in what a fetch brought, and what was known before.
    pub(crate) fn fetched(
        &mut self,
        did: &Did,
        answer: Result<(Snapshot, KnownRecords), FetchFailure>,
        now: u64,
    ) {
        self.backlog.answered();
        let Some(missing) = self
            .repositories
            .get_mut(did)
            .and_then(|repository| repository.missing.as_mut())
        else {
            return;
        };
        missing.asked = false;
        let again = std::mem::take(&mut missing.again);
        let (at_least, attempts) = (missing.at_least, missing.attempts);
        match answer {
            Ok((snapshot, known)) => {
                let head = self.repositories.get_mut(did).and_then(|known| known.head);
                if head.is_some_and(|head| head.rev > snapshot.head.rev) {
                    self.fetch_again(did, STALE_MICROS, now);
                } else {
                    self.resync(did, &snapshot, &known, now);
                    if at_least > Some(snapshot.head.rev) {
                        // A cache's answer, maybe: the next one is asked for as after a failure.
                        self.miss(did, at_least, "it was fetched as it was before", now);
                        self.put_off(did, attempts, now);
                    } else if again {
                        self.miss(did, None, "it changed while it was fetched", now);
                    }
                    self.release(did, now);
                }
            }
            Err(failure) => {
                let first = missing.attempts == 0;
                let doubled = doubled(missing.attempts);
                missing.attempts = missing.attempts.saturating_add(1);
                let (after, why) = match failure {
                    FetchFailure::ForNow(why) => (doubled, why),
                    FetchFailure::NotServed(why) => {
                        // It may be elsewhere by now.
                        self.questions
                            .push_back(Output::Forget { did: did.clone() });
                        (AGAIN_AT_MOST_MICROS, why)
                    }
                };
                if first {
                    tracing::warn!(%did, "its repository cannot be fetched yet, so that something of it may be missing: {why}; trying again");
                }
                self.fetch_again(did, after, now);
            }
        }
        self.resync_tick(now);
    }

    /// Has a repository fetched again later; meanwhile its commits go out as they are.
    fn fetch_again(&mut self, did: &Did, after: u64, now: u64) {
        if let Some(missing) = self
            .repositories
            .get_mut(did)
            .and_then(|repository| repository.missing.as_mut())
        {
            missing.due = now.saturating_add(after);
            self.backlog.fetch_at(missing.due, did);
        }
        self.let_go(did, now);
    }

    /// What was just found missing is fetched later, as after so many failures.
    fn put_off(&mut self, did: &Did, attempts: u32, now: u64) {
        if let Some(missing) = self
            .repositories
            .get_mut(did)
            .and_then(|repository| repository.missing.as_mut())
        {
            self.backlog.no_fetch(missing.due, did);
            missing.attempts = attempts.saturating_add(1);
            missing.due = now.saturating_add(doubled(attempts));
            self.backlog.fetch_at(missing.due, did);
        }
    }

    /// A repository's PDS has this rev.
    pub(crate) fn swept(&mut self, did: &Did, rev: Tid, now: u64) {
        let head = self.repositories.get_mut(did).and_then(|known| known.head);
        if head.is_none_or(|head| head.rev < rev) && !fault::on("sweep") {
            self.backlog.expect(did, rev, now);
        }
    }
}

/// How long to wait after so many failures.
fn doubled(attempts: u32) -> u64 {
    let doubled = AGAIN_MICROS.saturating_mul(1 << attempts.min(20));
    doubled.min(AGAIN_AT_MOST_MICROS)
}
