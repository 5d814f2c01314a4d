//! The status of an account: switched off by its owner, taken down by the PDS, deleted.

use axum::http::StatusCode;

use super::State;
use super::account::Account;
use super::profile::{Profile, TAKENDOWN};
use super::store::Line;
use crate::event::Event;
use crate::xrpc::XrpcError;

impl State {
    /// Switches an account off.
    pub(crate) fn deactivate(&self, account: &Account) -> Result<(), XrpcError> {
        self.change_status(account, |profile| profile.active = false)
    }

    /// Switches an account on again; subscribers are told where its repository stands.
    pub(crate) fn activate(&self, account: &Account) -> Result<(), XrpcError> {
        let mut profile = account.profile();
        profile.active = true;
        self.record_profile(profile.clone())?;
        account.set_profile(profile.clone());
        let content = account.content();
        self.emit(&[
            Event::Account {
                did: profile.did.as_str(),
                status: profile.status(),
            },
            Event::Identity {
                did: profile.did.as_str(),
                handle: profile.handle.as_str(),
            },
            Event::Sync(&content.repository),
        ])
    }

    /// Takes an account down, or gives it back.
    pub(crate) fn set_taken_down(&self, account: &Account, down: bool) -> Result<(), XrpcError> {
        self.change_status(account, |profile| profile.taken_down = down)?;
        if down {
            self.revoke_refresh_tokens(&account.did);
        }
        Ok(())
    }

    /// Deletes an account, its repository, its blobs, and its events but for the one that says so.
    pub(crate) fn delete(&self, account: &Account) -> Result<(), XrpcError> {
        let did = &account.did;
        self.revoke_refresh_tokens(did);
        self.record(&Line::Deleted { did: did.clone() })?;
        self.registry_mut().remove(did);
        // Whoever has found the account already finishes here, and nobody comes after.
        let mut content = account.content();
        content.closed = true;
        content.blobs.clear();
        self.emit(&[Event::Account {
            did: did.as_str(),
            status: Some(DELETED),
        }])?;
        self.stream.log.forget_before_last(did.as_str());
        Ok(())
    }

    fn change_status(
        &self,
        account: &Account,
        change: impl FnOnce(&mut Profile),
    ) -> Result<(), XrpcError> {
        let mut profile = account.profile();
        change(&mut profile);
        self.record_profile(profile.clone())?;
        account.set_profile(profile.clone());
        self.emit(&[Event::Account {
            did: profile.did.as_str(),
            status: profile.status(),
        }])
    }
}

/// 401 `AccountTakedown`, if the account is taken down.
pub(super) fn check_takedown(profile: &Profile) -> Result<(), XrpcError> {
    if profile.status() != Some(TAKENDOWN) {
        return Ok(());
    }
    Err(XrpcError::new(
        StatusCode::UNAUTHORIZED,
        "AccountTakedown",
        "Account has been taken down",
    ))
}

/// The status of an account that is no more.
const DELETED: &str = "deleted";
