//! Loading a tree from blocks.

use std::sync::Arc;

use cid::Cid;

use super::node::{Link, Node};
use super::{BlockSource, MstError, Tree, height, record_digest};
use crate::digest::{self, Digest};

impl Tree {
    /// Loads a tree as far as its blocks are at hand. Every node that is loaded is checked: its
    /// form, the order of its keys within it and between its neighbours, and their levels.
    ///
    /// # Errors
    /// [`MstError::Missing`] if the root is not at hand, and what is wrong with a node.
    pub fn load(root: Cid, source: &impl BlockSource) -> Result<Self, MstError> {
        Loader {
            source,
            levels: true,
        }
        .load(root)
    }

    /// Loads the part of a tree that a commit carries, without checking the levels of keys: that
    /// costs a hash for each. Undoing operations must lead to a tree that was known before, and does
    /// so whatever the levels of other keys, or not at all.
    pub(crate) fn load_to_invert(root: Cid, source: &impl BlockSource) -> Result<Self, MstError> {
        Loader {
            source,
            levels: false,
        }
        .load(root)
    }
}

struct Loader<'s, S> {
    source: &'s S,
    /// Whether every key must stand at the level of its hash.
    levels: bool,
}

/// The keys between which a subtree's must lie.
#[derive(Clone, Copy, Default)]
struct Bounds<'a> {
    after: Option<&'a [u8]>,
    before: Option<&'a [u8]>,
}

impl<S: BlockSource> Loader<'_, S> {
    fn load(&self, root: Cid) -> Result<Tree, MstError> {
        let digest = record_digest(&root)?;
        let mut node = self
            .read(&digest)?
            .ok_or_else(|| MstError::missing(&digest))?;
        if let Some(first) = node.entries.first() {
            node.level = height(first.key.as_bytes());
            node = self.complete(node, &digest, Bounds::default())?;
        } else if node.left.is_some() {
            // The root of a tree has entries, unless the tree is empty.
            return Err(MstError::level(&digest));
        }
        Ok(Tree {
            root: Arc::new(node),
        })
    }

    fn read(&self, digest: &Digest) -> Result<Option<Node>, MstError> {
        let block = self.source.block(&digest::cbor_cid(digest));
        block.map(|bytes| Node::parse(bytes, *digest)).transpose()
    }

    /// Checks a node whose level is known, and loads what is below it. The recursion is as deep as
    /// the level, which is at most 128; no two subtrees can be the same one, because of the bounds.
    fn complete(
        &self,
        mut node: Node,
        digest: &Digest,
        bounds: Bounds<'_>,
    ) -> Result<Node, MstError> {
        if let (Some(first), Some(last)) = (node.entries.first(), node.entries.last()) {
            let after = bounds.after.is_none_or(|key| key < first.key.as_bytes());
            let before = bounds.before.is_none_or(|key| last.key.as_bytes() < key);
            if !(after && before) {
                return Err(MstError::Keys {
                    cid: Box::new(digest::cbor_cid(digest)),
                });
            }
        }
        if self.levels
            && node
                .entries
                .iter()
                .any(|entry| height(entry.key.as_bytes()) != node.level)
        {
            return Err(MstError::level(digest));
        }
        for gap in 0..=node.entries.len() {
            let Some(Link::Missing(child)) = node.child(gap) else {
                continue;
            };
            let Some(level) = node.level.checked_sub(1) else {
                return Err(MstError::level(digest));
            };
            let child = *child;
            let Some(mut loaded) = self.read(&child)? else {
                continue;
            };
            if loaded.is_empty() {
                return Err(MstError::level(&child));
            }
            loaded.level = level;
            let key_at = |at: Option<usize>| Some(node.entries.get(at?)?.key.as_bytes());
            let inner = Bounds {
                after: key_at(gap.checked_sub(1)).or(bounds.after),
                before: key_at(Some(gap)).or(bounds.before),
            };
            let loaded = self.complete(loaded, &child, inner)?;
            *node.child_mut(gap) = Some(Link::Node(Arc::new(loaded)));
        }
        Ok(node)
    }
}
