//! Handing events out, and taking the word of who has them.

use rusqlite::{Connection, params};

use super::{Received, read};
use crate::consumer::Consumer;
use crate::error::StoreError;
use crate::job::{Cause, Durability};
use crate::store::Store;

/// Who has an event. Two leases of one event have two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken(pub i64);

/// Under which terms events are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many events at most that are handed out now.
    pub count: usize,
    /// How many may be out at once, here and elsewhere.
    pub max_in_flight: usize,
    /// For how long they are with who takes them, in milliseconds.
    pub ack_wait: i64,
    /// An event that was handed out this often is dead.
    pub max_deliver: u32,
    /// Whether an event waits for the one before it of its repository to be acknowledged.
    pub strict: bool,
}

/// Why a word about an event does not count. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// It is with somebody else by now, or was acknowledged: it took longer than `ack_wait`.
    #[error(
        "the delivery is not ours any more: it took longer than ack_wait, and was handed out again"
    )]
    Lost,
    /// The caller's own work failed.
    #[error("the delivery is not acknowledged: {0}")]
    Work(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for LeaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Cause for LeaseError {
    fn cause(&self) -> StoreError {
        match self {
            Self::Store(error) => error.clone(),
            Self::Lost | Self::Work(_) => StoreError::Sqlite(self.to_string()),
        }
    }
}

/// What a dead event says that was handed out too often.
const TOO_OFTEN: &str = "it was handed out too often without being acknowledged";

impl Store {
    /// Hands out the next events, in their order. Survives a killed process: the events come back when
    /// their time is over. Cancel safe, but for events that are handed out to nobody until then.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn lease(
        &self,
        consumer: &Consumer,
        token: LeaseToken,
        terms: Terms,
        now: i64,
    ) -> Result<Vec<Received>, StoreError> {
        let id = consumer.id;
        self.write("lease", Durability::Process, move |connection| {
            connection
                .prepare_cached(
                    "UPDATE inbox SET state = 'dead', lease = NULL, reason = ?4
                     WHERE consumer_id = ?1 AND state = 'waiting' AND visible_at <= ?2 AND attempts >= ?3",
                )?
                .execute(params![id, now, terms.max_deliver, TOO_OFTEN])?;
            let count = terms.count.min(room(connection, id, terms, now)?);
            let ids = next(connection, id, count, terms.strict, now)?;
            let mut taken = Vec::with_capacity(ids.len());
            for event in ids {
                connection
                    .prepare_cached(
                        "UPDATE inbox SET lease = ?2, visible_at = ?3, attempts = attempts + 1 WHERE id = ?1",
                    )?
                    .execute(params![event, token.0, now.saturating_add(terms.ack_wait)])?;
                taken.extend(read::one(connection, event)?);
            }
            Ok(taken)
        })
        .await
    }

    /// When the first event that is out or was put off may be handed out (again); `None` if none waits.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn next_visible(&self, consumer: &Consumer) -> Result<Option<i64>, StoreError> {
        let id = consumer.id;
        self.read(move |connection| {
            let at = connection
                .prepare_cached(
                    "SELECT min(visible_at) FROM inbox WHERE consumer_id = ?1 AND state = 'waiting'",
                )?
                .query_row([id], |row| row.get(0))?;
            Ok(at)
        })
        .await
    }

    /// Acknowledges an event: it is gone, and does not come again. Survives a killed process.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] says why it counts as not acknowledged.
    pub async fn ack(&self, event: i64, token: LeaseToken) -> Result<(), LeaseError> {
        self.write("ack", Durability::Process, move |connection| {
            ack(connection, event, token)
        })
        .await
    }

    /// Acknowledges an event in one transaction with the caller's own work: both happen, or neither.
    /// Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] says why neither happened.
    pub async fn ack_with<T: Send + 'static>(
        &self,
        event: i64,
        token: LeaseToken,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LeaseError> {
        self.write("ack_with", Durability::Process, move |connection| {
            ack(connection, event, token)?;
            work(connection).map_err(|error| LeaseError::Work(error.to_string()))
        })
        .await
    }

    /// Puts an event off: it comes again at `at` (milliseconds since 1970). Survives a killed process.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] if it is not ours any more.
    pub async fn put_off(&self, event: i64, token: LeaseToken, at: i64) -> Result<(), LeaseError> {
        self.write("put_off", Durability::Process, move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE inbox SET lease = NULL, visible_at = ?3 WHERE id = ?1 AND lease = ?2",
                )?
                .execute(params![event, token.0, at])?;
            ours(changed)
        })
        .await
    }

    /// Gives an event back that nobody has looked at: it comes again at once, and this time does not
    /// count. One that is not ours any more is given back already. Survives a killed process.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn give_back(&self, event: i64, token: LeaseToken) -> Result<(), StoreError> {
        self.write("give_back", Durability::Process, move |connection| {
            connection
                .prepare_cached(
                    "UPDATE inbox SET lease = NULL, visible_at = 0, attempts = attempts - 1
                     WHERE id = ?1 AND lease = ?2",
                )?
                .execute(params![event, token.0])?;
            Ok(())
        })
        .await
    }

    /// Keeps an event until `until` (milliseconds since 1970): it is being worked on. Survives a killed
    /// process. Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] if it is not ours any more.
    pub async fn keep(&self, event: i64, token: LeaseToken, until: i64) -> Result<(), LeaseError> {
        self.write("keep", Durability::Process, move |connection| {
            let changed = connection
                .prepare_cached("UPDATE inbox SET visible_at = ?3 WHERE id = ?1 AND lease = ?2")?
                .execute(params![event, token.0, until])?;
            ours(changed)
        })
        .await
    }

    /// Lays an event among the dead: it does not come again unless somebody
    /// [sends it again](Store::deliver_again). Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] if it is not ours any more.
    pub async fn terminate(
        &self,
        event: i64,
        token: LeaseToken,
        reason: String,
    ) -> Result<(), LeaseError> {
        self.write("terminate", Durability::Process, move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE inbox SET state = 'dead', lease = NULL, reason = ?3 WHERE id = ?1 AND lease = ?2",
                )?
                .execute(params![event, token.0, reason])?;
            ours(changed)
        })
        .await
    }
}

fn ack(connection: &Connection, event: i64, token: LeaseToken) -> Result<(), LeaseError> {
    let deleted = connection
        .prepare_cached("DELETE FROM inbox WHERE id = ?1 AND lease = ?2 AND state = 'waiting'")?
        .execute([event, token.0])?;
    ours(deleted)
}

fn ours(changed: usize) -> Result<(), LeaseError> {
    match changed {
        0 => Err(LeaseError::Lost),
        _ => Ok(()),
    }
}

/// How many more may be out.
fn room(
    connection: &Connection,
    consumer: i64,
    terms: Terms,
    now: i64,
) -> Result<usize, StoreError> {
    let out: usize = connection
        .prepare_cached(
            "SELECT count(*) FROM inbox
             WHERE consumer_id = ?1 AND state = 'waiting' AND lease IS NOT NULL AND visible_at > ?2",
        )?
        .query_row([consumer, now], |row| row.get(0))?;
    Ok(terms.max_in_flight.saturating_sub(out))
}

fn next(
    connection: &Connection,
    consumer: i64,
    count: usize,
    strict: bool,
    now: i64,
) -> Result<Vec<i64>, StoreError> {
    let query = match strict {
        false => {
            "SELECT id FROM inbox WHERE consumer_id = ?1 AND state = 'waiting' AND visible_at <= ?2
             ORDER BY id LIMIT ?3"
        }
        true => {
            "SELECT id FROM inbox AS event
             WHERE consumer_id = ?1 AND state = 'waiting' AND visible_at <= ?2 AND NOT EXISTS (
                 SELECT 1 FROM inbox AS earlier
                 WHERE earlier.consumer_id = ?1 AND earlier.state = 'waiting' AND earlier.did = event.did
                     AND earlier.id < event.id)
             ORDER BY id LIMIT ?3"
        }
    };
    let mut statement = connection.prepare_cached(query)?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let ids = statement.query_map([consumer, now, count], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}
