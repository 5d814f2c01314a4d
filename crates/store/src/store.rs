//! The store's handle.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::blobs::BlobFolder;
use crate::crash::Crash;
use crate::error::{OpenError, StoreError};
use crate::job::{Cause, Durability, Job, Task, Turn};
use crate::open::{self, Opened, Options};
use crate::writer::Writer;
use rusqlite::Connection;

/// What an agent's processes must not forget, in one SQLite file and a folder of blobs beside it.
///
/// Cheap to clone; clones are the same store. Several processes may have it open at once. Every
/// method that writes says what its effect survives. Dropping the last handle blocks for as long as it
/// takes to do what was handed over, and to close the file: normally some milliseconds.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Before the writer: fields are dropped in their order, and the writer removes a temporary folder.
    reader: Mutex<Connection>,
    writer: Writer,
    blobs: BlobFolder,
    crash: Crash,
}

impl Store {
    /// Opens the store of this name, and makes it if it is not there: the file with mode 0600, the
    /// folders with 0700. Blocks while it does, for milliseconds.
    ///
    /// # Errors
    /// [`OpenError`] says why not, and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::opened(Options::at(path.as_ref()))
    }

    /// A store that is gone with its last handle: for agents that need to survive nothing. It goes
    /// through the same code, and waits for no disk.
    ///
    /// # Errors
    /// [`OpenError`] if the system's folder for temporary files cannot be used.
    pub fn temporary() -> Result<Self, OpenError> {
        Self::opened(Options::temporary()?)
    }

    /// Opens a store whose process dies as planned.
    ///
    /// # Errors
    /// As [`Store::open`].
    #[cfg(feature = "crash-points")]
    pub fn open_to_crash(
        path: impl AsRef<Path>,
        plan: crate::CrashPlan,
    ) -> Result<Self, OpenError> {
        let mut options = Options::at(path.as_ref());
        options.crash = Crash::planned(Some(plan));
        Self::opened(options)
    }

    fn opened(options: Options) -> Result<Self, OpenError> {
        let Opened {
            reader,
            writer,
            blobs,
            crash,
        } = open::open(options)?;
        Ok(Self(Arc::new(Inner {
            reader: Mutex::new(reader),
            writer,
            blobs,
            crash,
        })))
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        self.0.blobs.store_path()
    }

    /// The folder of blobs.
    pub fn blobs(&self) -> &BlobFolder {
        &self.0.blobs
    }

    /// A point at which a test may let the process die: then this never returns. Nothing without the
    /// feature `crash-points`. Cancel safe.
    pub async fn reach(&self, point: &'static str) {
        if self.0.crash.reach(format_args!("{point}")) {
            std::future::pending::<()>().await;
        }
    }

    /// Runs a job in a transaction, together with others that wait, and answers when it is durable.
    /// Cancel safe: a job that was handed over is done, whether or not somebody waits for it.
    pub(crate) async fn write<T, E>(
        &self,
        name: &'static str,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Cause + Send + 'static,
    {
        let (job, answer) = Task::new(name, durability, Turn::Queued, work);
        self.send(Box::new(job)).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The same for work that is one statement, which is undone alone by itself.
    pub(crate) async fn write_one<T, E>(
        &self,
        name: &'static str,
        durability: Durability,
        statement: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Cause + Send + 'static,
    {
        let (job, answer) = Task::new(name, durability, Turn::Queued, statement);
        self.send(Box::new(job.of_one_statement())).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The same for a job that sees what was committed before its transaction, and nothing of what is
    /// done in it.
    pub(crate) async fn write_first(
        &self,
        name: &'static str,
        work: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (job, answer) = Task::new(name, Durability::Process, Turn::First, work);
        self.send(Box::new(job)).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn send(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let sent = self.0.writer.jobs().send(job).await;
        sent.map_err(|_| closed())
    }

    /// The same for callers outside of the runtime, whose thread may block.
    pub(crate) fn write_here<T, E>(
        &self,
        name: &'static str,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Cause + Send + 'static,
    {
        let (job, answer) = Task::new(name, durability, Turn::Queued, work);
        let sent = self.0.writer.jobs().blocking_send(Box::new(job.blocking()));
        sent.map_err(|_| closed::<E>())?;
        answer.blocking_recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Reads what was committed, by whichever process. Cancel safe.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let read = tokio::task::spawn_blocking(move || store.read_here(work)).await;
        read.unwrap_or(Err(StoreError::Closed))
    }

    /// The same on this thread, for callers that may block.
    pub(crate) fn read_here<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A reader that panicked has changed nothing.
        work(&self.0.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn closed<E: From<StoreError>>() -> E {
    E::from(StoreError::Closed)
}
