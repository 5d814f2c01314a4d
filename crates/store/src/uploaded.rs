//! Blobs that a PDS has, so that the same bytes are uploaded once.

use atcomms_lexicon::{Cid, Did};
use rusqlite::{OptionalExtension, params};

use crate::error::StoreError;
use crate::job::Durability;
use crate::store::Store;

impl Store {
    /// The MIME type under which a PDS has a blob, if it was uploaded there after `since`
    /// (milliseconds since 1970). Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn uploaded(
        &self,
        did: &Did,
        pds: &str,
        cid: Cid,
        since: i64,
    ) -> Result<Option<String>, StoreError> {
        let (did, pds) = (did.clone(), pds.to_owned());
        self.read(move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT mime_type FROM uploaded WHERE did = ?1 AND pds = ?2 AND cid = ?3 AND at >= ?4",
                )?
                .query_row(params![did.as_str(), pds, cid.to_string(), since], |row| row.get(0))
                .optional()?;
            Ok(found)
        })
        .await
    }

    /// Notes that a PDS has a blob. Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn note_uploaded(
        &self,
        did: &Did,
        pds: &str,
        cid: Cid,
        mime_type: String,
        now: i64,
    ) -> Result<(), StoreError> {
        let (did, pds) = (did.clone(), pds.to_owned());
        self.write("uploaded", Durability::Process, move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO uploaded VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![did.as_str(), cid.to_string(), pds, mime_type, now])?;
            Ok(())
        })
        .await
    }

    /// Notes that a PDS has these blobs no more. Survives a killed process. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn forget_uploaded(
        &self,
        did: &Did,
        pds: &str,
        cids: Vec<Cid>,
    ) -> Result<(), StoreError> {
        let (did, pds) = (did.clone(), pds.to_owned());
        self.write("uploaded", Durability::Process, move |connection| {
            let mut statement = connection
                .prepare_cached("DELETE FROM uploaded WHERE did = ?1 AND pds = ?2 AND cid = ?3")?;
            for cid in cids {
                statement.execute(params![did.as_str(), pds, cid.to_string()])?;
            }
            Ok(())
        })
        .await
    }
}
