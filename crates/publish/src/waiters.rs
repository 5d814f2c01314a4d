//! Who waits for which entry of the outbox.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use atcomms_store::{Entry, State};
use tokio::sync::watch;

use crate::accepted::{Pending, Progress};

/// Who waits, by the number of the entry. An entry of which nobody wants to know is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<BTreeMap<i64, Vec<watch::Sender<Progress>>>>);

impl Waiters {
    /// Waits for an entry from here on.
    pub(crate) fn wait(&self, entry: &Entry) -> watch::Receiver<Progress> {
        let now = match entry.state {
            State::Pending => Progress::Pending(Pending {
                attempts: entry.attempts,
                reason: entry.reason.clone(),
                ..Pending::default()
            }),
            _ => Progress::Settled(Box::new(entry.clone())),
        };
        let (sender, receiver) = watch::channel(now);
        if entry.state == State::Pending {
            self.lock().entry(entry.id).or_default().push(sender);
        }
        receiver
    }

    /// Who waited for an entry waits for the one that took its place.
    pub(crate) fn follow(&self, older: i64, newer: i64) {
        let mut waiters = self.lock();
        let moved = waiters.remove(&older).unwrap_or_default();
        if !moved.is_empty() {
            waiters.entry(newer).or_default().extend(moved);
        }
    }

    /// Tells who waits for an entry that it is settled, or gone.
    pub(crate) fn settle(&self, id: i64, entry: Option<&Entry>) {
        let waiting = self.lock().remove(&id).unwrap_or_default();
        for sender in waiting {
            sender.send_replace(match entry {
                Some(entry) => Progress::Settled(Box::new(entry.clone())),
                None => Progress::GivenUp,
            });
        }
    }

    /// Tells everybody why nothing goes on. Entries of `tried` were tried once more.
    pub(crate) fn explain(&self, pending: &Pending, tried: &[i64]) {
        self.lock().retain(|id, senders| {
            senders.retain(|sender| !sender.is_closed());
            let tries = u32::from(tried.contains(id));
            for sender in &*senders {
                sender.send_if_modified(|progress| {
                    let attempts = match progress {
                        Progress::Pending(before) => before.attempts,
                        Progress::Settled(_) | Progress::GivenUp => return false,
                    };
                    let next = Pending {
                        attempts: attempts.saturating_add(tries),
                        ..pending.clone()
                    };
                    let changed = !matches!(progress, Progress::Pending(now) if *now == next);
                    *progress = Progress::Pending(next);
                    changed
                });
            }
            !senders.is_empty()
        });
    }

    /// The entries that somebody waits for, from the first on.
    pub(crate) fn ids(&self) -> Vec<i64> {
        let mut waiters = self.lock();
        waiters.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        waiters.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Vec<watch::Sender<Progress>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
