//! A cache with one flight for all callers, and a limit on how often one key is asked for.
//!
//! Knows nothing of what it keeps. Time is tokio's, so that tests can pause it.

use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::ResolveError;

/// Entries kept, in each of the two caches (DIDs, handles). An agent that follows 100,000
/// repositories has all of them here, at well under a kilobyte each; beyond that the least used go.
pub(crate) const CAPACITY: u64 = 131_072;

/// How long an error that only a new document can cure is remembered: long enough that a stream of
/// commits of a broken account costs one request a minute.
pub(crate) const FINAL_ERROR_TTL: Duration = Duration::from_secs(60);

/// How long a server that did not answer is left alone for the same key.
pub(crate) const TRANSIENT_ERROR_TTL: Duration = Duration::from_secs(5);

/// Age up to which an answer that was good is still given when no newer one is to be had, so that
/// an outage of the directory does not stop verification. A day is what atproto recommends as the
/// longest time to keep an identity.
pub(crate) const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// One key is asked for again past the cache at most this many times at once...
pub(crate) const REFRESH_BURST: u32 = 3;

/// ... and then once per this time. Whoever sends commits with bad signatures decides how often
/// that is wanted; a key rotation is rare.
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) struct Cache<K, V> {
    slots: moka::future::Cache<K, Arc<Slot<V>>>,
    ttl: Duration,
}

struct Slot<V> {
    known: RwLock<Option<Known<V>>>,
    /// Held while a request is under way; who waits for it finds the answer in `known`.
    flight: Mutex<Allowance>,
}

#[derive(Clone)]
struct Known<V> {
    outcome: Result<V, ResolveError>,
    /// When it was asked for.
    at: Instant,
    fresh_until: Instant,
    /// Counts the requests that were answered.
    answer: u64,
    /// The caller knows that it may be out of date.
    forgotten: bool,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + Clone + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(ttl: Duration) -> Self {
        let slots = moka::future::Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_idle(MAX_STALE)
            .build();
        Self { slots, ttl }
    }

    /// The kept answer while it is fresh, else a new one; concurrent callers share one request.
    pub(crate) async fn get<F>(&self, key: &K, fetch: impl FnOnce() -> F) -> Result<V, ResolveError>
    where
        F: Future<Output = Result<V, ResolveError>>,
    {
        let slot = self.slot(key).await;
        if let Some(outcome) = slot.fresh() {
            return outcome;
        }
        let mut allowance = slot.flight.lock().await;
        if let Some(outcome) = slot.fresh() {
            return outcome; // somebody else's request was answered while we waited
        }
        let known = slot.known();
        if let Some(known) = known.as_ref().filter(|known| known.forgotten)
            && !allowance.take(Instant::now())
        {
            return known.outcome.clone();
        }
        match (slot.ask(self.ttl, fetch).await, known) {
            (Err(error), Some(known))
                if error.is_transient()
                    && known.outcome.is_ok()
                    && known.at.elapsed() < MAX_STALE =>
            {
                known.outcome
            }
            (outcome, _) => outcome,
        }
    }

    /// A new answer, whatever is kept; concurrent callers share one request. When the key was
    /// asked for too often, what is kept, at most [`REFRESH_INTERVAL`] old.
    pub(crate) async fn refresh<F>(
        &self,
        key: &K,
        fetch: impl FnOnce() -> F,
    ) -> Result<V, ResolveError>
    where
        F: Future<Output = Result<V, ResolveError>>,
    {
        let slot = self.slot(key).await;
        let before = slot.known().map(|known| known.answer);
        let mut allowance = slot.flight.lock().await;
        if let Some(known) = slot.known()
            && (Some(known.answer) != before || !allowance.take(Instant::now()))
        {
            return known.outcome;
        }
        slot.ask(self.ttl, fetch).await
    }

    /// Has the next [`Self::get`] ask again (within the limit).
    pub(crate) async fn forget(&self, key: &K) {
        if let Some(slot) = self.slots.get(key).await
            && let Some(known) = slot
                .known
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .as_mut()
        {
            known.forgotten = true;
        }
    }

    async fn slot(&self, key: &K) -> Arc<Slot<V>> {
        let empty = async {
            Arc::new(Slot {
                known: RwLock::new(None),
                flight: Mutex::new(Allowance::default()),
            })
        };
        self.slots.get_with_by_ref(key, empty).await
    }
}

impl<V: Clone> Slot<V> {
    fn known(&self) -> Option<Known<V>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn fresh(&self) -> Option<Result<V, ResolveError>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref()?;
        let fresh = !known.forgotten && Instant::now() < known.fresh_until;
        fresh.then(|| known.outcome.clone())
    }

    /// Sends the request and keeps its answer. A server that did not answer takes nothing away
    /// that was known before.
    async fn ask<F>(&self, ttl: Duration, fetch: impl FnOnce() -> F) -> Result<V, ResolveError>
    where
        F: Future<Output = Result<V, ResolveError>>,
    {
        let at = Instant::now();
        let outcome = fetch().await;
        let now = Instant::now();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let answer = known
            .as_ref()
            .map_or(0, |known| known.answer.wrapping_add(1));
        let (keep, fresh_for) = match (&outcome, known.take()) {
            (Ok(_), _) => (outcome.clone(), ttl),
            (Err(error), Some(before)) if error.is_transient() && before.outcome.is_ok() => {
                *known = Some(Known {
                    answer,
                    fresh_until: now + TRANSIENT_ERROR_TTL,
                    forgotten: false,
                    ..before
                });
                return outcome;
            }
            (Err(error), _) if error.is_transient() => (outcome.clone(), TRANSIENT_ERROR_TTL),
            (Err(_), _) => (outcome.clone(), FINAL_ERROR_TTL),
        };
        let fresh_until = now + fresh_for;
        *known = Some(Known {
            outcome: keep,
            at,
            fresh_until,
            answer,
            forgotten: false,
        });
        outcome
    }
}

/// How often one key may still be asked for past the cache: a bucket, as the time at which it will
/// be full again.
#[derive(Default)]
struct Allowance {
    full_at: Option<Instant>,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        if full_at - now > REFRESH_INTERVAL * (REFRESH_BURST - 1) {
            return false;
        }
        self.full_at = Some(full_at + REFRESH_INTERVAL);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const TTL: Duration = Duration::from_secs(3600);

    struct Directory {
        cache: Cache<u8, u32>,
        requests: AtomicU32,
    }

    impl Directory {
        fn new() -> Self {
            Self {
                cache: Cache::new(TTL),
                requests: AtomicU32::new(0),
            }
        }

        fn requests(&self) -> u32 {
            self.requests.load(Ordering::SeqCst)
        }

        async fn answer(&self) -> Result<u32, ResolveError> {
            let n = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(n)
        }

        async fn down(&self) -> Result<u32, ResolveError> {
            self.requests.fetch_add(1, Ordering::SeqCst);
            Err(ResolveError::Unavailable {
                subject: "x".into(),
                reason: "down".into(),
            })
        }

        async fn gone(&self) -> Result<u32, ResolveError> {
            self.requests.fetch_add(1, Ordering::SeqCst);
            Err(ResolveError::Rejected {
                subject: "x".into(),
                reason: "no".into(),
            })
        }

        async fn get(&self) -> u32 {
            self.cache.get(&0, || self.answer()).await.unwrap()
        }

        async fn refresh(&self) -> u32 {
            self.cache.refresh(&0, || self.answer()).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_its_time() {
        let directory = Directory::new();
        assert_eq!(directory.get().await, 1);
        tokio::time::advance(TTL - Duration::from_secs(1)).await;
        assert_eq!(directory.get().await, 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(directory.get().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn all_callers_share_one_request() {
        let directory = Directory::new();
        let answers = futures::future::join_all((0..50).map(|_| directory.get())).await;
        assert!(answers.iter().all(|&n| n == 1), "{answers:?}");
        let answers = futures::future::join_all((0..50).map(|_| directory.refresh())).await;
        assert!(answers.iter().all(|&n| n == 2), "{answers:?}");
        assert_eq!(directory.requests(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_does_not_take_the_others_with_it() {
        let directory = Directory::new();
        let hasty = tokio::time::timeout(Duration::from_millis(50), directory.get());
        let (hasty, patient) = tokio::join!(hasty, directory.get());
        assert!(hasty.is_err());
        assert_eq!(
            patient, 2,
            "the second caller asked again after the first was gone"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn refreshes_are_limited_and_recover() {
        let directory = Directory::new();
        directory.get().await;
        for _ in 0..100 {
            directory.refresh().await;
        }
        assert_eq!(directory.requests(), 1 + REFRESH_BURST);
        tokio::time::advance(REFRESH_INTERVAL).await;
        for _ in 0..100 {
            directory.refresh().await;
        }
        assert_eq!(directory.requests(), 2 + REFRESH_BURST);
    }

    #[tokio::test(start_paused = true)]
    async fn forgetting_asks_again_within_the_same_limit() {
        let directory = Directory::new();
        assert_eq!(directory.get().await, 1);
        directory.cache.forget(&0).await;
        assert_eq!(directory.get().await, 2);
        for _ in 0..100 {
            directory.cache.forget(&0).await;
            directory.get().await;
        }
        assert_eq!(directory.requests(), 1 + REFRESH_BURST);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_takes_nothing_away() {
        let directory = Directory::new();
        assert_eq!(directory.get().await, 1);
        let refreshed = directory.cache.refresh(&0, || directory.down()).await;
        assert!(
            refreshed.unwrap_err().is_transient(),
            "whoever needs a fresh answer is told"
        );
        assert_eq!(
            directory.get().await,
            1,
            "whoever does not gets the old one"
        );
        tokio::time::advance(TTL).await;
        let stale = directory.cache.get(&0, || directory.down()).await;
        assert_eq!(stale.unwrap(), 1);
        assert_eq!(directory.requests(), 3);
        assert_eq!(
            directory.get().await,
            1,
            "the directory is left alone for a while"
        );
        tokio::time::advance(MAX_STALE).await;
        let too_old = directory.cache.get(&0, || directory.down()).await;
        assert!(too_old.is_err(), "an answer of yesterday is none");
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_kept_briefly() {
        let directory = Directory::new();
        for _ in 0..10 {
            let outcome = directory.cache.get(&0, || directory.gone()).await;
            assert!(!outcome.unwrap_err().is_transient());
        }
        assert_eq!(directory.requests(), 1);
        tokio::time::advance(FINAL_ERROR_TTL).await;
        for _ in 0..10 {
            let outcome = directory.cache.get(&0, || directory.down()).await;
            assert!(outcome.unwrap_err().is_transient());
        }
        assert_eq!(directory.requests(), 2);
        tokio::time::advance(TRANSIENT_ERROR_TTL).await;
        assert_eq!(directory.get().await, 3);
    }
}
