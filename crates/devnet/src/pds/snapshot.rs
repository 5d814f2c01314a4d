//! Repositories that did not come out of this PDS's own events: a reset one, or one of another PDS. Its
//! `#sync` names a commit, and under that commit's CID the whole of it is kept in the folder, for a restart.

use std::path::Path;

use atcomms_repo::{Cid, Repository};
use bytes::Bytes;

use super::State;
use crate::xrpc::XrpcError;

impl State {
    /// Keeps a repository whole, before its `#sync` is in the log.
    pub(super) fn keep_snapshot(&self, repository: &Repository) -> Result<(), XrpcError> {
        let Some(folder) = &self.snapshots else {
            return Ok(());
        };
        std::fs::create_dir_all(folder)
            .and_then(|()| {
                let file = folder.join(file_name(&repository.head().cid()));
                std::fs::write(file, repository.export(None))
            })
            .map_err(XrpcError::internal)
    }
}

/// The repository that has this commit as its head, if it was kept.
pub(super) fn read_snapshot(folder: &Path, commit: &Cid) -> Option<Bytes> {
    let bytes = std::fs::read(folder.join(file_name(commit))).ok()?;
    Some(bytes.into())
}

fn file_name(commit: &Cid) -> String {
    format!("{commit}.car")
}
