//! What a subscription saw: counted as it goes, read at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::admission::{Refusal, Refused, RefusedMost};

/// The counts of a subscription so far, as `atcomms watch` prints them when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Frames that came from all sources, of interest or not.
    pub frames: u64,
    /// Events handed to the caller.
    pub delivered: u64,
    /// Events that were dropped because their repository's verified head is as new or newer.
    pub duplicates: u64,
    /// What was refused, by reason: commits, or events where the [admission](crate::Admission) refused them.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Repositories that were fetched whole.
    pub resyncs: u64,
    /// Seconds from the first frame to the last.
    pub seconds: f64,
}

/// Shared between the driver, which counts, and the handle, which reads.
#[derive(Debug)]
pub(crate) struct Counters {
    started: Instant,
    frames: AtomicU64,
    delivered: AtomicU64,
    duplicates: AtomicU64,
    resyncs: AtomicU64,
    to_fetch: AtomicU64,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
    refused: Mutex<RefusedMost>,
    /// Why followed repositories were to be fetched.
    missed: Mutex<BTreeMap<&'static str, u64>>,
    /// Nanoseconds since `started`, plus one; 0 is "none yet".
    first: AtomicU64,
    last: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Counters {
            started: Instant::now(),
            frames: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            resyncs: AtomicU64::new(0),
            to_fetch: AtomicU64::new(0),
            rejected: Mutex::default(),
            refused: Mutex::default(),
            missed: Mutex::default(),
            first: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    pub(crate) fn frame(&self, now: Instant) {
        let at = u64::try_from((now - self.started).as_nanos()).unwrap_or(u64::MAX - 1) + 1;
        if self.frames.fetch_add(1, Relaxed) == 0 {
            self.first.store(at, Relaxed);
        }
        self.last.store(at, Relaxed);
    }

    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    pub(crate) fn duplicates(&self, events: u64) {
        self.duplicates.fetch_add(events, Relaxed);
    }

    pub(crate) fn resynced(&self) {
        self.resyncs.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_to_fetch(&self, repositories: usize) {
        let repositories = u64::try_from(repositories).unwrap_or(u64::MAX);
        self.to_fetch.store(repositories, Relaxed);
    }

    /// How many followed repositories are to be fetched.
    pub(crate) fn to_fetch(&self) -> u64 {
        self.to_fetch.load(Relaxed)
    }

    pub(crate) fn missed(&self, why: &'static str) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        *missed.entry(why).or_default() += 1;
    }

    #[cfg(test)]
    pub(crate) fn missed_by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.missed.lock().unwrap().clone()
    }

    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejected_all(reason, 1);
    }

    fn rejected_all(&self, reason: &'static str, count: u64) {
        *self
            .rejected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(reason)
            .or_default() += count;
    }

    /// Somebody's events were refused by the admission policy.
    pub(crate) fn refused(&self, reason: Refusal, who: &str, events: u64, now: u64) {
        self.rejected_all(reason.as_str(), events);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.add(reason, who, events, now);
    }

    pub(crate) fn refused_most(&self) -> Vec<Refused> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.list()
    }

    pub(crate) fn summary(&self) -> Summary {
        let span = self
            .last
            .load(Relaxed)
            .saturating_sub(self.first.load(Relaxed));
        Summary {
            frames: self.frames.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            rejected: self
                .rejected
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            resyncs: self.resyncs.load(Relaxed),
            seconds: Duration::from_nanos(span).as_secs_f64(),
        }
    }
}
