//! From a path to an open store: made if it is not there, checked if it is.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tempfile::TempDir;

use crate::blobs::BlobFolder;
use crate::check;
use crate::crash::Crash;
use crate::error::{OpenError, StoreError};
use crate::in_use::InUse;
use crate::make::{make_file, make_folder};
use crate::schema;
use crate::writer::{BUSY_TIMEOUT, Writer};

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
    pub(crate) writer: Writer,
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

pub(crate) fn open(options: Options) -> Result<Opened, OpenError> {
    let Options {
        path,
        temporary,
        crash,
    } = options;
    let path = make_file(&path)?;
    let sqlite = |source: rusqlite::Error| sqlite_error(&path, source);
    let mut connection = connect(&path).map_err(sqlite)?;
    // Before anything is changed: the file may be somebody else's.
    recognise(&connection, &path)?;
    let in_use = InUse::begin(&beside(&path, "lock"))?;
    log_ahead(&connection, &path)?;
    let in_use = update(&mut connection, &path, in_use)?;
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
    let waits = temporary.is_none();
    let writer = Writer::start(connection, crash.clone(), waits, (in_use, temporary));
    let writer = writer.map_err(|source| OpenError::Io {
        path: path.clone(),
        source,
    })?;
    Ok(Opened {
        reader,
        writer,
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
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Whether it is a store, or nothing yet, and not too new; its version. Changes nothing.
fn recognise(connection: &Connection, path: &Path) -> Result<i32, OpenError> {
    let look = || -> rusqlite::Result<(i32, i32, bool)> {
        // In one transaction: another process may be making it.
        let at_once = connection.unchecked_transaction()?;
        let application = at_once.pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok((
            application,
            schema::version(&at_once)?,
            has_tables(&at_once)?,
        ))
    };
    let (application, found, has_tables) = look().map_err(|source| sqlite_error(path, source))?;
    let known = schema::VERSION;
    let blank = application == 0 && found == 0 && !has_tables;
    let path = path.to_owned();
    if application != schema::APPLICATION_ID && !blank {
        return Err(OpenError::NotAStore { path });
    }
    if found > known {
        return Err(OpenError::Newer { path, found, known });
    }
    Ok(found)
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| {
        row.get(0)
    })
}

/// Writes go to a log first, which lets others read meanwhile. The file remembers it.
fn log_ahead(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|source| sqlite_error(path, source))?;
    match mode.as_str() {
        "wal" => Ok(()),
        _ => Err(OpenError::Sqlite {
            path: path.to_owned(),
            source: StoreError::Sqlite(
                "its file system cannot share memory between processes: use a local disk"
                    .to_owned(),
            ),
        }),
    }
}

/// Brings the tables up to date. Only while no other program has the store open: an older one would
/// write into tables that it does not know.
fn update(connection: &mut Connection, path: &Path, mut in_use: InUse) -> Result<InUse, OpenError> {
    let sqlite = |source: rusqlite::Error| sqlite_error(path, source);
    // Another process may have updated it since the lock was asked for.
    let (found, known) = (recognise(connection, path)?, schema::VERSION);
    if found < known {
        let older = has_tables(connection).map_err(sqlite)?;
        if older && !in_use.try_alone() {
            let path = path.to_owned();
            return Err(OpenError::InUse { path, found, known });
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
        migrated.map_err(sqlite)?;
    }
    in_use.share().map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(in_use)
}

/// Removes blobs that no message needs any more; a process that died may have left some.
fn sweep(connection: &mut Connection, blobs: &BlobFolder) -> Result<(), StoreError> {
    // Nobody else puts blobs into the folder while the transaction is open.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    blobs.sweep(&transaction)?;
    transaction.commit()?;
    Ok(())
}

/// What SQLite said, as what it means for a store that is being opened.
pub(crate) fn sqlite_error(path: &Path, source: rusqlite::Error) -> OpenError {
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

/// Files that only their owner can read: tokens are in the store.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
