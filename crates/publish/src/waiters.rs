//! Who waits for which entry of the outbox.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use atcomms_lexicon::Datetime;
use atcomms_store::{Entry, State};
use tokio::sync::watch;

use crate::accepted::{Pending, Progress};
use crate::clock::now;

/// Who waits, by the number of the entry. An entry of which nobody wants to know is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeMap<i64, Waiting>,
    /// Why nothing is sent for now, whichever entry it is.
    hold: Option<Pending>,
    /// Nobody sends any more.
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    /// What is about this entry alone.
    own: Pending,
    senders: Vec<watch::Sender<Progress>>,
}

impl Waiters {
    /// Waits for an entry from here on.
    pub(crate) fn wait(&self, entry: &Entry) -> watch::Receiver<Progress> {
        if entry.state != State::Pending {
            return watch::channel(Progress::Settled(Box::new(entry.clone()))).1;
        }
        let mut inner = self.lock();
        let own = own(entry, entry.reason.as_deref(), entry.not_before);
        let (sender, receiver) = watch::channel(Progress::Pending(inner.shown(&own)));
        if !inner.closed {
            let waiting = inner.waiting.entry(entry.id);
            let waiting = waiting.or_insert_with(|| Waiting::new(own));
            waiting.senders.push(sender);
        }
        receiver
    }

    /// Who waited for an entry waits for the one that took its place.
    pub(crate) fn follow(&self, older: i64, newer: i64) {
        let mut inner = self.lock();
        let Some(moved) = inner.waiting.remove(&older) else {
            return;
        };
        let waiting = inner.waiting.entry(newer);
        let waiting = waiting.or_insert_with(|| Waiting::new(Pending::default()));
        waiting.senders.extend(moved.senders);
        inner.tell(newer);
    }

    /// Tells who waits for an entry that it is settled, or gone.
    pub(crate) fn settle(&self, id: i64, entry: Option<&Entry>) {
        let Some(waiting) = self.lock().waiting.remove(&id) else {
            return;
        };
        for sender in waiting.senders {
            sender.send_replace(match entry {
                Some(entry) => Progress::Settled(Box::new(entry.clone())),
                None => Progress::GivenUp,
            });
        }
    }

    /// Tells who waits for an entry that it was tried in vain, and when it may be tried again
    /// (milliseconds since 1970).
    pub(crate) fn tried(&self, entry: &Entry, reason: &str, not_before: i64) {
        let mut inner = self.lock();
        if let Some(waiting) = inner.waiting.get_mut(&entry.id) {
            waiting.own = own(entry, Some(reason), not_before);
            inner.tell(entry.id);
        }
    }

    /// Tells everybody why nothing is sent, also who comes later.
    pub(crate) fn explain(&self, hold: Pending) {
        self.lock().set(Some(hold));
    }

    /// Takes that back.
    pub(crate) fn goes_on(&self) {
        let mut inner = self.lock();
        if inner.hold.is_some() {
            inner.set(None);
        }
    }

    /// The first entries after this one that somebody waits for, in their order.
    pub(crate) fn ids(&self, after: i64, most: usize) -> Vec<i64> {
        let mut inner = self.lock();
        inner.forget_the_gone();
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let ids = inner.waiting.range(later).map(|(id, _)| *id);
        ids.take(most).collect()
    }

    /// Nobody sends any more: who waits, or comes later, is told so.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.waiting.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set(&mut self, hold: Option<Pending>) {
        self.hold = hold;
        self.forget_the_gone();
        for waiting in self.waiting.values() {
            waiting.tell(&shown(self.hold.as_ref(), &waiting.own));
        }
    }

    fn tell(&self, id: i64) {
        if let Some(waiting) = self.waiting.get(&id) {
            waiting.tell(&self.shown(&waiting.own));
        }
    }

    fn shown(&self, own: &Pending) -> Pending {
        shown(self.hold.as_ref(), own)
    }

    fn forget_the_gone(&mut self) {
        self.waiting.retain(|_, waiting| {
            waiting.senders.retain(|sender| !sender.is_closed());
            !waiting.senders.is_empty()
        });
    }
}

impl Waiting {
    fn new(own: Pending) -> Self {
        Self {
            own,
            senders: Vec::new(),
        }
    }

    fn tell(&self, pending: &Pending) {
        for sender in &self.senders {
            sender.send_if_modified(|progress| {
                let changed = !matches!(progress, Progress::Pending(now) if now == pending);
                *progress = Progress::Pending(pending.clone());
                changed
            });
        }
    }
}

/// What is about one entry alone.
fn own(entry: &Entry, reason: Option<&str>, not_before: i64) -> Pending {
    let retry_at = (not_before > now()).then(|| Datetime::from_unix_millis(not_before));
    Pending {
        attempts: entry.attempts,
        reason: reason
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned),
        retry_at,
        stuck: false,
    }
}

/// What stands in everybody's way comes first.
fn shown(hold: Option<&Pending>, own: &Pending) -> Pending {
    match hold {
        Some(hold) => Pending {
            attempts: own.attempts,
            ..hold.clone()
        },
        None => own.clone(),
    }
}
