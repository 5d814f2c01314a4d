//! Merkle search trees: one content has one tree, in whatever order it came about, and nothing else is read as one.
//! The first byte says how.

use std::collections::{BTreeMap, HashMap};

use arbitrary::{Arbitrary, Unstructured};
use atcomms_lexicon::Cid;
use atcomms_repo::car;
use atcomms_repo::frame::{Action, RepoOp};
use atcomms_repo::mst::Tree;
use bytes::Bytes;

use crate::genuine::{Place, Story};
use crate::rehash::Rehashed;
use crate::seeds::{drives, with_mode};
use crate::{Recorded, Target, memory};

pub(crate) const TARGET: Target = Target { name: "tree", run, seeds };

/// An entry of a node takes 52 bytes at least, and some hundred once it is read.
const TIMES: usize = 32;

/// The most changes of one tree: enough for some levels, and for much fuzzing a second.
const MAX_CHANGES: usize = 200;

const CHANGES: u8 = 0;
const BLOCKS: u8 = 1;

fn seeds(recorded: &Recorded) -> Vec<Vec<u8>> {
    let damaged = recorded.commits().map(|(_, commit)| with_mode(BLOCKS, commit.blocks));
    let whole = drives(BLOCKS, 40).filter_map(|drive| {
        let tree = Story::arbitrary(&mut Unstructured::new(&drive)).ok()?.tell().repository.tree().clone();
        Some(with_mode(BLOCKS, &car::write(&tree.root_cid(), &tree.blocks())))
    });
    whole.chain(damaged).chain(drives(CHANGES, 40)).collect()
}

fn run(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    if *mode % 2 == CHANGES {
        if let Ok(changes) = Arbitrary::arbitrary(&mut Unstructured::new(data)) {
            changed(changes);
        }
    } else if let Some(rehashed) = Rehashed::read(data) {
        let blocks = rehashed.by_cid();
        for block in &rehashed.blocks {
            loaded(block.cid, &blocks, data);
        }
    }
}

/// If blocks are a tree, they are the tree of its content.
fn loaded(root: Cid, blocks: &HashMap<Cid, Bytes>, data: &[u8]) {
    let Ok(tree) = memory::bounded(data, TIMES, || Tree::load(root, blocks)) else { return };
    assert_eq!(tree.root_cid(), root);
    let entries: Vec<(String, Cid)> = tree.entries().map_while(Result::ok).map(|(key, cid)| (key.to_owned(), cid)).collect();
    assert!(entries.is_sorted_by(|one, other| one.0 < other.0), "the keys are in order, each once");
    for block in tree.blocks() {
        assert_eq!(blocks.get(&block.cid), Some(&block.bytes), "a node is written as it was read");
    }
    if tree.entries().all(|entry| entry.is_ok()) {
        assert_eq!(built(entries.iter().rev()).root_cid(), root, "one content has one tree");
        for (key, cid) in &entries {
            assert_eq!(tree.get(key), Ok(Some(*cid)), "what is in the tree is found");
            proves(&tree, key, Some(*cid));
        }
    }
}

fn built<'e>(entries: impl Iterator<Item = &'e (String, Cid)>) -> Tree {
    let mut tree = Tree::new();
    for (key, cid) in entries {
        tree.insert(key, *cid).expect("a key that is not there");
    }
    tree
}

/// The nodes on the way to a key are enough to find it, or that it is not there.
fn proves(tree: &Tree, key: &str, expected: Option<Cid>) {
    let proof: HashMap<Cid, Bytes> = tree.proof(key).expect("a tree that is whole").into_iter().map(|block| (block.cid, block.bytes)).collect();
    let part = Tree::load(tree.root_cid(), &proof).expect("a proof holds the root");
    assert_eq!(part.get(key), Ok(expected));
}

#[derive(Arbitrary, Debug)]
struct Change {
    place: Place,
    value: u8,
    remove: bool,
    /// Whether what was done so far is looked at, undone and done again.
    commit: bool,
}

fn changed(changes: Vec<Change>) {
    let (mut tree, mut content) = (Tree::new(), BTreeMap::<String, Cid>::new());
    let (mut older, mut then) = (tree.clone(), content.clone());
    for change in changes.iter().take(MAX_CHANGES) {
        let (path, cid) = (change.place.path(), atcomms_lexicon::cid_for_cbor(&[change.value]));
        let there = content.get(&path).copied();
        assert_eq!(tree.get(&path), Ok(there));
        match there {
            Some(value) if change.remove => {
                assert!(tree.insert(&path, cid).is_err(), "what is there is not inserted");
                assert_eq!(tree.remove(&path), Ok(value));
                content.remove(&path);
            }
            Some(value) => {
                assert_eq!(tree.update(&path, cid), Ok(value));
                content.insert(path, cid);
            }
            None => {
                assert!(tree.remove(&path).is_err() && tree.update(&path, cid).is_err(), "what is not there is not changed");
                assert_eq!(tree.insert(&path, cid), Ok(()));
                content.insert(path, cid);
            }
        }
        if change.commit {
            committed(&older, &then, &tree, &content);
            (older, then) = (tree.clone(), content.clone());
        }
    }
    committed(&older, &then, &tree, &content);
    let entries: Vec<_> = content.into_iter().collect();
    assert_eq!(built(entries.iter().rev()).root_cid(), tree.root_cid(), "one content has one tree");
    let blocks: HashMap<Cid, Bytes> = tree.blocks().into_iter().map(|block| (block.cid, block.bytes)).collect();
    let again = Tree::load(tree.root_cid(), &blocks).expect("what is written can be read");
    assert!(again.entries().eq(entries.iter().map(|(key, cid)| Ok((key.as_str(), *cid)))), "all of it comes back");
}

/// A tree and the one before it: what differs, and that undoing it leads back, with no more than a commit carries.
fn committed(older: &Tree, then: &BTreeMap<String, Cid>, tree: &Tree, now: &BTreeMap<String, Cid>) {
    let keys = then.keys().chain(now.keys().filter(|key| !then.contains_key(*key)));
    let mut differs: Vec<(String, Option<Cid>, Option<Cid>)> = keys
        .map(|key| (key.clone(), then.get(key).copied(), now.get(key).copied()))
        .filter(|(_, before, after)| before != after)
        .collect();
    differs.sort();
    let diff = tree.diff(older).expect("both are whole");
    assert!(diff.iter().map(|change| (change.key.clone(), change.before, change.after)).eq(differs.iter().cloned()));

    let ops: Vec<RepoOp<'_>> = differs
        .iter()
        .map(|(path, prev, cid)| RepoOp {
            action: match (prev, cid) {
                (None, _) => Action::Create,
                (_, None) => Action::Delete,
                _ => Action::Update,
            },
            path,
            cid: *cid,
            prev: *prev,
        })
        .collect();
    assert_eq!(tree.clone().invert(&ops), Ok(older.root_cid()), "undoing leads back");
    if differs.is_empty() {
        return;
    }
    let carried: HashMap<Cid, Bytes> = tree.covering_proof(differs.iter().map(|(path, ..)| path.as_str())).expect("it is whole").into_iter().map(|block| (block.cid, block.bytes)).collect();
    let part = Tree::load(tree.root_cid(), &carried).expect("the root is carried");
    assert_eq!(part.invert(&ops), Ok(older.root_cid()), "what a commit carries is enough");
    if let Some((path, _, after)) = differs.first() {
        proves(tree, path, *after);
    }
}
