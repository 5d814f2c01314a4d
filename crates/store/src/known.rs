//! What a consumer knows of the repositories that it follows: which records are there. It is what a resync
//! compares with, so that it delivers differences only, and deletes too. Nothing of it is ever pruned.

use atcomms_lexicon::{Cid, Did, Nsid, RecordKey};
use rusqlite::{Connection, params};

use crate::consumer::Consumer;
use crate::error::StoreError;
use crate::row::parsed;
use crate::store::Store;

/// A record of a repository, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its collection.
    pub collection: Nsid,
    /// Its key.
    pub rkey: RecordKey,
    /// Its content, by hash; `None` if it is not there.
    pub cid: Option<Cid>,
}

impl Store {
    /// The records of a repository that a consumer knows of, in the order of their paths. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn known(&self, consumer: &Consumer, did: &Did) -> Result<Vec<Known>, StoreError> {
        let (id, did) = (consumer.id, did.clone());
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT collection, rkey, cid FROM known WHERE consumer_id = ?1 AND did = ?2
                 ORDER BY collection, rkey",
            )?;
            let rows = statement.query_map(params![id, did.as_str()], |row| {
                Ok(Known {
                    collection: parsed(row, "collection")?,
                    rkey: parsed(row, "rkey")?,
                    cid: Some(parsed(row, "cid")?),
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// Keeps what changed.
pub(crate) fn learn(
    connection: &Connection,
    consumer: i64,
    did: &Did,
    changes: &[Known],
) -> Result<(), StoreError> {
    for Known {
        collection,
        rkey,
        cid,
    } in changes
    {
        if atcomms_lexicon::fault::on("known") {
            break;
        }
        let (did, collection, rkey) = (did.as_str(), collection.as_str(), rkey.as_str());
        match cid {
            Some(cid) => connection
                .prepare_cached(
                    "INSERT INTO known VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET cid = ?5",
                )?
                .execute(params![consumer, did, collection, rkey, cid.to_string()])?,
            None => connection
                .prepare_cached(
                    "DELETE FROM known WHERE consumer_id = ?1 AND did = ?2 AND collection = ?3 AND rkey = ?4",
                )?
                .execute(params![consumer, did, collection, rkey])?,
        };
    }
    Ok(())
}
