//! A whole repository as somebody else's export gives it, verified.

use atcomms_lexicon::Did;
use cid::Cid;

use crate::car::Car;
use crate::key::VerifyingKey;
use crate::mst::Tree;
use crate::verify::{Limits, VerifiedHead, VerifyError};

/// A repository's content at one commit, verified: hashes, signature, and that the tree is
/// complete and holds every record. Borrows from the export's bytes.
pub struct Snapshot<'a> {
    head: VerifiedHead,
    car: Car<'a>,
    tree: Tree,
}

/// A record of a [`Snapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRecord<'a> {
    /// Collection, slash, record key.
    pub path: &'a str,
    /// The record's CID.
    pub cid: Cid,
    /// The record's bytes, which hash to the CID.
    pub bytes: &'a [u8],
}

impl<'a> Snapshot<'a> {
    /// Verifies a repository's export, as `com.atproto.sync.getRepo` gives it without `since`. How
    /// large it may be is for the caller to bound before it is in memory.
    ///
    /// # Errors
    /// [`VerifyError`]; `mst_incomplete` or `record_missing` if the export is not whole.
    pub fn verify(
        bytes: &'a [u8],
        did: &Did,
        key: &VerifyingKey,
        now_micros: u64,
        limits: &Limits,
    ) -> Result<Self, VerifyError> {
        let car = Car::read(bytes)?;
        let head = VerifiedHead::verify(&car, did, key, now_micros, limits)?;
        let tree = Tree::load(head.data(), &car)?;
        for entry in tree.entries() {
            let (path, cid) = entry?;
            limits.record(&car, &cid, path)?;
        }
        Ok(Self { head, car, tree })
    }

    /// The signed state.
    #[must_use]
    pub fn head(&self) -> &VerifiedHead {
        &self.head
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The records whose path begins with `prefix` (`""` for all, `agent.comms.` for ours), in the
    /// order of their paths.
    pub fn records<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = SnapshotRecord<'s>> {
        self.tree
            .entries_from(prefix)
            .filter_map(Result::ok)
            .take_while(move |(path, _)| path.starts_with(prefix))
            .filter_map(|(path, cid)| {
                Some(SnapshotRecord {
                    path,
                    cid,
                    bytes: self.car.get(&cid)?,
                })
            })
    }
}
