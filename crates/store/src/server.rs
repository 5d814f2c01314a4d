//! What is known of a PDS.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::StoreError;
use crate::job::Durability;
use crate::store::Store;

/// What is known of a PDS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// The largest blob that it accepts, in bytes, as far as is known.
    pub blob_limit: Option<u64>,
    /// Whether it has rate limits; `None` if it was not asked yet.
    pub limited: Option<bool>,
}

impl Store {
    /// What is known of a PDS. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn server(&self, pds: &str) -> Result<Server, StoreError> {
        let pds = pds.to_owned();
        self.read(move |connection| load(connection, &pds)).await
    }

    /// Notes what was learnt of a PDS; what is `None` stays as it was. Survives a killed process.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be kept.
    pub async fn note_server(&self, pds: &str, learnt: Server) -> Result<(), StoreError> {
        let pds = pds.to_owned();
        self.write("server", Durability::Process, move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO server VALUES (?1, ?2, ?3) ON CONFLICT (pds) DO UPDATE SET
                         blob_limit = coalesce(?2, blob_limit), limited = coalesce(?3, limited)",
                )?
                .execute(params![pds, learnt.blob_limit, learnt.limited])?;
            Ok(())
        })
        .await
    }
}

pub(crate) fn load(connection: &Connection, pds: &str) -> Result<Server, StoreError> {
    let server = connection
        .prepare_cached("SELECT blob_limit, limited FROM server WHERE pds = ?1")?
        .query_row([pds], |row| {
            Ok(Server {
                blob_limit: row.get(0)?,
                limited: row.get(1)?,
            })
        })
        .optional()?;
    Ok(server.unwrap_or_default())
}

impl Server {
    /// That it refused a blob of one byte more.
    pub fn with_blob_limit(bytes: u64) -> Self {
        Self {
            blob_limit: Some(bytes),
            ..Self::default()
        }
    }

    /// That it tells of rate limits, or has none.
    pub fn with_limits(limited: bool) -> Self {
        Self {
            limited: Some(limited),
            ..Self::default()
        }
    }
}
