//! Whether a store agrees with itself: a store that does not is not opened (promise P8).

use rusqlite::Connection;

use crate::blobs::BlobFolder;
use crate::error::OpenError;
use crate::open::sqlite_error;

/// Up to this many pages of 4 KiB, 64 MiB, every page is looked at when a store is opened; that takes
/// a tenth of a second. Damage in a larger one shows when it is met.
const CHECKED_PAGES: i64 = 16_384;

/// What to do with a file that SQLite finds damaged.
pub(crate) const REMEDY: &str = "restore it from a backup, or move it away with the files beside it and start anew; `sqlite3 FILE .recover` shows what can be saved";

pub(crate) fn check(connection: &Connection, blobs: &BlobFolder) -> Result<(), OpenError> {
    let failed = |error| failed(blobs, error);
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .map_err(failed)?;
    if pages <= CHECKED_PAGES {
        let found: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failed)?;
        if found != "ok" {
            return Err(OpenError::Damaged {
                path: blobs.store_path().to_owned(),
                what: found,
                remedy: REMEDY.to_owned(),
            });
        }
    }
    check_attachments(connection, blobs)
}

/// What waits to be sent must have its attachments.
fn check_attachments(connection: &Connection, blobs: &BlobFolder) -> Result<(), OpenError> {
    let query = "SELECT outbox.id, did, collection, rkey, attachment.cid, size
                 FROM attachment JOIN outbox ON outbox.id = outbox_id
                 WHERE state = 'pending' ORDER BY outbox.id";
    let rows = || -> rusqlite::Result<Vec<(i64, String, String, u64)>> {
        let mut statement = connection.prepare(query)?;
        let rows = statement.query_map([], |row| {
            let (did, collection, rkey): (String, String, String) =
                (row.get(1)?, row.get(2)?, row.get(3)?);
            let uri = format!("at://{did}/{collection}/{rkey}");
            Ok((row.get(0)?, uri, row.get(4)?, row.get(5)?))
        })?;
        rows.collect()
    };
    let rows = rows().map_err(|error| failed(blobs, error))?;
    for (id, uri, cid, size) in rows {
        let file = blobs.path().join(&cid);
        let found = std::fs::metadata(&file).map(|found| found.len());
        if found.as_ref().ok() != Some(&size) {
            let what = match found {
                Ok(found) => {
                    format!("the attachment {cid} of {uri} has {found} bytes instead of {size}")
                }
                Err(error) => format!("the attachment {cid} of {uri} cannot be read: {error}"),
            };
            return Err(OpenError::Damaged {
                path: blobs.store_path().to_owned(),
                what,
                remedy: format!(
                    "put the file back as {}, or give the message up with `sqlite3 {} \"DELETE FROM outbox WHERE id = {id}\"`",
                    file.display(),
                    blobs.store_path().display()
                ),
            });
        }
    }
    Ok(())
}

/// What cannot be read is damaged, unless it is the system that failed.
fn failed(blobs: &BlobFolder, error: rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode;
    let path = blobs.store_path();
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::OutOfMemory
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure,
        ) => sqlite_error(path, error),
        _ => OpenError::Damaged {
            path: path.to_owned(),
            what: error.to_string(),
            remedy: REMEDY.to_owned(),
        },
    }
}
