//! A PDS of a devnet, as its user sees it.

mod change;

use std::sync::Arc;

use atcomms_lexicon::{Did, Handle};

use crate::faults::Faults;
use crate::firehose::EventLog;
use crate::pds::{DOMAIN, Profile, State, new_password};
use crate::rate_limit::Budget;
use crate::{Account, CreateAccountError};

/// One PDS of a [`Devnet`](crate::Devnet). Cheap to clone; it lives as long as its devnet.
#[derive(Clone)]
pub struct Pds {
    state: Arc<State>,
    ws_url: String,
}

impl Pds {
    pub(crate) fn new(state: Arc<State>) -> Self {
        let ws_url = state.url().replacen("http", "ws", 1);
        Self { state, ws_url }
    }

    /// The address of its XRPC methods, `http://localhost:PORT`.
    pub fn url(&self) -> &str {
        self.state.url()
    }

    /// The address of its stream, `ws://localhost:PORT`.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// Creates an account `NAME.test` with a new password. Cancel safe: it does not wait for anything, and is
    /// async only so that a PDS in another process can be put in this one's place.
    ///
    /// # Errors
    /// [`CreateAccountError`] if the name is taken or cannot be one: 3 to 18 letters, digits and hyphens.
    pub async fn create_account(&self, name: &str) -> Result<Account, CreateAccountError> {
        let refused = |reason: String| CreateAccountError::Refused {
            name: name.to_owned(),
            reason,
        };
        let handle = handle(name).map_err(refused)?;
        // An account may have had this handle before, and keeps its address.
        let email = format!("{handle}.{:08x}@example.com", rand::random::<u32>());
        self.state
            .create_account(&handle, &email, Some(new_password()))
            .map(|profile| self.account(profile))
            .map_err(|error| refused(error.message))
    }

    /// Its accounts, in the order in which they were created.
    pub fn accounts(&self) -> Vec<Account> {
        let profiles = self.state.profiles().into_iter();
        let here = profiles.filter(|profile| !profile.moved);
        here.map(|profile| self.account(profile)).collect()
    }

    /// The number of the last event of its stream; 0 if there is none.
    pub fn last_seq(&self) -> i64 {
        self.state.stream.log.last_seq()
    }

    /// Faults to test against.
    pub fn faults(&self) -> &Faults {
        &self.state.stream.faults
    }

    /// Revokes every session of an account: its refresh tokens are void (400 `ExpiredToken`, "Token has been
    /// revoked"), and so are its access tokens (400 `InvalidToken`), until it logs in again. Returns how many
    /// refresh tokens there were; 0 if no such account is here. Also over a restart.
    pub fn revoke_sessions(&self, did: &Did) -> u64 {
        self.state.revoke_sessions(did)
    }

    /// How many requests its rate limits refused; 0 if it has none.
    pub fn refused_by_rate_limit(&self) -> u64 {
        self.state.budget.as_ref().map_or(0, Budget::refused)
    }

    /// Its address and the log of its stream, for the relay.
    pub(crate) fn log(&self) -> (String, Arc<EventLog>) {
        (self.url().to_owned(), self.state.stream.log.clone())
    }

    fn account(&self, profile: Profile) -> Account {
        Account {
            handle: profile.handle,
            did: profile.did,
            password: profile.password.unwrap_or_default(),
            pds: self.url().to_owned(),
        }
    }
}

/// `alice` and `alice.test` are the same.
pub(crate) fn handle(name: &str) -> Result<Handle, String> {
    let text = if name.contains('.') {
        name.to_owned()
    } else {
        format!("{name}{DOMAIN}")
    };
    text.parse()
        .map_err(|error: atcomms_lexicon::SyntaxError| error.to_string())
}
