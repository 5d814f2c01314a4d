//! Rate limits, as a PDS counts them: buckets of points that are full again at a certain time.
//!
//! A PDS has several, and shows with each answer the one with the fewest points left. From that follows
//! that every other one has at least as many, however our own count stands.

use atcomms_lexicon::{Did, fault};
use rusqlite::{Connection, Row, params};

use crate::error::StoreError;
use crate::job::Durability;
use crate::store::Store;

/// What is counted in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pool {
    /// Writes to the repository.
    Writes,
    /// Uploads of blobs.
    Blobs,
}

/// What a PDS of the reference implementation counts if nobody has changed it, in points and seconds.
const ASSUMED: [(Pool, u64, u64); 3] = [
    (Pool::Writes, 5_000, 3_600),
    (Pool::Writes, 35_000, 86_400),
    (Pool::Blobs, 1_000, 86_400),
];

/// The largest number that a column holds.
const MOST: u64 = i64::MAX as u64;

/// One rate limit of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// What is counted.
    pub pool: Pool,
    /// Its name: points and window in seconds, such as `5000;w=3600`.
    pub policy: String,
    /// Points in a window.
    pub size: u64,
    /// The window in seconds.
    pub window_s: u64,
    left: u64,
    /// When it is full again (milliseconds since 1970); `None` while nothing was spent.
    pub resets_at: Option<i64>,
    /// Whether the PDS has named it; else it is assumed.
    pub told: bool,
}

/// What a PDS said of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Points in a window.
    pub size: u64,
    /// The window in seconds.
    pub window_s: u64,
    /// Points left.
    pub left: u64,
    /// When it is full again (milliseconds since 1970).
    pub resets_at: i64,
}

impl Bucket {
    /// How many points are left at a time.
    pub fn left(&self, now: i64) -> u64 {
        match self.resets_at {
            Some(at) if now < at => self.left,
            _ => self.size,
        }
    }

    fn assumed((pool, size, window_s): (Pool, u64, u64)) -> Self {
        Self {
            pool,
            policy: policy(size, window_s),
            size,
            window_s,
            left: size,
            resets_at: None,
            told: false,
        }
    }

    /// A window begins with the first point that is spent in it.
    fn spend(&mut self, points: u64, now: i64) {
        let left = self.left(now);
        if self.resets_at.is_none_or(|at| at <= now) {
            let window = i64::try_from(self.window_s.saturating_mul(1000)).unwrap_or(i64::MAX);
            self.resets_at = Some(now.saturating_add(window));
        }
        self.left = left.saturating_sub(points);
    }

    fn raise(&mut self, least: u64, now: i64) {
        self.left = self.left(now).max(least.min(self.size));
    }
}

impl Store {
    /// The rate limits of an account, those assumed that nothing is known of. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn buckets(&self, did: &Did) -> Result<Vec<Bucket>, StoreError> {
        let did = did.clone();
        self.read(move |connection| load(connection, &did)).await
    }

    /// Counts points that are about to be spent. Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn spend(
        &self,
        did: &Did,
        pool: Pool,
        points: u64,
        now: i64,
    ) -> Result<(), StoreError> {
        let did = did.clone();
        self.write("budget", Durability::Process, move |connection| {
            spend(connection, &did, pool, points, now)
        })
        .await
    }

    /// Takes in what the PDS said of the bucket with the fewest points left. Survives a killed process.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn tell(
        &self,
        did: &Did,
        pool: Pool,
        told: Told,
        now: i64,
    ) -> Result<(), StoreError> {
        let did = did.clone();
        self.write("budget", Durability::Process, move |connection| {
            let mut buckets = load(connection, &did)?;
            hear(&mut buckets, pool, told, now);
            save(connection, &did, &buckets)
        })
        .await
    }
}

pub(crate) fn spend(
    connection: &Connection,
    did: &Did,
    pool: Pool,
    points: u64,
    now: i64,
) -> Result<(), StoreError> {
    if points == 0 || fault::on("budget") {
        return Ok(());
    }
    let mut buckets = load(connection, did)?;
    for bucket in buckets.iter_mut().filter(|bucket| bucket.pool == pool) {
        bucket.spend(points, now);
    }
    save(connection, did, &buckets)
}

fn hear(buckets: &mut Vec<Bucket>, pool: Pool, told: Told, now: i64) {
    // No server counts so far, but a bad one may say so.
    let told = Told {
        size: told.size.min(MOST),
        window_s: told.window_s.min(MOST),
        left: told.left.min(MOST),
        ..told
    };
    let policy = policy(told.size, told.window_s);
    let shown = Bucket {
        pool,
        policy,
        size: told.size,
        window_s: told.window_s,
        left: told.left,
        resets_at: Some(told.resets_at),
        told: true,
    };
    buckets.retain(|bucket| bucket.pool != pool || bucket.policy != shown.policy);
    for bucket in buckets.iter_mut().filter(|bucket| bucket.pool == pool) {
        bucket.raise(told.left, now);
    }
    buckets.push(shown);
}

pub(crate) fn load(connection: &Connection, did: &Did) -> Result<Vec<Bucket>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT pool, policy, size, window_s, left, resets_at, told FROM bucket WHERE did = ?1
         ORDER BY pool DESC, window_s",
    )?;
    let rows = statement.query_map([did.as_str()], read)?;
    let mut buckets: Vec<Bucket> = rows.collect::<rusqlite::Result<_>>()?;
    for pool in [Pool::Writes, Pool::Blobs] {
        if buckets.iter().all(|bucket| bucket.pool != pool) {
            let assumed = ASSUMED.into_iter().filter(|(of, ..)| *of == pool);
            buckets.extend(assumed.map(Bucket::assumed));
        }
    }
    Ok(buckets)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Bucket> {
    let pool: String = row.get(0)?;
    Ok(Bucket {
        pool: if pool == "blobs" {
            Pool::Blobs
        } else {
            Pool::Writes
        },
        policy: row.get(1)?,
        size: row.get(2)?,
        window_s: row.get(3)?,
        left: row.get(4)?,
        resets_at: row.get(5)?,
        told: row.get(6)?,
    })
}

fn save(connection: &Connection, did: &Did, buckets: &[Bucket]) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO bucket VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for bucket in buckets {
        let pool = match bucket.pool {
            Pool::Writes => "writes",
            Pool::Blobs => "blobs",
        };
        statement.execute(params![
            did.as_str(),
            pool,
            bucket.policy,
            bucket.size,
            bucket.window_s,
            bucket.left,
            bucket.resets_at,
            bucket.told
        ])?;
    }
    Ok(())
}

fn policy(size: u64, window_s: u64) -> String {
    format!("{size};w={window_s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assumed() -> Vec<Bucket> {
        ASSUMED.into_iter().map(Bucket::assumed).collect()
    }

    #[test]
    fn a_window_begins_with_the_first_point_and_ends_full() {
        let mut hour = Bucket::assumed((Pool::Writes, 10, 3_600));
        assert_eq!(hour.left(0), 10);
        hour.spend(7, 1_000);
        assert_eq!((hour.left(1_000), hour.resets_at), (3, Some(3_601_000)));
        hour.spend(7, 2_000);
        assert_eq!((hour.left(2_000), hour.resets_at), (0, Some(3_601_000)));
        assert_eq!(hour.left(3_601_000), 10, "full again");
        hour.spend(1, 3_700_000);
        assert_eq!((hour.left(3_700_000), hour.resets_at), (9, Some(7_300_000)));
    }

    #[test]
    fn what_is_not_shown_has_at_least_what_is_shown() {
        let mut buckets = assumed();
        for bucket in &mut buckets {
            bucket.spend(4_990, 0);
        }
        let told = Told {
            size: 3_000,
            window_s: 300,
            left: 2_500,
            resets_at: 300_000,
        };
        hear(&mut buckets, Pool::Writes, told, 1_000);
        let left: Vec<_> = buckets
            .iter()
            .map(|bucket| (bucket.size, bucket.left(1_000)))
            .collect();
        assert_eq!(
            left,
            [(5_000, 2_500), (35_000, 30_010), (1_000, 0), (3_000, 2_500)],
            "the hour has more than our own count says; blobs are another pool"
        );
    }
}
