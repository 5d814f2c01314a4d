//! Accounts for tests.

use serde::Deserialize;
use serde_json::json;

use crate::http::http_client;
use crate::process::ReferencePds;

/// An account on a reference PDS, with a first session.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// `NAME.test`.
    pub handle: String,
    /// Its DID.
    pub did: String,
    /// Its e-mail address, `NAME@example.com`.
    #[serde(skip)]
    pub email: String,
    /// Its password.
    #[serde(skip)]
    pub password: String,
    /// Access token of the session that came with the account.
    pub access_jwt: String,
    /// Refresh token of the session that came with the account.
    pub refresh_jwt: String,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The request failed.
    #[error("the account was not made: {0}")]
    Http(#[from] reqwest::Error),
    /// The PDS refused.
    #[error("the PDS did not make the account {handle}: {status} {body}")]
    Refused {
        /// The handle.
        handle: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
}

impl ReferencePds {
    /// Makes the account `NAME.test`.
    ///
    /// Not cancel safe: the account may exist afterwards.
    ///
    /// # Errors
    /// [`AccountError::Refused`] for a name that is taken or is no part of a handle.
    pub async fn create_account(&self, name: &str) -> Result<Account, AccountError> {
        let handle = format!("{name}.test");
        let email = format!("{name}@example.com");
        let password = format!("password of {name}");
        let mut url = self.url().clone();
        url.set_path("/xrpc/com.atproto.server.createAccount");
        let body = json!({ "handle": handle, "email": email, "password": password });
        let response = http_client().post(url).json(&body).send().await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(AccountError::Refused {
                handle,
                status,
                body: response.text().await?,
            });
        }
        let account: Account = response.json().await?;
        Ok(Account {
            email,
            password,
            ..account
        })
    }
}
