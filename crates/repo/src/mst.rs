//! The Merkle search tree of a repository: record paths in order, each with its record's CID.
//!
//! A [`Tree`] is loaded from blocks, whole or only as far as they are at hand: a subtree that is
//! not there stays a link, and only what needs it fails. Clones share their nodes, so that a clone
//! is the way to keep the state before a change. No record bytes are held here.

mod change;
mod diff;
mod invert;
mod key;
mod load;
mod node;
mod walk;

use std::sync::Arc;

use cid::Cid;
use thiserror::Error;

pub use diff::Change;
pub use invert::InvertError;
pub use key::common_prefix;
pub use walk::Entries;

use crate::cbor::CborError;
use crate::digest::{self, Digest};
use node::Node;

/// Where blocks come from. What it gives must have been checked against its CID.
pub trait BlockSource {
    /// The bytes of a block, if they are at hand.
    fn block(&self, cid: &Cid) -> Option<&[u8]>;
}

impl<T: BlockSource + ?Sized> BlockSource for &T {
    fn block(&self, cid: &Cid) -> Option<&[u8]> {
        (**self).block(cid)
    }
}

impl<S: std::hash::BuildHasher> BlockSource for std::collections::HashMap<Cid, bytes::Bytes, S> {
    fn block(&self, cid: &Cid) -> Option<&[u8]> {
        self.get(cid).map(AsRef::as_ref)
    }
}

/// A tree cannot be read or changed as asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MstError {
    /// A node is needed whose block is not at hand.
    #[error(
        "MST node {0} is needed and its block is missing; fetch the repository or a proof for the path"
    )]
    Missing(Box<Cid>),
    /// A block is not an MST node.
    #[error("block {cid} is not an MST node: {source}")]
    Malformed {
        /// The block.
        cid: Box<Cid>,
        /// What is wrong with its bytes.
        source: CborError,
    },
    /// A node's keys are out of order, wrongly compressed, too long or not ASCII.
    #[error(
        "MST node {cid} holds keys that are out of order, wrongly compressed, too long or not ASCII"
    )]
    Keys {
        /// The node.
        cid: Box<Cid>,
    },
    /// A node stands at a level that its keys do not belong to, or is empty below the root.
    #[error("MST node {cid} is not at the level of its keys")]
    Level {
        /// The node.
        cid: Box<Cid>,
    },
    /// What is to be inserted is there already.
    #[error("`{0}` is in the tree already; update it instead")]
    Exists(String),
    /// What is to be updated or removed is not there.
    #[error("`{0}` is not in the tree")]
    NotFound(String),
    /// The text cannot be a key.
    #[error("`{0}` cannot be a key: 1 to 1024 bytes of printable ASCII are needed")]
    InvalidKey(String),
    /// The CID is not that of a record.
    #[error("{0} is not a CID of a record: CIDv1, DAG-CBOR and SHA-256 are needed")]
    InvalidCid(Box<Cid>),
}

impl MstError {
    fn missing(digest: &Digest) -> Self {
        Self::Missing(Box::new(digest::cbor_cid(digest)))
    }

    fn level(digest: &Digest) -> Self {
        Self::Level {
            cid: Box::new(digest::cbor_cid(digest)),
        }
    }

    fn exists(key: &[u8]) -> Self {
        Self::Exists(String::from_utf8_lossy(key).into_owned())
    }

    fn not_found(key: &[u8]) -> Self {
        Self::NotFound(String::from_utf8_lossy(key).into_owned())
    }
}

/// A Merkle search tree, loaded in whole or in part. Cheap to clone.
///
/// After [`MstError::Missing`] from a change, the tree is to be thrown away: it may have changed in part.
///
/// ```
/// use atcomms_repo::mst::Tree;
///
/// let value = "bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454".parse()?;
/// let mut tree = Tree::new();
/// let empty = tree.root_cid();
/// tree.insert("agent.comms.message/3n2xcy7j2kl2o", value)?;
/// assert_eq!(tree.get("agent.comms.message/3n2xcy7j2kl2o")?, Some(value));
/// tree.remove("agent.comms.message/3n2xcy7j2kl2o")?;
/// assert_eq!(tree.root_cid(), empty);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Tree {
    root: Arc<Node>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`MstError::Missing`] if the tree is not loaded on the way to the key.
    pub fn get(&self, key: &str) -> Result<Option<Cid>, MstError> {
        Ok(self
            .find(key.as_bytes())?
            .map(|digest| digest::cbor_cid(&digest)))
    }

    /// Inserts a key that is not there.
    ///
    /// # Errors
    /// [`MstError::Exists`], [`MstError::InvalidKey`] or [`MstError::InvalidCid`], which leave the
    /// tree as it is, and [`MstError::Missing`].
    pub fn insert(&mut self, key: &str, value: Cid) -> Result<(), MstError> {
        let value = record_digest(&value)?;
        if !key::is_valid(key.as_bytes()) {
            return Err(MstError::InvalidKey(key.chars().take(80).collect()));
        }
        match self.find(key.as_bytes())? {
            Some(_) => Err(MstError::exists(key.as_bytes())),
            None => change::insert(&mut self.root, key.as_bytes(), value),
        }
    }

    /// Replaces the value of a key that is there, and returns the one before.
    ///
    /// # Errors
    /// [`MstError::NotFound`] or [`MstError::InvalidCid`], which leave the tree as it is, and [`MstError::Missing`].
    pub fn update(&mut self, key: &str, value: Cid) -> Result<Cid, MstError> {
        let value = record_digest(&value)?;
        change::update(&mut self.root, key.as_bytes(), value)
            .map(|before| digest::cbor_cid(&before))
    }

    /// Removes a key that is there, and returns its value.
    ///
    /// # Errors
    /// [`MstError::NotFound`], which leaves the tree as it is, and [`MstError::Missing`].
    pub fn remove(&mut self, key: &str) -> Result<Cid, MstError> {
        match self.find(key.as_bytes())? {
            None => Err(MstError::not_found(key.as_bytes())),
            Some(_) => change::remove(&mut self.root, key.as_bytes())
                .map(|before| digest::cbor_cid(&before)),
        }
    }

    /// The CID of the root node, which stands for the whole content.
    #[must_use]
    pub fn root_cid(&self) -> Cid {
        digest::cbor_cid(self.seal())
    }

    /// Computes the digests that are not known, so that no node below has to.
    fn seal(&self) -> &Digest {
        self.root.seal(&mut Vec::with_capacity(SCRATCH_LEN))
    }

    fn find(&self, key: &[u8]) -> Result<Option<Digest>, MstError> {
        let mut node = &self.root;
        loop {
            match node.find(key) {
                Ok(at) => return Ok(node.entries.get(at).map(|entry| entry.value)),
                Err(gap) => match node.child(gap) {
                    Some(child) => node = child.node()?,
                    None => return Ok(None),
                },
            }
        }
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tree({})", self.root_cid())
    }
}

/// The level of a key: half the number of zero bits that its SHA-256 begins with.
#[must_use]
pub fn height(key: impl AsRef<[u8]>) -> u8 {
    let mut zeros = 0;
    for byte in digest::sha256(key.as_ref()) {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    u8::try_from(zeros / 2).unwrap_or(u8::MAX)
}

/// Room for the bytes of most nodes.
const SCRATCH_LEN: usize = 1024;

fn record_digest(value: &Cid) -> Result<Digest, MstError> {
    digest::of_cbor(value)
        .copied()
        .ok_or(MstError::InvalidCid(Box::new(*value)))
}
