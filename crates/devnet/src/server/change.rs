//! What befalls the accounts of a PDS: new keys and handles, takedowns, moves.

use std::sync::Arc;

use atcomms_lexicon::{Did, Nsid, RecordKey};

use super::{Pds, handle};
use crate::pds::Account as Held;
use crate::xrpc::XrpcError;
use crate::{Account, ChangeError};

/// None of these waits for anything; each has happened, and is on the stream, when it returns.
impl Pds {
    /// Gives an account a new signing key: its document has it now, and every commit from the next one on is
    /// signed with it. Emits an `#identity`. The commits before do not verify with the document any more, and
    /// until the next one that is true of the repository's head too.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, or the data folder cannot be written.
    pub fn rotate_key(&self, did: &Did) -> Result<(), ChangeError> {
        self.change(did, |account| self.state.rotate_key(account))
    }

    /// Gives an account another handle, `NAME.test`, in its document too. Emits an `#identity`.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, or the handle is taken or cannot be one.
    pub fn change_handle(&self, did: &Did, name: &str) -> Result<(), ChangeError> {
        let handle = handle(name).map_err(|reason| refused(did, reason))?;
        self.change(did, |_| self.state.change_handle(did, &handle))
    }

    /// Switches an account off, as its owner does. Emits an `#account`, `deactivated`.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, or the data folder cannot be written.
    pub fn deactivate(&self, did: &Did) -> Result<(), ChangeError> {
        self.change(did, |account| self.state.deactivate(account))
    }

    /// Switches an account on again. Emits an `#account`, an `#identity` and a `#sync`.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, or the data folder cannot be written.
    pub fn activate(&self, did: &Did) -> Result<(), ChangeError> {
        self.change(did, |account| self.state.activate(account))
    }

    /// Takes an account down, as a moderator does: its repository is not served (400 `RepoTakendown`), it
    /// neither writes nor logs in (401 `AccountTakedown`), and its refresh tokens are void, after a
    /// [`Pds::restore`] too. Emits an `#account`, `takendown`.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, or the data folder cannot be written.
    pub fn take_down(&self, did: &Did) -> Result<(), ChangeError> {
        self.change(did, |account| self.state.set_taken_down(account, true))
    }

    /// Gives back an account that was taken down. Emits an `#account`.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, or the data folder cannot be written.
    pub fn restore(&self, did: &Did) -> Result<(), ChangeError> {
        self.change(did, |account| self.state.set_taken_down(account, false))
    }

    /// Deletes an account with its repository, its blobs and its events on this PDS's stream; emits the one
    /// that stays, an `#account`, `deleted`. Its DID stays in the directory, and its handle is free.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, or the data folder cannot be written.
    pub fn delete_account(&self, did: &Did) -> Result<(), ChangeError> {
        self.change(did, |account| self.state.delete(account))
    }

    /// Replaces an account's repository by one of another history, with the records for which `keep` says
    /// so. No commit tells of it: it emits a `#sync`, whose root no earlier event leads to.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, or the data folder cannot be written.
    pub fn reset_repository(
        &self,
        did: &Did,
        keep: impl Fn(&Nsid, &RecordKey) -> bool,
    ) -> Result<(), ChangeError> {
        self.change(did, |account| self.state.reset_repository(account, keep))
    }

    /// Moves an account to another PDS of the same devnet: its repository and its blobs are there then, under
    /// a new signing key, and its document says so. The other PDS emits an `#account`, an `#identity` and a
    /// `#sync`; this one an `#account`, `deactivated`, which the relay does not pass on. Sessions stay
    /// behind, where they are good for nothing; the password goes along. Gives the account as it is there.
    ///
    /// # Errors
    /// [`ChangeError`] if no such account is here, the other PDS is this one, its handle is taken there, or
    /// a data folder cannot be written.
    pub fn migrate(&self, did: &Did, to: &Pds) -> Result<Account, ChangeError> {
        if Arc::ptr_eq(&self.state, &to.state) {
            return Err(refused(did, "it is on that PDS already".to_owned()));
        }
        self.change(did, |account| self.state.migrate(account, &to.state))
            .map(|profile| to.account(profile))
    }

    fn change<T>(
        &self,
        did: &Did,
        change: impl FnOnce(&Held) -> Result<T, XrpcError>,
    ) -> Result<T, ChangeError> {
        let account = self
            .state
            .account(did)
            .ok_or_else(|| ChangeError::NotFound {
                did: did.clone(),
                pds: self.url().to_owned(),
            })?;
        change(&account).map_err(|error| refused(did, error.message))
    }
}

fn refused(did: &Did, reason: String) -> ChangeError {
    ChangeError::Refused {
        did: did.clone(),
        reason,
    }
}
