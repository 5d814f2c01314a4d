//! Reading a tree: its entries in order, its blocks, and the blocks that prove a key.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;

use super::node::{Link, Node};
use super::{MstError, Tree};
use crate::car::Block;
use crate::digest;

impl Tree {
    /// The entries in the order of their keys.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        self.entries_from("")
    }

    /// The entries whose keys are not before `start`, in order.
    #[must_use]
    pub fn entries_from(&self, start: &str) -> Entries<'_> {
        let mut entries = Entries {
            stack: Vec::new(),
            failed: None,
        };
        let mut node = &self.root;
        loop {
            let (gap, found) = match node.find(start.as_bytes()) {
                Ok(at) => (at, true),
                Err(gap) => (gap, false),
            };
            entries.stack.push((node, gap));
            match node.child(gap) {
                Some(Link::Node(child)) if !found => node = child,
                Some(Link::Missing(digest)) if !found => {
                    entries.failed = Some(MstError::missing(digest));
                    return entries;
                }
                _ => return entries,
            }
        }
    }

    /// The blocks of all nodes that are loaded, each before what is below it.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        self.seal();
        let mut blocks = Vec::new();
        push_all(&self.root, &mut blocks);
        blocks
    }

    /// The blocks from the root down to the key, or to where it would be: they prove that it is
    /// there with its value, or that it is not.
    ///
    /// # Errors
    /// [`MstError::Missing`] if the tree is not loaded that far.
    pub fn proof(&self, key: &str) -> Result<Vec<Block>, MstError> {
        self.seal();
        self.path(key.as_bytes())
            .map(|nodes| nodes.into_iter().map(block).collect())
    }

    /// The blocks that a commit must carry so that its changes to `keys` can be inverted: the proof
    /// of each, and the nodes next to it on both sides. Call it on the tree after the changes.
    ///
    /// # Errors
    /// [`MstError::Missing`] if the tree is not loaded that far.
    pub fn covering_proof<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Vec<Block>, MstError> {
        self.seal();
        let mut seen = HashSet::new();
        let mut blocks = Vec::new();
        for key in keys {
            let mut nodes = self.path(key.as_bytes())?;
            if let Some(last) = nodes.last()
                && let Ok(at) = last.find(key.as_bytes())
            {
                let (mut left, mut right) = (last.child(at), last.child(at + 1));
                while let Some(link) = left {
                    let node = link.node()?;
                    left = node.child(node.entries.len());
                    nodes.push(node);
                }
                while let Some(link) = right {
                    let node = link.node()?;
                    right = node.left.as_ref();
                    nodes.push(node);
                }
            }
            blocks.extend(
                nodes
                    .into_iter()
                    .filter(|node| seen.insert(Arc::as_ptr(node)))
                    .map(block),
            );
        }
        Ok(blocks)
    }

    fn path(&self, key: &[u8]) -> Result<Vec<&Arc<Node>>, MstError> {
        let mut nodes = vec![&self.root];
        let mut node = &self.root;
        while let Err(gap) = node.find(key)
            && let Some(child) = node.child(gap)
        {
            node = child.node()?;
            nodes.push(node);
        }
        Ok(nodes)
    }
}

fn push_all(node: &Arc<Node>, blocks: &mut Vec<Block>) {
    blocks.push(block(node));
    for gap in 0..=node.entries.len() {
        if let Some(Link::Node(child)) = node.child(gap) {
            push_all(child, blocks);
        }
    }
}

pub(super) fn block(node: &Arc<Node>) -> Block {
    Block {
        cid: digest::cbor_cid(node.seal(&mut Vec::new())),
        bytes: Bytes::from(node.to_bytes()),
    }
}

/// The entries of a tree in the order of their keys. It ends after its first error, which says
/// that a part of the tree is not loaded.
pub struct Entries<'a> {
    /// Nodes from the root down, each with the entry that comes next in it.
    stack: Vec<(&'a Arc<Node>, usize)>,
    failed: Option<MstError>,
}

impl<'a> Entries<'a> {
    fn descend(&mut self, mut link: Option<&'a Link>) {
        while let Some(below) = link {
            match below {
                Link::Node(node) => {
                    self.stack.push((node, 0));
                    link = node.left.as_ref();
                }
                Link::Missing(digest) => {
                    self.failed = Some(MstError::missing(digest));
                    return;
                }
            }
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(&'a str, Cid), MstError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.failed.take() {
                self.stack.clear();
                return Some(Err(error));
            }
            let (node, next) = self.stack.last_mut()?;
            let Some(entry) = node.entries.get(*next) else {
                self.stack.pop();
                continue;
            };
            *next += 1;
            self.descend(entry.right.as_ref());
            return Some(Ok((entry.key.as_str(), digest::cbor_cid(&entry.value))));
        }
    }
}
