//! A new account: a DID, a key, an empty repository, and the four events that say so.

use std::collections::BTreeMap;

use atcomms_lexicon::{BlobRef, Datetime, Did, Handle};
use atcomms_repo::{Curve, Repository, SigningKey};
use data_encoding::HEXLOWER;

use super::State;
use super::account::{Account, Content};
use super::blobs::Blobs;
use super::handle::service_handle;
use super::profile::Profile;
use super::store::Line;
use crate::event::Event;
use crate::plc::{OPERATION, Operation, PDS_SERVICE, SIGNING_KEY, Service};
use crate::xrpc::XrpcError;

impl State {
    /// Creates an account under a handle and an e-mail address that are free.
    pub(crate) fn create_account(
        &self,
        handle: &Handle,
        email: &str,
        password: Option<String>,
    ) -> Result<Profile, XrpcError> {
        let handle = service_handle(handle)?;
        // Held to the end: two requests for one handle must not both find it free.
        let mut registry = self.registry_mut();
        if registry.by_handle(handle.as_str()).is_some() {
            return Err(XrpcError::invalid(format!(
                "Handle already taken: {handle}"
            )));
        }
        if registry.by_email(email).is_some() {
            return Err(XrpcError::invalid(format!("Email already taken: {email}")));
        }
        let key = SigningKey::generate(Curve::K256);
        let operation = self.genesis(&handle, &key);
        let did = self
            .plc
            .create(&operation, &self.rotation_key)
            .map_err(XrpcError::internal)?;
        let profile = Profile {
            did: did.clone(),
            handle: handle.clone(),
            email: email.to_owned(),
            password,
            app_passwords: Vec::new(),
            created_at: registry.creation_time(Datetime::now()),
            active: true,
            taken_down: false,
            moved: false,
            signing_key: HEXLOWER.encode(&key.to_bytes()),
            former_keys: Vec::new(),
        };
        let (repository, first) = Repository::create(did.clone(), key, self.next_tid());
        self.record_profile(profile.clone())?;
        self.emit(&[
            Event::Identity {
                did: did.as_str(),
                handle: handle.as_str(),
            },
            Event::Account {
                did: did.as_str(),
                status: None,
            },
            Event::Commit(&first),
            Event::Sync(&repository),
        ])?;
        let content = Content::new(repository, self.blobs_of(&did));
        registry.add(Account::new(profile.clone(), content).into());
        Ok(profile)
    }

    /// Writes a profile into the journal.
    pub(super) fn record_profile(&self, profile: Profile) -> Result<(), XrpcError> {
        self.record(&Line::Account(profile))
    }

    /// Remembers a blob's MIME type, which its file does not tell.
    pub(super) fn record_blob(&self, did: &Did, blob: &BlobRef) -> Result<(), XrpcError> {
        self.record(&Line::Blob {
            did: did.clone(),
            blob: blob.clone(),
        })
    }

    /// An account's blobs, before there are any.
    pub(super) fn blobs_of(&self, did: &Did) -> Blobs {
        let folder = self.blobs.as_ref();
        // A colon is not allowed in a file's name everywhere.
        Blobs::new(folder.map(|folder| folder.join(did.as_str().replace(':', "_"))))
    }

    fn genesis(&self, handle: &Handle, key: &SigningKey) -> Operation {
        let service = Service {
            kind: "AtprotoPersonalDataServer".to_owned(),
            endpoint: self.url.clone(),
        };
        Operation {
            kind: OPERATION.to_owned(),
            verification_methods: BTreeMap::from([(
                SIGNING_KEY.to_owned(),
                key.public().to_did_key(),
            )]),
            rotation_keys: vec![self.rotation_key.public().to_did_key()],
            also_known_as: vec![format!("at://{handle}")],
            services: BTreeMap::from([(PDS_SERVICE.to_owned(), service)]),
            prev: None,
        }
    }
}
