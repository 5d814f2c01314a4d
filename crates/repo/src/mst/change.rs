//! Inserting, updating and removing: the two recursions are `split` and `merge`.

use std::sync::Arc;

use super::key::Key;
use super::node::{Entry, Link, Node};
use super::{MstError, height};
use crate::digest::Digest;

/// Inserts a key that is not there.
pub(super) fn insert(root: &mut Arc<Node>, key: &[u8], value: Digest) -> Result<(), MstError> {
    let level = height(key);
    if root.is_empty() {
        *root = Arc::new(Node::new(level, None, vec![entry(key, value, None)]));
        return Ok(());
    }
    if level <= root.level {
        return insert_below(Node::make_mut(root), key, value, level);
    }
    let from = root.level;
    let (left, right) = split(Link::Node(std::mem::take(root)), key)?;
    let [left, right] = [left, right].map(|link| link.map(|link| lift(link, from, level - 1)));
    *root = Arc::new(Node::new(level, left, vec![entry(key, value, right)]));
    Ok(())
}

fn insert_below(node: &mut Node, key: &[u8], value: Digest, level: u8) -> Result<(), MstError> {
    let Err(gap) = node.find(key) else {
        return Err(MstError::exists(key));
    };
    if node.level == level {
        let (left, right) = match node.child_mut(gap).take() {
            Some(child) => split(child, key)?,
            None => (None, None),
        };
        *node.child_mut(gap) = left;
        node.entries.insert(gap, entry(key, value, right));
        return Ok(());
    }
    let below = node.level.saturating_sub(1);
    match node.child_mut(gap) {
        Some(child) => insert_below(child.node_mut()?, key, value, level),
        empty => {
            let leaf = Node::new(level, None, vec![entry(key, value, None)]);
            *empty = Some(lift(Link::Node(Arc::new(leaf)), level, below));
            Ok(())
        }
    }
}

fn entry(key: &[u8], value: Digest, right: Option<Link>) -> Entry {
    Entry {
        key: Key::new(key),
        value,
        right,
    }
}

/// Puts nodes without entries above a subtree, so that its root is at level `to`.
fn lift(link: Link, from: u8, to: u8) -> Link {
    (from..to).fold(link, |below, level| {
        Link::Node(Arc::new(Node::new(level + 1, Some(below), Vec::new())))
    })
}

/// Parts a subtree into what comes before and what comes after a key that is not in it.
fn split(link: Link, key: &[u8]) -> Result<(Option<Link>, Option<Link>), MstError> {
    let mut left = Node::take(link.into_node()?);
    let Err(gap) = left.find(key) else {
        return Err(MstError::exists(key));
    };
    let after = left.entries.split_off(gap);
    let (before_key, after_key) = match left.child_mut(gap).take() {
        Some(child) => split(child, key)?,
        None => (None, None),
    };
    *left.child_mut(gap) = before_key;
    let right = Node::new(left.level, after_key, after);
    Ok((left.into_link(), right.into_link()))
}

/// Replaces the value of a key, and returns the one before.
pub(super) fn update(root: &mut Arc<Node>, key: &[u8], value: Digest) -> Result<Digest, MstError> {
    let mut node = Node::make_mut(root);
    loop {
        match node.find(key) {
            Ok(at) => match node.entries.get_mut(at) {
                Some(entry) => return Ok(std::mem::replace(&mut entry.value, value)),
                None => return Err(MstError::not_found(key)),
            },
            Err(gap) => match node.child_mut(gap) {
                Some(child) => node = child.node_mut()?,
                None => return Err(MstError::not_found(key)),
            },
        }
    }
}

/// Removes a key, and returns its value.
pub(super) fn remove(root: &mut Arc<Node>, key: &[u8]) -> Result<Digest, MstError> {
    let value = remove_below(Node::make_mut(root), key)?;
    // The root of a tree has entries, unless the tree is empty.
    while root.entries.is_empty() {
        match &root.left {
            Some(child) => *root = child.node()?.clone(),
            None => {
                *root = Arc::default();
                break;
            }
        }
    }
    Ok(value)
}

fn remove_below(node: &mut Node, key: &[u8]) -> Result<Digest, MstError> {
    match node.find(key) {
        Ok(at) => {
            let removed = node.entries.remove(at);
            let left = node.child_mut(at).take();
            *node.child_mut(at) = merge(left, removed.right)?;
            Ok(removed.value)
        }
        Err(gap) => {
            let place = node.child_mut(gap);
            let Some(child) = place else {
                return Err(MstError::not_found(key));
            };
            let child = child.node_mut()?;
            let value = remove_below(child, key)?;
            if child.is_empty() {
                *place = None;
            }
            Ok(value)
        }
    }
}

/// Joins two subtrees of one level, between whose keys nothing stands any more.
fn merge(left: Option<Link>, right: Option<Link>) -> Result<Option<Link>, MstError> {
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (one, other) => return Ok(one.or(other)),
    };
    let mut left = Node::take(left.into_node()?);
    let mut right = Node::take(right.into_node()?);
    let last = left.entries.len();
    let inner = merge(left.child_mut(last).take(), right.left.take())?;
    *left.child_mut(last) = inner;
    left.entries.append(&mut right.entries);
    Ok(left.into_link())
}
