//! The one thread that writes: it gathers what waits into one transaction (group commit), so that many
//! callers share one wait for the disk.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc;

use crate::crash::Crash;
use crate::error::StoreError;
use crate::job::{Durability, Job};

/// Jobs that wait for the thread; a caller beyond that waits for a place. Some groups' worth.
const JOBS_WAITING: usize = 1024;

/// The most jobs of one transaction: enough that the disk is waited for less than a hundred times a
/// second at the highest rates, and few enough that one waits for a few milliseconds at most.
const GROUP: usize = 512;

/// What part of a transaction's time the next one is delayed by at most, while callers come back.
const PATIENCE: u32 = 8;

/// And the longest delay: a disk that stalled once says nothing of the next time.
const MOST_PATIENCE: Duration = Duration::from_millis(2);

/// How long another process may hold the file before a job gives up: its transactions take
/// milliseconds, unless its disk stalls.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The thread. Dropping this waits until it has done what it was given.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it. It lets go of what is `held` when it has ended and the file is closed; if it `waits`
    /// not, then for no disk.
    pub(crate) fn start(
        connection: Connection,
        crash: Crash,
        waits: bool,
        held: impl Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING);
        let thread = thread::Builder::new().name("atcomms-store".to_owned());
        let thread = thread.spawn(move || {
            run(connection, waiting, &crash, waits);
            drop(held);
        })?;
        Ok(Self {
            jobs,
            thread: Some(thread),
        })
    }

    /// Where jobs go.
    pub(crate) fn jobs(&self) -> &mpsc::Sender<Box<dyn Job>> {
        &self.jobs
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends with the last sender.
        self.jobs = mpsc::channel(1).0;
        if let Some(thread) = self.thread.take() {
            // If it panicked, whoever waited for an answer knows.
            drop(thread.join());
        }
    }
}

fn run(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    crash: &Crash,
    waits: bool,
) {
    let mut synchronous = None;
    let mut graveyard = Vec::new();
    let mut pace = Pace::default();
    while let Some(first) = jobs.blocking_recv() {
        let mut group = gather(first, &mut jobs, &pace);
        group.sort_by_key(|job| job.turn());
        let durability = group.iter().map(|job| job.durability()).max();
        let ready = match waits && synchronous != durability {
            true => set_synchronous(&connection, durability),
            false => Ok(()),
        };
        let begun = Instant::now();
        let ended = match ready {
            Ok(()) => {
                synchronous = durability;
                commit(&mut connection, &mut group, crash)
            }
            // Else they would be promised more than they get.
            Err(error) => Ended::Undone(error.into()),
        };
        pace = Pace {
            jobs: group.len(),
            took: begun.elapsed(),
        };
        match ended {
            Ended::Committed => group.into_iter().for_each(|job| job.answer(Ok(()))),
            Ended::Undone(error) => {
                for job in group {
                    job.answer(Err(error.clone()));
                }
            }
            // The process is dead: nobody is ever answered. But a thread that waited for its answer would
            // never end, and would keep this store.
            Ended::Dead => graveyard.extend(group.into_iter().filter(|job| !job.blocks())),
        }
    }
}

/// How the last transaction went.
#[derive(Default)]
struct Pace {
    jobs: usize,
    took: Duration,
}

/// What goes into one transaction. Those who were answered by the last one are about to come back: it
/// waits for them for a part of the time that they would else wait for the disk. A single caller is
/// not waited for.
fn gather(
    first: Box<dyn Job>,
    jobs: &mut mpsc::Receiver<Box<dyn Job>>,
    last: &Pace,
) -> Vec<Box<dyn Job>> {
    let until = Instant::now() + (last.took / PATIENCE).min(MOST_PATIENCE);
    let mut group = vec![first];
    while group.len() < GROUP {
        match jobs.try_recv() {
            Ok(next) => group.push(next),
            Err(mpsc::error::TryRecvError::Empty)
                if group.len() < last.jobs && Instant::now() < until =>
            {
                thread::yield_now();
            }
            Err(_) => break,
        }
    }
    group
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

/// Runs one job so that it can be undone without the others. A savepoint keeps a copy of every page that is
/// changed behind it, which costs more than a statement that changes one row.
fn run_alone(connection: &Connection, job: &mut dyn Job) -> Result<(), StoreError> {
    if job.is_one_statement() {
        let done = job.run(connection);
        return match connection.is_autocommit() {
            true => done,
            false => Ok(()),
        };
    }
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    if let Err(error) = job.run(connection) {
        // After an error such as a full disk, SQLite has undone the whole transaction by itself.
        if connection.is_autocommit() {
            return Err(error);
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
