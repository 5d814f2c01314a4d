//! Which followed repositories are to be fetched, and when. Those in the queue wait for their time; nothing is
//! asked for while the stream is still catching up, which may bring what is missed by itself.

use std::collections::{BTreeMap, BTreeSet};

use atcomms_lexicon::{Did, Tid};

/// Fetches that are asked for at once. The driver bounds how many of them are under way, overall and for each
/// host; this bounds how many wait for it.
const ASKED_AT_ONCE: usize = 256;
/// A stream that brought nothing for this long has caught up.
const QUIET_MICROS: u64 = 1_000_000;
/// How long a commit may take from its PDS to us before it counts as missed: relays lag by seconds.
const IN_TRANSIT_MICROS: u64 = 5_000_000;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    due: BTreeSet<(u64, Did)>,
    asked: usize,
    /// Repositories whose PDS has a rev that the stream should bring until then.
    expected: BTreeMap<(u64, Did), Tid>,
    /// Until when commits are held.
    held: BTreeSet<(u64, Did)>,
    /// Sources that are connected.
    connected: usize,
    caught_up: bool,
    /// When the last frame came, or the last source was connected.
    last_frame: u64,
}

impl Backlog {
    /// How many repositories are to be fetched, or are being fetched.
    pub(super) fn len(&self) -> usize {
        self.due.len() + self.asked
    }

    pub(super) fn connected(&mut self, now: u64) {
        self.connected += 1;
        self.caught_up = false;
        self.last_frame = now;
    }

    pub(super) fn disconnected(&mut self) {
        self.connected = self.connected.saturating_sub(1);
        if self.connected == 0 {
            self.caught_up = false;
        }
    }

    pub(super) fn frame(&mut self, now: u64) {
        // While nothing was due, nobody has looked at the silence before this frame.
        if self.is_quiet(now) {
            self.catch_up();
        }
        self.last_frame = now;
    }

    /// A frame of the present came, or none for a while.
    pub(super) fn catch_up(&mut self) {
        self.caught_up = self.connected > 0;
    }

    pub(super) fn has_caught_up(&self) -> bool {
        self.caught_up
    }

    pub(super) fn is_quiet(&self, now: u64) -> bool {
        now.saturating_sub(self.last_frame) >= QUIET_MICROS
    }

    pub(super) fn fetch_at(&mut self, at: u64, did: &Did) {
        self.due.insert((at, did.clone()));
    }

    /// It is known by other means.
    pub(super) fn no_fetch(&mut self, at: u64, did: &Did) {
        self.due.remove(&(at, did.clone()));
    }

    /// The next repository whose time has come.
    pub(super) fn next_due(&mut self, now: u64) -> Option<Did> {
        if !self.caught_up || self.asked >= ASKED_AT_ONCE {
            return None;
        }
        let first = self.due.first().filter(|(at, _)| *at <= now)?.clone();
        self.due.remove(&first);
        Some(first.1)
    }

    pub(super) fn asked(&mut self) {
        self.asked += 1;
    }

    pub(super) fn answered(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// The PDS has this rev; the stream should bring it soon.
    pub(super) fn expect(&mut self, did: &Did, rev: Tid, now: u64) {
        let until = now.saturating_add(IN_TRANSIT_MICROS);
        self.expected.insert((until, did.clone()), rev);
    }

    /// What should have come by now.
    pub(super) fn overdue(&mut self, now: u64) -> Option<(Did, Tid)> {
        if !self.caught_up {
            return None;
        }
        let first = self.expected.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let ((_, did), rev) = first.remove_entry();
        Some((did, rev))
    }

    pub(super) fn hold(&mut self, until: u64, did: &Did) {
        self.held.insert((until, did.clone()));
    }

    pub(super) fn no_hold(&mut self, until: u64, did: &Did) {
        self.held.remove(&(until, did.clone()));
    }

    /// Whose commits were held for long enough.
    pub(super) fn held_for_too_long(&mut self, now: u64) -> Option<Did> {
        let first = self
            .held
            .first()
            .filter(|(until, _)| *until <= now)?
            .clone();
        self.held.remove(&first);
        Some(first.1)
    }

    /// When something is to be done, in microseconds.
    pub(super) fn wake_at(&self) -> Option<u64> {
        let waiting = self.due.first().map(|(at, _)| *at);
        let waiting = waiting.filter(|_| self.asked < ASKED_AT_ONCE);
        let expected = self.expected.keys().next().map(|(until, _)| *until);
        let waiting = waiting.into_iter().chain(expected).min();
        let waiting = match self.caught_up {
            true => waiting,
            false if self.connected > 0 => {
                waiting.map(|at| at.max(self.last_frame.saturating_add(QUIET_MICROS)))
            }
            false => None,
        };
        let held = self.held.first().map(|(until, _)| *until);
        waiting.into_iter().chain(held).min()
    }
}
