//! Accounts that are logged in, with their tokens.

use std::fmt;

use atcomms_lexicon::{Address, Did, Handle};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::StoreError;
use crate::job::Durability;
use crate::row::{parsed, parsed_or_none};
use crate::store::Store;

/// An account that is logged in. `Debug` hides the tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub did: Did,
    /// Its handle at the time of the login.
    pub handle: Handle,
    /// Its PDS's URL.
    pub pds: String,
    /// The URL of the did:plc directory that it is in; `None` is the public one.
    pub plc: Option<String>,
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("did", &self.did)
            .field("handle", &self.handle)
            .field("pds", &self.pds)
            .field("plc", &self.plc)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "did, handle, pds, plc, access, refresh";

impl Store {
    /// Keeps a new login, which becomes the newest. Survives a power loss. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`]; the former login is still there.
    pub async fn keep_login(&self, login: Login, now: i64) -> Result<(), StoreError> {
        self.write("login", Durability::PowerLoss, move |connection| {
            insert(connection, &login, Some(now))
        })
        .await
    }

    /// Keeps renewed tokens, which void the old ones. Survives a power loss. Blocks the thread, and
    /// must not be called within a Tokio task.
    ///
    /// # Errors
    /// [`StoreError`]; the former tokens are still there.
    pub fn keep_tokens(&self, login: Login) -> Result<(), StoreError> {
        self.write_here("tokens", Durability::PowerLoss, move |connection| {
            insert(connection, &login, None)
        })
    }

    /// The login of an account, by its DID or its handle, or the newest login of all. Blocks the thread
    /// for a moment.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn login(&self, address: Option<&Address>) -> Result<Option<Login>, StoreError> {
        let (condition, wanted) = match address {
            Some(Address::Did(did)) => ("did = ?1", did.as_str()),
            Some(Address::Handle(handle)) => ("handle = ?1", handle.as_str()),
            None => ("?1 = ''", ""),
        };
        let query = format!(
            "SELECT {COLUMNS} FROM login WHERE {condition} ORDER BY logged_in_at DESC, rowid DESC LIMIT 1"
        );
        self.read_here(|connection| {
            let login = connection.query_row(&query, [wanted], read).optional()?;
            Ok(login)
        })
    }
}

/// Inserts or replaces; without a time of login, that of before stays.
fn insert(connection: &Connection, login: &Login, at: Option<i64>) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO login (did, handle, pds, plc, access, refresh, logged_in_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, coalesce(?7, 0))
         ON CONFLICT (did) DO UPDATE SET handle = ?2, pds = ?3, plc = coalesce(?4, plc), access = ?5,
             refresh = ?6, logged_in_at = coalesce(?7, logged_in_at)",
        params![
            login.did.as_str(),
            login.handle.as_str(),
            login.pds,
            login.plc,
            login.access,
            login.refresh,
            at
        ],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Login> {
    Ok(Login {
        did: parsed(row, "did")?,
        handle: parsed(row, "handle")?,
        pds: row.get("pds")?,
        plc: parsed_or_none(row, "plc")?,
        access: row.get("access")?,
        refresh: row.get("refresh")?,
    })
}
