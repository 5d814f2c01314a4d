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
        let digest = record_digest(&root)?;
        let mut node = read(&digest, source)?.ok_or(MstError::missing(&digest))?;
        match node.entries.first() {
            Some(first) => node.level = height(first.key.as_bytes()),
            None if node.left.is_none() => {
                return Ok(Self {
                    root: Arc::new(node),
                });
            }
            None => {
                return Err(MstError::Level {
                    cid: Box::new(root),
                });
            }
        }
        let node = complete(
            node,
            &digest,
            Bounds {
                after: None,
                before: None,
            },
            source,
        )?;
        Ok(Self {
            root: Arc::new(node),
        })
    }
}

/// The keys between which a subtree's must lie.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    after: Option<&'a [u8]>,
    before: Option<&'a [u8]>,
}

fn read(digest: &Digest, source: &impl BlockSource) -> Result<Option<Node>, MstError> {
    source
        .block(&digest::cbor_cid(digest))
        .map(|bytes| Node::parse(bytes, *digest))
        .transpose()
}

/// Checks a node whose level is known, and loads what is below it. The recursion is as deep as the
/// level, which is at most 128; no two subtrees can be the same one, because of the bounds.
fn complete(
    mut node: Node,
    digest: &Digest,
    bounds: Bounds<'_>,
    source: &impl BlockSource,
) -> Result<Node, MstError> {
    let cid = || Box::new(digest::cbor_cid(digest));
    if let (Some(first), Some(last)) = (node.entries.first(), node.entries.last()) {
        let after = bounds.after.is_none_or(|key| key < first.key.as_bytes());
        let before = bounds.before.is_none_or(|key| last.key.as_bytes() < key);
        if !(after && before) {
            return Err(MstError::Keys { cid: cid() });
        }
    }
    if node
        .entries
        .iter()
        .any(|entry| height(entry.key.as_bytes()) != node.level)
    {
        return Err(MstError::Level { cid: cid() });
    }
    for gap in 0..=node.entries.len() {
        let Some(Link::Missing(child)) = node.child(gap) else {
            continue;
        };
        let Some(level) = node.level.checked_sub(1) else {
            return Err(MstError::Level { cid: cid() });
        };
        let child = *child;
        let Some(mut loaded) = read(&child, source)? else {
            continue;
        };
        if loaded.is_empty() {
            return Err(MstError::Level {
                cid: Box::new(digest::cbor_cid(&child)),
            });
        }
        loaded.level = level;
        let key_at = |at: Option<usize>| Some(node.entries.get(at?)?.key.as_bytes());
        let inner = Bounds {
            after: key_at(gap.checked_sub(1)).or(bounds.after),
            before: key_at(Some(gap)).or(bounds.before),
        };
        let loaded = complete(loaded, &child, inner, source)?;
        *node.child_mut(gap) = Some(Link::Node(Arc::new(loaded)));
    }
    Ok(node)
}
