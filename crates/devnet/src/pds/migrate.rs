//! An account that moves to another PDS: its repository and blobs are copied, its document is changed, and
//! the PDS that it leaves deactivates it.

use atcomms_lexicon::{BlobRef, Datetime};
use atcomms_repo::{Curve, Repository, SigningKey};
use bytes::Bytes;
use data_encoding::HEXLOWER;

use super::State;
use super::account::{Account, Content};
use super::profile::Profile;
use super::rebuild::hold_blobs;
use crate::event::Event;
use crate::plc::{PDS_SERVICE, SIGNING_KEY};
use crate::xrpc::XrpcError;

/// What an account takes along.
struct Luggage {
    repository: Repository,
    blobs: Vec<(BlobRef, Bytes)>,
}

impl State {
    /// Moves an account from here to `to`, under a new signing key. Gives its profile there.
    pub(crate) fn migrate(&self, account: &Account, to: &State) -> Result<Profile, XrpcError> {
        let luggage = {
            let mut content = account.content();
            content.check_open()?;
            content.closed = true;
            Luggage {
                repository: content.repository.clone(),
                blobs: content.blobs.all().map_err(XrpcError::internal)?,
            }
        };
        let arrived = to.import(account.profile(), luggage, |key| {
            self.update_plc(&account.did, |operation| {
                let public = key.public().to_did_key();
                operation
                    .verification_methods
                    .insert(SIGNING_KEY.to_owned(), public);
                operation.rotation_keys = vec![to.rotation_key.public().to_did_key()];
                if let Some(service) = operation.services.get_mut(PDS_SERVICE) {
                    service.endpoint.clone_from(&to.url);
                }
            })
        });
        if arrived.is_err() {
            account.content().closed = false;
        }
        let arrived = arrived?;
        let mut profile = account.profile();
        profile.active = false;
        profile.moved = true;
        self.record_profile(profile.clone())?;
        account.set_profile(profile.clone());
        self.emit(&[Event::Account {
            did: profile.did.as_str(),
            status: profile.status(),
        }])?;
        Ok(arrived)
    }

    /// Takes in an account of another PDS. `hand_over` lets the document say so, with the new key.
    fn import(
        &self,
        profile: Profile,
        luggage: Luggage,
        hand_over: impl FnOnce(&SigningKey) -> Result<(), XrpcError>,
    ) -> Result<Profile, XrpcError> {
        let mut registry = self.registry_mut();
        let other = registry.by_handle(profile.handle.as_str());
        if other.is_some_and(|other| other.did != profile.did) {
            let handle = &profile.handle;
            return Err(XrpcError::invalid(format!(
                "Handle already taken: {handle}"
            )));
        }
        let key = SigningKey::generate(Curve::K256);
        let profile = Profile {
            created_at: registry.creation_time(Datetime::now()),
            active: true,
            moved: false,
            signing_key: HEXLOWER.encode(&key.to_bytes()),
            former_keys: Vec::new(),
            ..profile
        };
        let mut repository = luggage.repository;
        repository.rotate_key(key.clone());
        self.advance_past(repository.head().rev());
        repository
            .apply(&[], self.next_tid())
            .map_err(XrpcError::internal)?;
        let mut blobs = self.blobs_of(&profile.did);
        hold_blobs(&repository, &mut blobs);
        for (blob, bytes) in luggage.blobs {
            blobs.upload(&blob, bytes).map_err(XrpcError::internal)?;
            self.record_blob(&profile.did, &blob)?;
        }
        self.keep_snapshot(&repository)?;
        hand_over(&key)?;
        self.record_profile(profile.clone())?;
        self.emit(&[
            Event::Account {
                did: profile.did.as_str(),
                status: None,
            },
            Event::Identity {
                did: profile.did.as_str(),
                handle: profile.handle.as_str(),
            },
            Event::Sync(&repository),
        ])?;
        registry.remove(&profile.did);
        registry.add(Account::new(profile.clone(), Content::new(repository, blobs)).into());
        Ok(profile)
    }
}
