//! A repository as one CAR, whole or what is new since a rev, and back.

use std::collections::HashMap;

use atcomms_lexicon::{Nsid, RecordKey, Tid};
use bytes::Bytes;
use thiserror::Error;

use super::{Repository, Stored};
use crate::car::{self, Block, Car, CarError};
use crate::commit::{CommitError, SignedCommit};
use crate::key::{BadSignature, SigningKey};
use crate::mst::{MstError, Tree};

/// A repository cannot be loaded from a CAR.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The CAR cannot be read.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The root is not a commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The commit's block is missing.
    #[error("the CAR does not hold the commit that is its root")]
    CommitMissing,
    /// The commit is not signed by the key.
    #[error("the repository's commit: {0}; load it with the key that it was signed with")]
    Signature(#[from] BadSignature),
    /// The tree is damaged, or not whole.
    #[error(transparent)]
    Tree(#[from] MstError),
    /// A record is missing, or has no valid path.
    #[error(
        "the record at `{0}` is missing, or its path is not a collection and a record key; export the whole repository"
    )]
    Record(String),
}

impl Repository {
    /// The repository as a CAR: the latest commit, the nodes of its tree, each before what is below it, and
    /// the records. With `since`, only what was new in commits after it; at or beyond the latest rev,
    /// nothing but the root's CID.
    #[must_use]
    pub fn export(&self, since: Option<Tid>) -> Vec<u8> {
        let is_new = |rev: &Tid| since.is_none_or(|since| *rev > since);
        let mut blocks = Vec::new();
        if is_new(&self.head.rev()) {
            blocks.push(self.head.block().clone());
        }
        blocks.extend(
            self.tree
                .blocks()
                .into_iter()
                .filter(|block| self.nodes.get(&block.cid).is_none_or(is_new)),
        );
        let records = self
            .records
            .iter()
            .filter(|(_, stored)| is_new(&stored.since));
        blocks.extend(records.map(|(cid, stored)| Block {
            cid: *cid,
            bytes: stored.bytes.clone(),
        }));
        car::write(&self.head.cid(), &blocks)
    }

    /// Loads a whole repository from its export, and checks all of it. Which rev a block is of is
    /// not in an export: for a later `since`, all are taken to be of the latest.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(bytes: &[u8], key: SigningKey) -> Result<Self, LoadError> {
        let car = Car::read(bytes)?;
        let commit = car.get(&car.root()).ok_or(LoadError::CommitMissing)?;
        let head = SignedCommit::decode(Bytes::copy_from_slice(commit))?;
        head.verify(&key.public())?;
        let tree = Tree::load(head.data(), &car)?;
        let mut records = HashMap::new();
        for entry in tree.entries() {
            let (path, cid) = entry?;
            let bad = || LoadError::Record(path.to_owned());
            let (collection, rkey) = path.split_once('/').ok_or_else(bad)?;
            collection.parse::<Nsid>().map_err(|_| bad())?;
            rkey.parse::<RecordKey>().map_err(|_| bad())?;
            let bytes = car.get(&cid).ok_or_else(bad)?;
            let stored = records.entry(cid).or_insert_with(|| Stored {
                bytes: Bytes::copy_from_slice(bytes),
                since: head.rev(),
                paths: 0,
            });
            stored.paths += 1;
        }
        let nodes = tree
            .blocks()
            .iter()
            .map(|block| (block.cid, head.rev()))
            .collect();
        Ok(Self {
            key,
            head,
            tree,
            records,
            nodes,
        })
    }
}
