//! A new signing key for an account.

use atcomms_repo::{Curve, SigningKey};
use data_encoding::HEXLOWER;

use super::State;
use super::account::Account;
use crate::event::Event;
use crate::plc::SIGNING_KEY;
use crate::xrpc::XrpcError;

impl State {
    /// Puts a new signing key into an account's document, and signs with it from the next commit on.
    pub(crate) fn rotate_key(&self, account: &Account) -> Result<(), XrpcError> {
        let key = SigningKey::generate(Curve::K256);
        let mut content = account.content();
        content.check_open()?;
        let mut profile = account.profile();
        let former = std::mem::replace(&mut profile.signing_key, HEXLOWER.encode(&key.to_bytes()));
        profile.former_keys.push(former);
        self.record_profile(profile.clone())?;
        self.update_plc(&account.did, |operation| {
            let public = key.public().to_did_key();
            operation
                .verification_methods
                .insert(SIGNING_KEY.to_owned(), public);
        })?;
        content.repository.rotate_key(key);
        let handle = profile.handle.clone();
        account.set_profile(profile);
        self.emit(&[Event::Identity {
            did: account.did.as_str(),
            handle: handle.as_str(),
        }])
    }
}
