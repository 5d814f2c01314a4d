//! Undoing a commit's operations, which shows that they are all that it did.

use cid::Cid;
use thiserror::Error;

use super::{MstError, Tree, change, key, record_digest};
use crate::digest;
use crate::frame::{Action, RepoOp};

/// Operations cannot be undone in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvertError {
    /// A created or updated path is not in the tree, or not with the operation's CID.
    #[error("`{0}` is not in the signed tree with the operation's CID")]
    NotInTree(String),
    /// A deleted path is still in the tree.
    #[error("`{0}` is said to be deleted, and is in the signed tree")]
    StillInTree(String),
    /// An operation lacks the CID or the previous CID that its action needs.
    #[error("the operation on `{0}` lacks the CID that it needs to be undone")]
    Incomplete(String),
    /// The tree cannot be read.
    #[error(transparent)]
    Tree(#[from] MstError),
}

impl Tree {
    /// Undoes the operations of a commit, whose paths must differ, and returns the root of the tree
    /// before them. Deletes are undone first, so that no more of the tree is needed than what a
    /// commit carries.
    ///
    /// # Errors
    /// [`InvertError`] if the tree is not one that the operations lead to, or not loaded far enough.
    pub fn invert(mut self, ops: &[RepoOp<'_>]) -> Result<Cid, InvertError> {
        for op in ops {
            match (op.action, &op.cid, &op.prev) {
                (Action::Create, Some(_), _) => {}
                (Action::Update, Some(after), Some(before)) => {
                    self.undo_update(op.path, after, before)?
                }
                (Action::Delete, _, Some(before)) => self.undo_delete(op.path, before)?,
                _ => return Err(InvertError::Incomplete(op.path.to_owned())),
            }
        }
        for op in ops {
            if let (Action::Create, Some(after)) = (op.action, &op.cid) {
                self.undo_create(op.path, after)?;
            }
        }
        Ok(self.root_cid())
    }

    fn undo_update(&mut self, path: &str, after: &Cid, before: &Cid) -> Result<(), InvertError> {
        match change::update(&mut self.root, path.as_bytes(), record_digest(before)?) {
            Ok(found) if digest::of_cbor(after) == Some(&found) => Ok(()),
            Ok(_) | Err(MstError::NotFound(_)) => Err(InvertError::NotInTree(path.to_owned())),
            Err(error) => Err(error.into()),
        }
    }

    fn undo_delete(&mut self, path: &str, before: &Cid) -> Result<(), InvertError> {
        if !key::is_valid(path.as_bytes()) {
            return Err(MstError::InvalidKey(path.chars().take(80).collect()).into());
        }
        match change::insert(&mut self.root, path.as_bytes(), record_digest(before)?) {
            Err(MstError::Exists(_)) => Err(InvertError::StillInTree(path.to_owned())),
            done => Ok(done?),
        }
    }

    fn undo_create(&mut self, path: &str, after: &Cid) -> Result<(), InvertError> {
        match change::remove(&mut self.root, path.as_bytes()) {
            Ok(found) if digest::of_cbor(after) == Some(&found) => Ok(()),
            Ok(_) | Err(MstError::NotFound(_)) => Err(InvertError::NotInTree(path.to_owned())),
            Err(error) => Err(error.into()),
        }
    }
}
