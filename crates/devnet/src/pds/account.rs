//! One account: its profile, its repository, its blobs.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use atcomms_lexicon::{Cid, Did, Nsid, RecordKey};
use atcomms_repo::Repository;
use axum::http::StatusCode;
use bytes::Bytes;

use super::blobs::Blobs;
use super::profile::Profile;
use crate::xrpc::XrpcError;

/// An account of a PDS. Locks are taken in this order: registry, profile, content, log.
pub(crate) struct Account {
    pub(super) did: Did,
    profile: RwLock<Profile>,
    content: Mutex<Content>,
}

/// What an account has published.
pub(crate) struct Content {
    pub(super) repository: Repository,
    pub(super) blobs: Blobs,
    /// The account is leaving, or gone: nothing is written here any more.
    pub(super) closed: bool,
}

impl Account {
    pub(super) fn new(profile: Profile, content: Content) -> Self {
        Self {
            did: profile.did.clone(),
            profile: RwLock::new(profile),
            content: Mutex::new(content),
        }
    }

    /// A copy of the profile as it is now.
    pub(super) fn profile(&self) -> Profile {
        self.profile
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_profile(&self, profile: Profile) {
        *self.profile.write().unwrap_or_else(PoisonError::into_inner) = profile;
    }

    pub(super) fn is_active(&self) -> bool {
        self.profile
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .status()
            .is_none()
    }

    /// Holds the content: whoever has it is the only one who reads or writes it.
    pub(super) fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    pub(super) fn new(repository: Repository, blobs: Blobs) -> Self {
        Self {
            repository,
            blobs,
            closed: false,
        }
    }

    /// That something may still be written.
    pub(super) fn check_open(&self) -> Result<(), XrpcError> {
        if self.closed {
            return Err(XrpcError::new(
                StatusCode::UNAUTHORIZED,
                "AccountDeactivated",
                "Account is deactivated",
            ));
        }
        Ok(())
    }

    /// The CID of the record at a key, if there is one.
    pub(super) fn record_cid(&self, collection: &Nsid, rkey: &RecordKey) -> Option<Cid> {
        self.repository.get(collection, rkey).map(|(cid, _)| cid)
    }

    /// A page of a collection's records: the greatest key first, or the smallest if `reverse`; those
    /// beyond `cursor`.
    pub(super) fn page(
        &self,
        collection: &Nsid,
        cursor: Option<&str>,
        reverse: bool,
        limit: usize,
    ) -> Vec<(RecordKey, Cid, &Bytes)> {
        let records = self.repository.records(collection);
        if reverse {
            return records
                .filter(|(rkey, _, _)| cursor.is_none_or(|cursor| rkey.as_str() > cursor))
                .take(limit)
                .collect();
        }
        let mut before: Vec<_> = records
            .take_while(|(rkey, _, _)| cursor.is_none_or(|cursor| rkey.as_str() < cursor))
            .collect();
        let mut page = before.split_off(before.len().saturating_sub(limit));
        page.reverse();
        page
    }
}
