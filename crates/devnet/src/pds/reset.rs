//! A repository that is made anew, as after a restore from a backup or a repair.

use atcomms_lexicon::{Nsid, RecordKey};
use atcomms_repo::Repository;
use atcomms_repo::repository::Write;

use super::State;
use super::account::Account;
use super::record::path;
use crate::event::Event;
use crate::xrpc::XrpcError;

impl State {
    /// Replaces a repository by one of another history, with the records that are to be kept. No commit
    /// says so, but a `#sync`.
    pub(crate) fn reset_repository(
        &self,
        account: &Account,
        keep: impl Fn(&Nsid, &RecordKey) -> bool,
    ) -> Result<(), XrpcError> {
        let mut content = account.content();
        content.check_open()?;
        let before = &content.repository;
        let mut kept = Vec::new();
        let mut dropped = Vec::new();
        for collection in before.collections() {
            for (rkey, _, record) in before.records(&collection) {
                if keep(&collection, &rkey) {
                    kept.push(Write::Create {
                        collection: collection.clone(),
                        rkey,
                        record: record.clone(),
                    });
                } else {
                    dropped.push((path(&collection, &rkey), Vec::new()));
                }
            }
        }
        let key = before.key().clone();
        let (mut after, _) = Repository::create(account.did.clone(), key, self.next_tid());
        let rev = self.next_tid();
        after.apply(&kept, rev).map_err(XrpcError::internal)?;
        self.keep_snapshot(&after)?;
        content.repository = after;
        content.blobs.hold(&dropped, rev);
        self.emit(&[Event::Sync(&content.repository)])
    }
}
