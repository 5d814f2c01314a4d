//! The one thread that writes: it gathers what waits into one transaction (group commit), so that many
//! callers share one wait for the disk.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::crash::Crash;
use crate::error::StoreError;

/// How much a transaction must survive before its caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// A killed process: the system has it. A power loss takes back the newest of these.
    Process,
    /// A power loss: the disk has it.
    PowerLoss,
}

/// Jobs that wait for the thread; a caller beyond that waits for a place. Some groups' worth.
pub(crate) const JOBS_WAITING: usize = 1024;

/// The most jobs of one transaction: enough that the disk is waited for less than a hundred times a
/// second at the highest rates, and few enough that one waits for a few milliseconds at most.
const GROUP: usize = 512;

/// How long another process may hold the file before a job gives up: its transactions take
/// milliseconds, unless its disk stalls.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// One unit of work within a transaction.
pub(crate) trait Job: Send {
    /// What it is called at the crash points.
    fn name(&self) -> &'static str;
    fn durability(&self) -> Durability;
    /// Does the work; false if it changed its mind and is to be undone alone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers the caller: the transaction was committed, or why not.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A job that runs a closure and answers with what it gave.
pub(crate) struct Task<F, T, E> {
    name: &'static str,
    durability: Durability,
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Task<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E>,
{
    /// A job, and where its answer comes.
    pub(crate) fn new(
        name: &'static str,
        durability: Durability,
        work: F,
    ) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        let task = Self {
            name,
            durability,
            work: Some(work),
            result: None,
            reply,
        };
        (task, answer)
    }
}

impl<F, T, E> Job for Task<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let result = self.work.take().map(|work| work(connection));
        let done = matches!(result, Some(Ok(_)));
        self.result = result;
        done
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.result, committed) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.into()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed.into()),
        };
        // A caller that is gone does not want to know.
        drop(self.reply.send(answer));
    }
}

/// Runs until the last handle of the store is gone and everything that it was given is done.
/// A `temporary` store waits for no disk.
pub(crate) fn run(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    crash: &Crash,
    temporary: bool,
) {
    let mut synchronous = None;
    let mut graveyard = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = jobs.try_recv()
        {
            group.push(next);
        }
        let durability = group.iter().map(|job| job.durability()).max();
        if !temporary
            && synchronous != durability
            && set_synchronous(&connection, durability).is_ok()
        {
            synchronous = durability;
        }
        match commit(&mut connection, &mut group, crash) {
            Ended::Committed => group.into_iter().for_each(|job| job.answer(Ok(()))),
            Ended::Undone(error) => {
                for job in group {
                    job.answer(Err(error.clone()));
                }
            }
            // The process is dead: nobody is ever answered.
            Ended::Dead => graveyard.push(group),
        }
    }
}

enum Ended {
    Committed,
    Undone(StoreError),
    Dead,
}

fn commit(connection: &mut Connection, group: &mut [Box<dyn Job>], crash: &Crash) -> Ended {
    if crash.reach(format_args!("transaction.begin")) {
        return Ended::Dead;
    }
    // Immediate: a transaction that began as a reader could not become a writer beside another process.
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => return Ended::Undone(error.into()),
    };
    for job in &mut *group {
        if let Err(error) = run_alone(&transaction, &mut **job) {
            return Ended::Undone(error);
        }
    }
    for job in &*group {
        if crash.reach(format_args!("{}.before_commit", job.name())) {
            return Ended::Dead;
        }
    }
    if let Err(error) = transaction.commit() {
        return Ended::Undone(error.into());
    }
    for job in &*group {
        if crash.reach(format_args!("{}.after_commit", job.name())) {
            return Ended::Dead;
        }
    }
    Ended::Committed
}

/// Runs one job so that it can be undone without the others.
fn run_alone(connection: &Connection, job: &mut dyn Job) -> Result<(), StoreError> {
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    if !job.run(connection) {
        // After an error such as a full disk, SQLite has undone the whole transaction by itself.
        if connection.is_autocommit() {
            return Err(StoreError::Full);
        }
        connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    connection.prepare_cached("RELEASE job")?.execute([])?;
    Ok(())
}

fn set_synchronous(
    connection: &Connection,
    durability: Option<Durability>,
) -> rusqlite::Result<()> {
    let level = match durability {
        Some(Durability::PowerLoss) => "FULL",
        _ => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", level)
}
