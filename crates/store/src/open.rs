//! From a path to an open store: made if it is not there, checked if it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::blobs::BlobFolder;
use crate::check;
use crate::crash::Crash;
use crate::error::{OpenError, StoreError};
use crate::schema;
use crate::writer::{self, BUSY_TIMEOUT, Job};

/// The write-ahead log is moved into the file when it has grown to so many pages of 4 KiB: 16 MiB, so
/// that a burst of messages does not wait for it.
const CHECKPOINT_PAGES: u32 = 4096;

/// How a store is opened.
pub(crate) struct Options {
    path: PathBuf,
    temporary: Option<TempDir>,
    pub(crate) crash: Crash,
}

/// An open store.
pub(crate) struct Opened {
    pub(crate) reader: Connection,
    pub(crate) jobs: mpsc::Sender<Box<dyn Job>>,
    pub(crate) blobs: BlobFolder,
    pub(crate) crash: Crash,
}

impl Options {
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            temporary: None,
            crash: from_environment(),
        }
    }

    pub(crate) fn temporary() -> Result<Self, OpenError> {
        let folder = TempDir::with_prefix("atcomms-").map_err(|source| OpenError::Io {
            path: std::env::temp_dir(),
            source,
        })?;
        Ok(Self {
            path: folder.path().join("store.sqlite3"),
            temporary: Some(folder),
            crash: Crash::default(),
        })
    }
}

#[cfg(feature = "crash-points")]
fn from_environment() -> Crash {
    Crash::planned(crate::CrashPlan::from_environment())
}

#[cfg(not(feature = "crash-points"))]
fn from_environment() -> Crash {
    Crash::default()
}

pub(crate) fn open(options: Options, jobs_waiting: usize) -> Result<Opened, OpenError> {
    let Options {
        path,
        temporary,
        crash,
    } = options;
    make_folder(path.parent().unwrap_or(Path::new("")))?;
    make_file(&path)?;
    let in_use = lock(&beside(&path, "lock"))?;
    let sqlite = |source: rusqlite::Error| sqlite_error(&path, source);
    let mut connection = connect(&path).map_err(sqlite)?;
    update(&mut connection, &path, &in_use)?;
    let blobs = BlobFolder::new(&path, beside(&path, "blobs"));
    make_folder(blobs.path())?;
    check::check(&connection, &blobs)?;
    sweep(&mut connection, &blobs).map_err(|source| OpenError::Sqlite {
        path: path.clone(),
        source,
    })?;
    let reader = connect(&path).map_err(sqlite)?;
    reader
        .pragma_update(None, "query_only", true)
        .map_err(sqlite)?;
    if temporary.is_some() {
        // Nothing has to survive: the file is gone with this process anyway.
        connection
            .pragma_update(None, "synchronous", "OFF")
            .map_err(sqlite)?;
    }
    let (jobs, waiting) = mpsc::channel(jobs_waiting);
    let thread = std::thread::Builder::new().name("atcomms-store".to_owned());
    let writer_crash = crash.clone();
    let spawned = thread.spawn(move || {
        writer::run(connection, waiting, &writer_crash, temporary.is_some());
        drop((in_use, temporary));
    });
    spawned.map_err(|source| OpenError::Io {
        path: path.clone(),
        source,
    })?;
    Ok(Opened {
        reader,
        jobs,
        blobs,
        crash,
    })
}

/// The name of a file or folder that belongs to the store.
pub(crate) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push("-");
    name.push(what);
    name.into()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Brings the tables up to date. Only while no other program has the store open: an older one would
/// write into tables that it does not know.
fn update(connection: &mut Connection, path: &Path, in_use: &File) -> Result<(), OpenError> {
    let sqlite = |source: rusqlite::Error| sqlite_error(path, source);
    let (found, known) = (
        schema::version(connection).map_err(sqlite)?,
        schema::VERSION,
    );
    let application: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(sqlite)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
        .map_err(sqlite)?;
    let path = path.to_owned();
    if application != schema::APPLICATION_ID && tables > 0 {
        return Err(OpenError::NotAStore { path });
    }
    if found > known {
        return Err(OpenError::Newer { path, found, known });
    }
    if found == known {
        return Ok(());
    }
    if tables > 0 {
        match in_use
            .unlock()
            .and_then(|()| in_use.try_lock().map_err(Into::into))
        {
            Ok(()) => {}
            Err(_) => return Err(OpenError::InUse { path, found, known }),
        }
    }
    let migrated = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .and_then(|transaction| {
            // Another process may have been first.
            if schema::version(&transaction)? < known {
                schema::migrate(&transaction)?;
            }
            transaction.commit()
        });
    migrated.map_err(|source| sqlite_error(&path, source))?;
    in_use
        .lock_shared()
        .map_err(|source| OpenError::Io { path, source })
}

/// Removes blobs that no message needs any more; a process that died may have left some.
fn sweep(connection: &mut Connection, blobs: &BlobFolder) -> Result<(), StoreError> {
    // Nobody else puts blobs into the folder while the transaction is open.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    blobs.sweep(&transaction)?;
    transaction.commit()?;
    Ok(())
}

fn sqlite_error(path: &Path, source: rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode;
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotAStore { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged {
            path,
            what: source.to_string(),
            remedy: check::REMEDY.to_owned(),
        },
        _ => OpenError::Sqlite {
            path,
            source: source.into(),
        },
    }
}

/// Held while the store is open, shared by all who have it open.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let file = private()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        // Somebody brings it up to date, which takes a moment.
        Err(TryLockError::WouldBlock) => file.lock_shared().map(|()| file).map_err(failed),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn make_folder(folder: &Path) -> Result<(), OpenError> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| OpenError::Io {
        path: folder.to_owned(),
        source,
    })
}

/// Makes the file before SQLite does, which would let others read it; what SQLite puts beside it gets
/// the same mode.
fn make_file(path: &Path) -> Result<(), OpenError> {
    let made = private().create(true).truncate(false).open(path);
    made.map(drop).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Files that only their owner can read: tokens are in them.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
