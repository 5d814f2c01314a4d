//! Handing events out, and taking the word of who has them.

use atcomms_lexicon::fault;
use rusqlite::{Connection, params};

use super::only::Only;
use super::{Received, read};
use crate::consumer::Consumer;
use crate::error::StoreError;
use crate::job::{Cause, Durability};
use crate::store::Store;

/// Who has an event. Each time that events are handed out has a token of its own, so that who had one
/// too long cannot speak for who has it now.
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

/// What waits in an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// Whether there are events whose time has come. If none is handed out all the same, they wait for
    /// others to be acknowledged.
    pub due: bool,
    /// Whether events are with somebody.
    pub out: bool,
    /// When the first of those that are with somebody or were put off comes back, in milliseconds
    /// since 1970.
    pub next: Option<i64>,
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
        self.lease_of(consumer, &Only::all(), token, terms, now)
            .await
    }

    /// The same for the events of some collections only; the others stay for whoever asks for them. Of what
    /// is out, and of what [`Terms::strict`] waits for, all count.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn lease_of(
        &self,
        consumer: &Consumer,
        only: &Only,
        token: LeaseToken,
        terms: Terms,
        now: i64,
    ) -> Result<Vec<Received>, StoreError> {
        let (id, only) = (consumer.id, only.clone());
        let max_deliver = terms
            .max_deliver
            .saturating_add(u32::from(fault::on("max-deliver")));
        self.write("lease", Durability::Process, move |connection| {
            connection
                .prepare_cached(
                    "UPDATE inbox SET state = 'dead', lease = NULL, since = NULL, reason = ?4
                     WHERE consumer_id = ?1 AND state = 'waiting' AND visible_at > 0 AND visible_at <= ?2
                         AND attempts >= ?3",
                )?
                .execute(params![id, now, max_deliver, TOO_OFTEN])?;
            let count = terms.count.min(room(connection, id, terms, now)?);
            let ids = next(connection, id, &only, count, terms.strict, now)?;
            let until = put_off_until(now.saturating_add(terms.ack_wait));
            let mut hand_out = connection.prepare_cached(
                "UPDATE inbox SET lease = ?2, visible_at = ?3, attempts = attempts + 1 WHERE id = ?1",
            )?;
            let mut look = connection.prepare_cached(&read::events("WHERE id = ?1"))?;
            let mut taken = Vec::with_capacity(ids.len());
            for event in ids {
                hand_out.execute(params![event, token.0, until])?;
                taken.push(look.query_row([event], read::received)?);
            }
            Ok(taken)
        })
        .await
    }

    /// What waits in a consumer's inbox, as far as it matters for when to look again. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn pending(&self, consumer: &Consumer, now: i64) -> Result<Pending, StoreError> {
        self.pending_of(consumer, &Only::all(), now).await
    }

    /// The same for the events of some collections only; what is out is out of any. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn pending_of(
        &self,
        consumer: &Consumer,
        only: &Only,
        now: i64,
    ) -> Result<Pending, StoreError> {
        let (id, only) = (consumer.id, only.clone());
        self.read(move |connection| {
            let of = only.condition(3);
            let pending = connection
                .prepare_cached(&format!(
                    "SELECT
                         EXISTS (SELECT 1 FROM inbox WHERE consumer_id = ?1 AND state = 'waiting'
                             AND visible_at = 0 {of})
                         OR EXISTS (SELECT 1 FROM inbox WHERE consumer_id = ?1 AND state = 'waiting'
                             AND visible_at > 0 AND visible_at <= ?2 {of}),
                         EXISTS (SELECT 1 FROM inbox WHERE consumer_id = ?1 AND state = 'waiting'
                             AND visible_at > 0 AND visible_at > ?2 AND lease IS NOT NULL),
                         (SELECT min(visible_at) FROM inbox WHERE consumer_id = ?1 AND state = 'waiting'
                             AND visible_at > 0 AND visible_at > ?2 {of})",
                ))?
                .query_row(only.after([id, now]), |row| {
                    Ok(Pending {
                        due: row.get(0)?,
                        out: row.get(1)?,
                        next: row.get(2)?,
                    })
                })?;
            Ok(pending)
        })
        .await
    }

    /// Acknowledges an event: it is gone, and does not come again. Survives a killed process.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LeaseError`] says why it counts as not acknowledged.
    pub async fn ack(&self, event: i64, token: LeaseToken) -> Result<(), LeaseError> {
        self.write_one("ack", Durability::Process, move |connection| {
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
        self.write_one("put_off", Durability::Process, move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE inbox SET lease = NULL, visible_at = ?3 WHERE id = ?1 AND lease = ?2",
                )?
                .execute(params![event, token.0, put_off_until(at)])?;
            ours(changed)
        })
        .await
    }

    /// Gives events back that nobody has looked at: they come again at once, and this time does not
    /// count. Those that are not ours any more are given back already. Survives a killed process.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn give_back(&self, events: Vec<i64>, token: LeaseToken) -> Result<(), StoreError> {
        self.write("give_back", Durability::Process, move |connection| {
            let mut give_back = connection.prepare_cached(
                "UPDATE inbox SET lease = NULL, visible_at = 0, attempts = attempts - 1
                 WHERE id = ?1 AND lease = ?2",
            )?;
            for event in events {
                give_back.execute([event, token.0])?;
            }
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
        self.write_one("keep", Durability::Process, move |connection| {
            let changed = connection
                .prepare_cached("UPDATE inbox SET visible_at = ?3 WHERE id = ?1 AND lease = ?2")?
                .execute(params![event, token.0, put_off_until(until)])?;
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
        self.write_one("terminate", Durability::Process, move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE inbox SET state = 'dead', lease = NULL, since = NULL, reason = ?3
                     WHERE id = ?1 AND lease = ?2",
                )?
                .execute(params![event, token.0, reason])?;
            ours(changed)
        })
        .await
    }
}

fn ack(connection: &Connection, event: i64, token: LeaseToken) -> Result<(), LeaseError> {
    if fault::on("ack-forgotten") {
        return Ok(());
    }
    let deleted = connection
        .prepare_cached("DELETE FROM inbox WHERE id = ?1 AND lease = ?2 AND state = 'waiting'")?
        .execute([event, token.0])?;
    ours(deleted)
}

fn ours(changed: usize) -> Result<(), LeaseError> {
    match changed {
        0 if !fault::on("lease-lost") => Err(LeaseError::Lost),
        _ => Ok(()),
    }
}

/// An event that was handed out or put off, even to a time before 1970: 0 is for those that never were.
fn put_off_until(at: i64) -> i64 {
    at.max(1)
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
             WHERE consumer_id = ?1 AND state = 'waiting' AND visible_at > 0 AND visible_at > ?2
                 AND lease IS NOT NULL",
        )?
        .query_row([consumer, now], |row| row.get(0))?;
    let out = if fault::on("max-in-flight") { 0 } else { out };
    Ok(terms.max_in_flight.saturating_sub(out))
}

/// What is handed out next: of those that were never out and of those that are back, the first.
fn next_sql(only: &Only) -> String {
    let of = only.condition(4);
    format!(
        "SELECT id FROM (SELECT id FROM inbox
             WHERE consumer_id = ?1 AND state = 'waiting' AND visible_at = 0 {of} ORDER BY id LIMIT ?3)
         UNION ALL
         SELECT id FROM (SELECT id FROM inbox
             WHERE consumer_id = ?1 AND state = 'waiting' AND visible_at > 0 AND visible_at <= ?2 {of}
             ORDER BY id LIMIT ?3)
         ORDER BY id LIMIT ?3"
    )
}

/// The first that waits of each repository, found by going from one repository to the next; those that
/// may be handed out, the first first.
fn next_strict_sql(only: &Only) -> String {
    let of = only.condition(4);
    format!(
        "WITH RECURSIVE repository_of (did) AS (
             SELECT (SELECT min(did) FROM inbox WHERE consumer_id = ?1 AND state = 'waiting')
             UNION ALL
             SELECT (SELECT min(did) FROM inbox
                 WHERE consumer_id = ?1 AND state = 'waiting' AND did > repository_of.did)
             FROM repository_of WHERE repository_of.did IS NOT NULL)
         SELECT id FROM (SELECT (SELECT min(id) FROM inbox
                 WHERE consumer_id = ?1 AND state = 'waiting' AND did = repository_of.did) AS id
             FROM repository_of WHERE repository_of.did IS NOT NULL) AS first
         WHERE EXISTS (SELECT 1 FROM inbox WHERE inbox.id = first.id AND visible_at <= ?2 {of})
         ORDER BY id LIMIT ?3"
    )
}

fn next(
    connection: &Connection,
    consumer: i64,
    only: &Only,
    count: usize,
    strict: bool,
    now: i64,
) -> Result<Vec<i64>, StoreError> {
    let sql = if strict && !fault::on("strict") {
        next_strict_sql(only)
    } else {
        next_sql(only)
    };
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let ids = statement.query_map(only.after([consumer, now, count]), |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}
