//! Commits that wait: for their author's key, or until their repository is fetched. All of it is bounded.

use std::time::Duration;

use atcomms_lexicon::Did;
use atcomms_repo::frame::{self, Frame};
use atcomms_repo::verify::{Limits, OpenCommit};
use bytes::Bytes;

use super::repository::{Held, Key};
use super::{Engine, KeyAnswer, Output};
use crate::trust::Trust;

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
/// The first wait before a directory that was down is asked again; it doubles.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The longest such wait.
pub(super) const RETRY_AT_MOST: Duration = Duration::from_secs(30);

impl Engine {
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

    /// Keeps a commit until its author's key is there, or its repository is fetched. What cannot be believed
    /// under any key is refused before anybody is asked.
    pub(super) fn hold(&mut self, mut held: Held, did: Did, followed: bool, now: u64) -> bool {
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

    /// Asks for the key of a repository, unless that is under way.
    pub(super) fn ask(&mut self, did: &Did, fresh: bool) {
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
    pub(super) fn release(&mut self, did: &Did, now: u64) {
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
    pub(super) fn without_key(&mut self, did: &Did, now: u64) {
        while let Some(held) = self
            .repositories
            .get_mut(did)
            .and_then(|repository| repository.held.pop_front())
        {
            self.held_bytes -= held.bytes.len();
            self.judge(held, did, None, true, now);
        }
    }

    /// Puts a commit back to the front: its repository is fetched first.
    pub(super) fn hold_first(&mut self, held: Held, did: &Did) {
        if let Some(repository) = self.repositories.get_mut(did) {
            self.held_bytes += held.bytes.len();
            repository.held.push_front(held);
        }
    }

    /// Puts a commit back to the front: a fresh key may prove it.
    pub(super) fn hold_again(&mut self, mut held: Held, did: &Did) {
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
pub(super) fn is_recent(fresh: Option<u64>, now: u64) -> bool {
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
