//! What an account may still write: its rate limits, as its PDS tells of them and as the store counts.

use atcomms_lexicon::{Datetime, Did};
use atcomms_store::{Bucket, Pool, Server, Store, StoreError, Waiting};
use url::Url;

use crate::clock::now;
use crate::session::Session;

/// Points of a creation within a batch.
pub(crate) const CREATE_POINTS: u64 = 3;
/// Points of putRecord, whatever was there before.
pub(crate) const PUT_POINTS: u64 = 2;
/// Points of a delete.
pub(crate) const DELETE_POINTS: u64 = 1;

/// What an account may still write, and what waits. Shared by all processes that use the store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Budget {
    /// The rate limits.
    pub limits: Vec<Limit>,
    /// Whether the PDS has rate limits at all; `None` if it was not asked yet. Where it has none, the
    /// limits say nothing.
    pub limited: Option<bool>,
    /// Writes that wait.
    pub waiting: u64,
    /// When the first of them was accepted.
    pub oldest: Option<Datetime>,
    /// When the next write can go; `None` is now.
    pub next_at: Option<Datetime>,
}

/// One rate limit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limit {
    /// What is counted: points of writes (creating a record takes 3 or, alone, 2; changing one 2;
    /// deleting one 1), or uploads.
    pub pool: Pool,
    /// Points in a window.
    pub size: u64,
    /// The window in seconds.
    pub window_s: u64,
    /// Points that were used.
    pub used: u64,
    /// Points that are left.
    pub left: u64,
    /// When it is full again; `None` while it is.
    pub resets_at: Option<Datetime>,
    /// Whether the PDS has named it; else it is assumed from what PDSs usually have.
    pub told: bool,
}

/// How much may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Points.
    pub(crate) points: u64,
    /// When there are more (milliseconds since 1970), if they are counted at all.
    pub(crate) more_at: Option<i64>,
}

impl Budget {
    /// What the store knows of an account at its PDS. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn read(store: &Store, did: &Did, pds: &Url) -> Result<Self, StoreError> {
        let server = store.server(pds.as_str()).await?;
        let buckets = store.buckets(did).await?;
        let waiting: Waiting = store.waiting(did).await?;
        let now = now();
        let allowance = Allowance::of(&server, &buckets, Pool::Writes, now);
        let limits = buckets
            .iter()
            .map(|bucket| Limit::at(bucket, now))
            .collect();
        let next_at = allowance
            .more_at
            .filter(|_| allowance.points < PUT_POINTS)
            .map(Datetime::from_unix_millis);
        Ok(Self {
            limits,
            limited: server.limited,
            waiting: waiting.entries,
            oldest: waiting.oldest.map(Datetime::from_unix_millis),
            next_at,
        })
    }
}

impl Limit {
    fn at(bucket: &Bucket, now: i64) -> Self {
        let left = bucket.left(now);
        Self {
            pool: bucket.pool,
            size: bucket.size,
            window_s: bucket.window_s,
            used: bucket.size.saturating_sub(left),
            left,
            resets_at: bucket
                .resets_at
                .filter(|at| *at > now)
                .map(Datetime::from_unix_millis),
            told: bucket.told,
        }
    }
}

impl Allowance {
    pub(crate) async fn read(
        store: &Store,
        session: &Session,
        pool: Pool,
    ) -> Result<Self, StoreError> {
        let server = store.server(session.pds().as_str()).await?;
        let buckets = store.buckets(session.did()).await?;
        Ok(Self::of(&server, &buckets, pool, now()))
    }

    pub(crate) fn of(server: &Server, buckets: &[Bucket], pool: Pool, now: i64) -> Self {
        if server.limited == Some(false) {
            return Self {
                points: u64::MAX,
                more_at: None,
            };
        }
        let least = match pool {
            Pool::Writes => PUT_POINTS,
            _ => 1,
        };
        let tightest = buckets
            .iter()
            // One that could never pay for anything counts something else.
            .filter(|bucket| bucket.pool == pool && bucket.size >= least)
            .min_by_key(|bucket| (bucket.left(now), std::cmp::Reverse(bucket.resets_at)));
        Self {
            points: tightest.map_or(u64::MAX, |bucket| bucket.left(now)),
            more_at: tightest.and_then(|bucket| bucket.resets_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use atcomms_store::Told;

    use super::*;

    #[tokio::test]
    async fn a_limit_that_could_pay_for_nothing_counts_something_else() {
        let store = Store::temporary().unwrap();
        let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        let told = |size| Told {
            size,
            window_s: 60,
            left: 0,
            resets_at: 60_000,
        };
        store.tell(&did, Pool::Writes, told(1), 0).await.unwrap();
        let allowed = async |pool| {
            let buckets = store.buckets(&did).await.unwrap();
            Allowance::of(&Server::with_limits(true), &buckets, pool, 0).points
        };
        assert_eq!(allowed(Pool::Writes).await, 5_000, "those that are assumed");
        store
            .tell(&did, Pool::Writes, told(PUT_POINTS), 0)
            .await
            .unwrap();
        assert_eq!(allowed(Pool::Writes).await, 0, "this one is of points");
        store.tell(&did, Pool::Blobs, told(1), 0).await.unwrap();
        assert_eq!(allowed(Pool::Blobs).await, 0, "an upload is one point");
    }
}
