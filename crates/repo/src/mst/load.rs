//! Loading a tree from blocks.

use std::sync::Arc;

use atcomms_lexicon::fault;
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
            let between = (after && before) || fault::on("tree-order");
            if !between {
                return Err(MstError::Keys {
                    cid: Box::new(digest::cbor_cid(digest)),
                });
            }
        }
        if self.levels
            && !fault::on("tree-level")
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;

    use super::*;
    use crate::car::Block;
    use crate::cbor::{ARRAY, BYTES, UINT, write_cbor_link_field, write_len};

    /// An entry as a node writes it: prefix length, rest of the key, subtree.
    type Written<'k> = (usize, &'k [u8], Option<Cid>);

    /// A node with anything in it. Every value is the same.
    fn node(left: Option<Cid>, entries: &[Written<'_>]) -> Block {
        let link = |out: &mut Vec<u8>, field: u8, cid: Option<Cid>| match cid {
            Some(cid) => write_cbor_link_field(out, field, digest::of_cbor(&cid).unwrap()),
            None => out.extend([0x61, field, 0xf6]),
        };
        let mut out = b"\xa2\x61e".to_vec();
        write_len(&mut out, ARRAY, entries.len());
        for (prefix, suffix, right) in entries {
            out.extend(b"\xa4\x61k");
            write_len(&mut out, BYTES, suffix.len());
            out.extend(*suffix);
            out.extend(b"\x61p");
            write_len(&mut out, UINT, *prefix);
            link(&mut out, b't', *right);
            write_cbor_link_field(&mut out, b'v', &[7; 32]);
        }
        link(&mut out, b'l', left);
        Block::from_cbor(out)
    }

    fn load(blocks: &[Block]) -> Result<usize, MstError> {
        let root = blocks.last().expect("a root").cid;
        let source: HashMap<Cid, Bytes> = blocks
            .iter()
            .map(|block| (block.cid, block.bytes.clone()))
            .collect();
        // Where levels are not checked, what is malformed is malformed too, or does no harm.
        if let Ok(tree) = Tree::load_to_invert(root, &source) {
            assert_eq!(tree.root_cid(), root);
        }
        Tree::load(root, &source).map(|tree| tree.entries().filter(Result::is_ok).count())
    }

    /// A key of a height. Their order is that of their letters.
    fn key(letter: char, level: u8) -> Vec<u8> {
        let mut keys = (0..).map(|n| format!("com.example.note/{letter}{n}").into_bytes());
        keys.find(|key| height(key) == level)
            .expect("a key of every height")
    }

    /// What all the keys begin with.
    const SHARED: usize = 17;

    #[test]
    fn a_well_made_node_is_read() {
        let (a, b) = (key('a', 0), key('b', 0));
        let entries = [(0, &a[..], None), (SHARED, &b[SHARED..], None)];
        assert_eq!(load(&[node(None, &entries)]), Ok(2));
        assert_eq!(load(&[node(None, &[])]), Ok(0), "the empty tree");
        let child = node(None, &[(0, &a, None)]);
        let root = node(Some(child.cid), &[(0, &key('b', 1), None)]);
        assert_eq!(load(&[child, root.clone()]), Ok(2));
        assert_eq!(
            load(&[root]),
            Ok(0),
            "a subtree that is not there is an error when it is read"
        );
    }

    #[test]
    fn keys_are_in_order_and_compressed_as_far_as_can_be() {
        let (a, b) = (&key('a', 0)[..], &key('b', 0)[..]);
        let (shared, len) = (SHARED, a.len());
        let long = [b'a'; 1025];
        let bad: &[&[Written<'_>]] = &[
            &[(0, b, None), (shared, &a[SHARED..], None)],
            &[(0, a, None), (len, b"", None)],
            &[(0, a, None), (0, b, None)],
            &[(0, a, None), (shared - 1, &b[SHARED - 1..], None)],
            &[(0, a, None), (len + 1, b"a", None)],
            &[(1, a, None)],
            &[(usize::MAX >> 1, a, None)],
            &[(0, b"", None)],
            &[(0, &long, None)],
            &[(0, b"com.example.note/a b", None)],
            &[(0, "com.example.note/ä".as_bytes(), None)],
        ];
        for entries in bad {
            assert!(
                matches!(load(&[node(None, entries)]), Err(MstError::Keys { .. })),
                "{entries:?}"
            );
        }
        assert!(matches!(
            load(&[node(None, &[(usize::MAX, a, None)])]),
            Err(MstError::Malformed { .. })
        ));
    }

    #[test]
    fn nodes_stand_at_the_level_of_their_keys() {
        let (zero, one, two) = (key('a', 0), key('b', 1), key('b', 2));
        let mixed = node(None, &[(0, &zero, None), (SHARED, &one[SHARED..], None)]);
        assert!(
            matches!(load(&[mixed]), Err(MstError::Level { .. })),
            "two levels in one node"
        );

        let leaf = node(None, &[(0, &zero, None)]);
        let skipped = node(Some(leaf.cid), &[(0, &two, None)]);
        assert!(
            matches!(load(&[leaf.clone(), skipped]), Err(MstError::Level { .. })),
            "a level was left out"
        );
        let between = node(Some(leaf.cid), &[]);
        let root = node(Some(between.cid), &[(0, &two, None)]);
        assert_eq!(
            load(&[leaf.clone(), between.clone(), root]),
            Ok(2),
            "a node without entries stands between"
        );
        assert!(
            matches!(load(&[leaf.clone(), between]), Err(MstError::Level { .. })),
            "but not at the top"
        );

        let empty = node(None, &[]);
        let root = node(Some(empty.cid), &[(0, &one, None)]);
        assert!(
            matches!(load(&[empty, root]), Err(MstError::Level { .. })),
            "an empty node below the root"
        );
        let root = node(Some(leaf.cid), &[(0, &key('b', 0), None)]);
        assert!(
            matches!(load(&[leaf, root]), Err(MstError::Level { .. })),
            "something below the lowest level"
        );
    }

    #[test]
    fn a_subtree_lies_between_its_neighbours() {
        let (b, d) = (key('b', 1), key('d', 1));
        let tree = |left: char, right: char| {
            let left = node(None, &[(0, &key(left, 0), None)]);
            let right = node(None, &[(0, &key(right, 0), None)]);
            let entries = [(0, &b[..], Some(right.cid)), (SHARED, &d[SHARED..], None)];
            let root = node(Some(left.cid), &entries);
            load(&[left, right, root])
        };
        assert_eq!(tree('a', 'c'), Ok(4));
        for (left, right) in [('c', 'a'), ('a', 'a'), ('c', 'c'), ('a', 'e'), ('e', 'c')] {
            assert!(
                matches!(tree(left, right), Err(MstError::Keys { .. })),
                "{left} and {right}"
            );
        }
    }

    #[test]
    fn a_chain_of_nodes_without_entries_ends() {
        let mut blocks = vec![node(None, &[(0, &key('a', 0), None)])];
        for _ in 0..100_000 {
            let below = blocks.last().map(|block| block.cid);
            blocks.push(node(below, &[]));
        }
        let below = blocks.last().map(|block| block.cid);
        blocks.push(node(below, &[(0, &key('b', 3), None)]));
        assert!(matches!(load(&blocks), Err(MstError::Level { .. })));
    }

    #[test]
    fn other_bytes_are_no_nodes() {
        let good = node(None, &[(0, &key('a', 0), None)]).bytes;
        for at in 0..good.len() {
            let cut = Block::from_cbor(good.slice(..at));
            assert!(
                matches!(load(&[cut]), Err(MstError::Malformed { .. })),
                "cut to {at}"
            );
        }
        let longer = Block::from_cbor([&good[..], &[0]].concat());
        assert!(matches!(load(&[longer]), Err(MstError::Malformed { .. })));
        let swapped = Block::from_cbor(&b"\xa2\x61l\xf6\x61e\x80"[..]);
        assert!(
            matches!(load(&[swapped]), Err(MstError::Malformed { .. })),
            "fields out of order"
        );
    }
}
