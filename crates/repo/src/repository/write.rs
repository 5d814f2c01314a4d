//! Writing records: one commit for any number of them.

use std::collections::HashSet;

use atcomms_lexicon::{Nsid, RecordKey, Tid};
use bytes::Bytes;
use cid::Cid;
use thiserror::Error;

use super::{Repository, Stored, path};
use crate::car::{self, Block};
use crate::commit::{SignedCommit, UnsignedCommit};
use crate::frame::{Action, CommitFrame, Frame, RepoOp, SyncFrame};
use crate::mst::MstError;

/// A change to one record. Records are DAG-CBOR, and are taken as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Writes a record where there is none.
    Create {
        /// Its collection.
        collection: Nsid,
        /// Its key.
        rkey: RecordKey,
        /// Its bytes.
        record: Bytes,
    },
    /// Replaces a record.
    Update {
        /// Its collection.
        collection: Nsid,
        /// Its key.
        rkey: RecordKey,
        /// The new bytes.
        record: Bytes,
    },
    /// Removes a record.
    Delete {
        /// Its collection.
        collection: Nsid,
        /// Its key.
        rkey: RecordKey,
    },
}

/// Writes were refused, and nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// What was to be created is there.
    #[error("there is a record at `{0}` already; update it instead")]
    Exists(String),
    /// What was to be updated or deleted is not there.
    #[error("there is no record at `{0}`")]
    NotFound(String),
    /// Two writes are on one path.
    #[error("two writes of one commit are on `{0}`; make two commits of them")]
    DuplicatePath(String),
    /// The rev is not newer than the head's.
    #[error("rev {rev} is not newer than the head's, {head}; take it from one TidClock")]
    RevNotNewer {
        /// The rev that was given.
        rev: Tid,
        /// That of the latest commit.
        head: Tid,
    },
    /// The tree refuses.
    #[error(transparent)]
    Tree(MstError),
}

impl From<MstError> for WriteError {
    fn from(error: MstError) -> Self {
        match error {
            MstError::Exists(path) => Self::Exists(path),
            MstError::NotFound(path) => Self::NotFound(path),
            error => Self::Tree(error),
        }
    }
}

/// A commit that was made, with all that its frame carries. The fields are open, so that a test can
/// forge any of them before it makes the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The commit.
    pub commit: SignedCommit,
    /// The rev of the commit before; none for the first.
    pub since: Option<Tid>,
    /// The root of the tree before; none for the first commit.
    pub prev_data: Option<Cid>,
    /// What was written.
    pub ops: Vec<AppliedOp>,
    /// The nodes that the operations touch, the records, and the commit.
    pub blocks: Vec<Block>,
}

/// An operation of a commit that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedOp {
    /// What was done.
    pub action: Action,
    /// Collection, slash, record key.
    pub path: String,
    /// The CID of the record; none for a delete.
    pub cid: Option<Cid>,
    /// The CID of the record before; none for a create.
    pub prev: Option<Cid>,
}

impl AppliedOp {
    /// The operation as frames hold it.
    #[must_use]
    pub fn borrow(&self) -> RepoOp<'_> {
        RepoOp {
            action: self.action,
            path: &self.path,
            cid: self.cid,
            prev: self.prev,
        }
    }
}

impl Applied {
    /// The blocks as a CAR whose root is the commit.
    #[must_use]
    pub fn car(&self) -> Vec<u8> {
        car::write(&self.commit.cid(), &self.blocks)
    }

    /// The bytes of the `#commit` frame.
    #[must_use]
    pub fn frame(&self, seq: i64, time: &str) -> Vec<u8> {
        let rev = self.commit.rev().to_string();
        let since = self.since.map(|rev| rev.to_string());
        Frame::Commit(CommitFrame {
            seq,
            repo: self.commit.did().as_str(),
            rev: &rev,
            since: since.as_deref(),
            commit: self.commit.cid(),
            prev_data: self.prev_data,
            blocks: &self.car(),
            ops: self.ops.iter().map(AppliedOp::borrow).collect(),
            time,
        })
        .encode()
    }
}

impl Repository {
    /// Applies writes in one commit: all of them, or none. A commit of no writes carries no node, as
    /// the reference PDS has it.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn apply(&mut self, writes: &[Write], rev: Tid) -> Result<Applied, WriteError> {
        if rev <= self.head.rev() {
            return Err(WriteError::RevNotNewer {
                rev,
                head: self.head.rev(),
            });
        }
        let mut tree = self.tree.clone();
        let mut ops = Vec::with_capacity(writes.len());
        let mut records = Vec::new();
        let mut paths = HashSet::new();
        for write in writes {
            let (action, path, record) = match write {
                Write::Create {
                    collection,
                    rkey,
                    record,
                } => (Action::Create, path(collection, rkey), Some(record)),
                Write::Update {
                    collection,
                    rkey,
                    record,
                } => (Action::Update, path(collection, rkey), Some(record)),
                Write::Delete { collection, rkey } => {
                    (Action::Delete, path(collection, rkey), None)
                }
            };
            if !paths.insert(path.clone()) {
                return Err(WriteError::DuplicatePath(path));
            }
            let record = record.map(|record| Block::from_cbor(record.clone()));
            let cid = record.as_ref().map(|block| block.cid);
            let prev = match (action, cid) {
                (Action::Create, Some(cid)) => {
                    tree.insert(&path, cid)?;
                    None
                }
                (Action::Update, Some(cid)) => Some(tree.update(&path, cid)?),
                _ => Some(tree.remove(&path)?),
            };
            records.extend(record);
            ops.push(AppliedOp {
                action,
                path,
                cid,
                prev,
            });
        }
        let mut blocks = tree.covering_proof(ops.iter().map(|op| op.path.as_str()))?;
        let new_nodes = tree.new_blocks(&self.tree)?;
        let removed_nodes = tree.removed_blocks(&self.tree)?;
        let commit = UnsignedCommit {
            did: self.did().clone(),
            rev,
            data: tree.root_cid(),
        }
        .sign(&self.key);
        let mut seen = HashSet::new();
        blocks.extend(
            records
                .iter()
                .filter(|block| seen.insert(block.cid))
                .cloned(),
        );
        blocks.push(commit.block().clone());

        for cid in removed_nodes {
            self.nodes.remove(&cid);
        }
        self.nodes
            .extend(new_nodes.iter().map(|block| (block.cid, rev)));
        for block in records {
            let stored = self.records.entry(block.cid).or_insert(Stored {
                bytes: block.bytes,
                since: rev,
                paths: 0,
            });
            stored.paths += 1;
        }
        for prev in ops.iter().filter_map(|op| op.prev) {
            if let Some(stored) = self.records.get_mut(&prev) {
                stored.paths -= 1;
                if stored.paths == 0 {
                    self.records.remove(&prev);
                }
            }
        }
        let applied = Applied {
            commit: commit.clone(),
            since: Some(self.head.rev()),
            prev_data: Some(self.head.data()),
            ops,
            blocks,
        };
        self.head = commit;
        self.tree = tree;
        Ok(applied)
    }

    /// The bytes of a `#sync` frame of the latest commit.
    #[must_use]
    pub fn sync_frame(&self, seq: i64, time: &str) -> Vec<u8> {
        let rev = self.head.rev().to_string();
        let blocks = car::write(&self.head.cid(), [self.head.block()]);
        Frame::Sync(SyncFrame {
            seq,
            did: self.did().as_str(),
            rev: &rev,
            blocks: &blocks,
            time,
        })
        .encode()
    }
}
