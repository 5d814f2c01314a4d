//! What changed between two trees, without reading what they share.

use std::collections::HashSet;
use std::sync::Arc;

use cid::Cid;

use super::node::{Entry, Link, Node};
use super::walk::block;
use super::{MstError, Tree};
use crate::car::Block;
use crate::digest;

/// A key whose value differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub key: String,
    /// Its value in the older tree; none if it was created.
    pub before: Option<Cid>,
    /// Its value in the newer tree; none if it was deleted.
    pub after: Option<Cid>,
}

/// Nodes that only one of two trees has, each before what is below it.
struct Unshared {
    new: Vec<Arc<Node>>,
    old: Vec<Arc<Node>>,
}

impl Tree {
    /// The keys that differ from an older tree, in order.
    ///
    /// # Errors
    /// [`MstError::Missing`] if one of the trees is not loaded where they differ.
    pub fn diff(&self, older: &Self) -> Result<Vec<Change>, MstError> {
        let Unshared { new, old } = unshared(self, older)?;
        let sorted = |nodes: &[Arc<Node>]| {
            let mut entries: Vec<Entry> = nodes
                .iter()
                .flat_map(|node| node.entries.iter().cloned())
                .collect();
            entries.sort_unstable_by(|a, b| a.key.compare(b.key.as_bytes()));
            entries
        };
        let (new, old) = (sorted(&new), sorted(&old));
        let (mut new, mut old) = (new.iter().peekable(), old.iter().peekable());
        let mut changes = Vec::new();
        loop {
            let order = match (new.peek(), old.peek()) {
                (None, None) => return Ok(changes),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(new), Some(old)) => new.key.compare(old.key.as_bytes()),
            };
            let after = if order.is_le() { new.next() } else { None };
            let before = if order.is_ge() { old.next() } else { None };
            if let Some(Entry { key, .. }) = after.or(before)
                && before.map(|entry| entry.value) != after.map(|entry| entry.value)
            {
                let cid = |entry: &Entry| digest::cbor_cid(&entry.value);
                changes.push(Change {
                    key: key.as_str().to_owned(),
                    before: before.map(cid),
                    after: after.map(cid),
                });
            }
        }
    }

    /// The blocks of the nodes that an older tree does not have.
    ///
    /// # Errors
    /// [`MstError::Missing`] if one of the trees is not loaded where they differ.
    pub fn new_blocks(&self, older: &Self) -> Result<Vec<Block>, MstError> {
        Ok(unshared(self, older)?.new.iter().map(block).collect())
    }

    /// The CIDs of the nodes of an older tree that this one does not have any more.
    ///
    /// # Errors
    /// [`MstError::Missing`] if one of the trees is not loaded where they differ.
    pub fn removed_blocks(&self, older: &Self) -> Result<Vec<Cid>, MstError> {
        let old = unshared(self, older)?.old;
        Ok(old
            .iter()
            .map(|node| digest::cbor_cid(node.seal(&mut Vec::new())))
            .collect())
    }
}

/// Compares level by level: the same node stands at the same level in both trees, or in one only.
fn unshared(new: &Tree, old: &Tree) -> Result<Unshared, MstError> {
    new.seal();
    old.seal();
    let mut found = Unshared {
        new: Vec::new(),
        old: Vec::new(),
    };
    let mut new_front = vec![Link::Node(new.root.clone())];
    let mut old_front = vec![Link::Node(old.root.clone())];
    for level in (0..=new.root.level.max(old.root.level)).rev() {
        let (mut new_here, mut old_here) = (Vec::new(), Vec::new());
        if level <= new.root.level {
            new_here = std::mem::take(&mut new_front);
        }
        if level <= old.root.level {
            old_here = std::mem::take(&mut old_front);
        }
        let in_new: HashSet<_> = new_here.iter().map(Link::digest).collect();
        let in_old: HashSet<_> = old_here.iter().map(Link::digest).collect();
        new_here.retain(|link| !in_old.contains(&link.digest()));
        old_here.retain(|link| !in_new.contains(&link.digest()));
        expand(new_here, &mut new_front, &mut found.new)?;
        expand(old_here, &mut old_front, &mut found.old)?;
    }
    Ok(found)
}

fn expand(
    links: Vec<Link>,
    below: &mut Vec<Link>,
    found: &mut Vec<Arc<Node>>,
) -> Result<(), MstError> {
    for link in links {
        let node = link.into_node()?;
        below.extend((0..=node.entries.len()).filter_map(|gap| node.child(gap).cloned()));
        found.push(node);
    }
    Ok(())
}
