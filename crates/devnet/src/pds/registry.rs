//! The accounts of one PDS, by DID, by handle and by e-mail address.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use atcomms_lexicon::{Address, Datetime, Did};

use super::account::Account;

/// The accounts of a PDS.
#[derive(Default)]
pub(super) struct Registry {
    /// By when they were created (milliseconds since 1970) and DID: the order of `listRepos`.
    ordered: BTreeMap<(i64, String), Arc<Account>>,
    by_did: HashMap<Did, Arc<Account>>,
    by_handle: HashMap<String, Did>,
    by_email: HashMap<String, Did>,
}

impl Registry {
    pub(super) fn add(&mut self, account: Arc<Account>) {
        let profile = account.profile();
        let did = profile.did;
        let order = (profile.created_at.unix_millis(), did.to_string());
        self.by_handle
            .insert(profile.handle.as_str().to_owned(), did.clone());
        self.by_email.insert(profile.email, did.clone());
        self.ordered.insert(order, account.clone());
        self.by_did.insert(did, account);
    }

    /// When an account that is created now is said to be created: a millisecond after the last one at the
    /// earliest, since its place in the order follows from it.
    pub(super) fn creation_time(&self, now: Datetime) -> Datetime {
        match self.ordered.last_key_value() {
            Some(((last, _), _)) if *last >= now.unix_millis() => {
                Datetime::from_unix_millis(last.saturating_add(1))
            }
            _ => now,
        }
    }

    /// Forgets an account; its handle and its address are free.
    pub(super) fn remove(&mut self, did: &Did) {
        let Some(account) = self.by_did.remove(did) else {
            return;
        };
        let profile = account.profile();
        self.by_handle.remove(profile.handle.as_str());
        self.by_email.remove(&profile.email);
        self.ordered.retain(|_, held| held.did != *did);
    }

    pub(super) fn rename(&mut self, did: &Did, before: &str, after: &str) {
        self.by_handle.remove(before);
        self.by_handle.insert(after.to_owned(), did.clone());
    }

    pub(super) fn by_did(&self, did: &Did) -> Option<Arc<Account>> {
        self.by_did.get(did).cloned()
    }

    pub(super) fn by_handle(&self, handle: &str) -> Option<Arc<Account>> {
        self.by_did(self.by_handle.get(handle)?)
    }

    pub(super) fn by_email(&self, email: &str) -> Option<Arc<Account>> {
        self.by_did(self.by_email.get(email)?)
    }

    pub(super) fn by_address(&self, address: &Address) -> Option<Arc<Account>> {
        match address {
            Address::Did(did) => self.by_did(did),
            Address::Handle(handle) => self.by_handle(&handle.as_str().to_ascii_lowercase()),
        }
    }

    /// All accounts created after `cursor`, with their place in the order.
    pub(super) fn after(
        &self,
        cursor: Option<(i64, String)>,
    ) -> impl Iterator<Item = (&(i64, String), &Arc<Account>)> {
        use std::ops::Bound;
        let start = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        self.ordered.range((start, Bound::Unbounded))
    }
}
