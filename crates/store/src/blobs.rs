//! The folder of blobs: attachments of messages that wait to be sent, each named by its CID.
//!
//! A file comes under its name, and goes, only inside a transaction that holds the store's write lock:
//! so nobody takes away what another process is about to refer to. It goes only once it is on the disk
//! that nobody needs it: every transaction after which a blob is needed no more survives a power loss.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use atcomms_lexicon::Cid;
use atcomms_lexicon::cid::{CODEC_RAW, from_digest};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::error::StoreError;
use crate::make::sync_folder;
use crate::outbox::Blob;
use crate::store::Store;

/// How much of a blob is in memory while it is copied, in bytes.
const CHUNK: usize = 64 << 10;

/// How the files are called that are being written. The rest of a name is random.
const PART: &str = ".part-";

/// A part that is older than this was left by a process that died: nothing is copied for a day.
const STALE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Where the blobs are.
#[derive(Clone, Debug)]
pub struct BlobFolder {
    store: PathBuf,
    folder: PathBuf,
}

/// A blob that was copied into the folder, and does not yet have its name there. Dropping it removes it.
#[derive(Debug)]
pub struct CopiedBlob {
    file: NamedTempFile,
    /// The hash of its bytes.
    pub cid: Cid,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a blob was not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// It could not be read.
    #[error("{0}")]
    Read(#[source] io::Error),
    /// It has more bytes than are allowed.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// How many are allowed.
        limit: u64,
    },
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Removes the files of these blobs that no outbox entry needs any more. What stays behind if the
    /// process dies before is swept when the store is opened.
    pub(crate) async fn let_go(&self, cids: Vec<Cid>) {
        if cids.is_empty() {
            return;
        }
        let blobs = self.blobs().clone();
        let gone = self.write_first("let_go", move |connection| blobs.let_go(connection, &cids));
        if let Err(error) = gone.await {
            tracing::warn!("an attachment that is not needed any more is still there: {error}");
        }
    }
}

impl BlobFolder {
    pub(crate) fn new(store: &Path, folder: PathBuf) -> Self {
        Self {
            store: store.to_owned(),
            folder,
        }
    }

    pub(crate) fn store_path(&self) -> &Path {
        &self.store
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The file of a blob that an outbox entry refers to.
    pub fn file(&self, cid: &Cid) -> PathBuf {
        self.folder.join(cid.to_string())
    }

    /// Copies a blob into the folder, a piece at a time, hashing it on the way, and up to `limit`
    /// bytes. It is on the disk when this returns.
    ///
    /// Cancel safe: what was copied so far is removed. The reader has been read in part.
    ///
    /// # Errors
    /// [`CopyError`] tells a bad source from a bad disk.
    pub async fn copy(
        &self,
        mut from: impl AsyncRead + Unpin,
        limit: u64,
    ) -> Result<CopiedBlob, CopyError> {
        let file = tempfile::Builder::new()
            .prefix(PART)
            .tempfile_in(&self.folder)
            .map_err(StoreError::from)?;
        let mut into = tokio::fs::File::from_std(file.reopen().map_err(StoreError::from)?);
        let mut hash = Sha256::new();
        let mut size: u64 = 0;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = from.read(&mut chunk).await.map_err(CopyError::Read)?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            size = size.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            if size > limit {
                return Err(CopyError::TooLarge { limit });
            }
            hash.update(bytes);
            into.write_all(bytes).await.map_err(StoreError::from)?;
        }
        into.flush().await.map_err(StoreError::from)?;
        into.sync_all().await.map_err(StoreError::from)?;
        Ok(CopiedBlob {
            file,
            cid: from_digest(CODEC_RAW, &hash.finalize().into()),
            size,
        })
    }

    /// Gives copied blobs their names, and the folder its word on the disk that it has them.
    pub(crate) fn keep(&self, blobs: Vec<CopiedBlob>) -> Result<(), StoreError> {
        if blobs.is_empty() {
            return Ok(());
        }
        for blob in blobs {
            let name = self.file(&blob.cid);
            blob.file.persist(name).map_err(|error| error.error)?;
        }
        sync_folder(&self.folder)?;
        Ok(())
    }

    /// Whether these are all there. Within a transaction that holds the write lock, or they may be gone
    /// a moment later.
    pub(crate) fn require(&self, blobs: &[Blob]) -> Result<(), StoreError> {
        for Blob { cid, size, .. } in blobs {
            match fs::metadata(self.file(cid)) {
                Ok(found) if found.len() == *size => {}
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => return Err(StoreError::NoBlob { cid: *cid }),
            }
        }
        Ok(())
    }

    /// Removes what no outbox entry needs, and leaves alone what is not ours. Within a transaction that
    /// holds the write lock.
    pub(crate) fn sweep(&self, connection: &Connection) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let gone = match name.starts_with(PART) {
                true => is_stale(&entry),
                false => name.parse::<Cid>().is_ok() && !is_needed(connection, name)?,
            };
            if gone && entry.file_type()?.is_file() {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes those of these blobs that no outbox entry needs any more. Within a transaction that
    /// holds the write lock, and before anything else is done in it: what is undone or not yet on the
    /// disk must not cost a file.
    fn let_go(&self, connection: &Connection, cids: &[Cid]) -> Result<(), StoreError> {
        for cid in cids {
            if !is_needed(connection, &cid.to_string())? {
                remove(&self.file(cid))?;
            }
        }
        Ok(())
    }
}

/// Whether a message that waits, or that failed and may be sent again, has this attachment.
fn is_needed(connection: &Connection, cid: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM attachment JOIN outbox ON outbox.id = outbox_id
             WHERE attachment.cid = ?1 AND state IN ('pending', 'failed'))",
        )?
        .query_row([cid], |row| row.get(0))
}

fn is_stale(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|found| found.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE))
}

/// A file that is not there (any more) is removed.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
