//! The tree against a plain map: random changes in any order, undone, proven, and compared.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use atcomms_lexicon::cid_for_cbor;
use atcomms_repo::Cid;
use atcomms_repo::frame::{Action, RepoOp};
use atcomms_repo::mst::{self, MstError, Tree};
use bytes::Bytes;
use proptest::prelude::*;

/// Keys of which as many are at each height from 0 to 5: trees of them have every shape, with
/// levels that no key is at, which random keys seldom give.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    let mut left = [14; 6];
    for n in 0.. {
        // Some keys are too long for an entry to hold them inline.
        let key = match n % 3 {
            0 => format!("com.example.a/{n}"),
            1 => format!("com.example.b/{n:060}"),
            _ => format!("com.example.c/{n:013}"),
        };
        if let Some(left) = left.get_mut(usize::from(mst::height(&key)))
            && *left > 0
        {
            *left -= 1;
            keys.push(key);
        }
        if left == [0; 6] {
            break;
        }
    }
    keys.sort();
    keys
});

type Map = BTreeMap<&'static str, Cid>;

fn value(n: u8) -> Cid {
    cid_for_cbor(&[n])
}

fn key() -> impl Strategy<Value = &'static str> {
    (0..KEYS.len()).prop_map(|at| KEYS[at].as_str())
}

fn map() -> impl Strategy<Value = Map> {
    let keys: Vec<&'static str> = KEYS.iter().map(String::as_str).collect();
    let size = prop_oneof![0..4_usize, 0..30_usize, 30..70_usize];
    let keys = size.prop_flat_map(move |size| prop::sample::subsequence(keys.clone(), size));
    (keys, any::<[u8; 32]>()).prop_map(|(keys, values)| {
        let values = values.into_iter().cycle().map(value);
        keys.into_iter().zip(values).collect()
    })
}

fn tree_of<'k>(entries: impl IntoIterator<Item = (&'k str, Cid)>) -> Tree {
    let mut tree = Tree::new();
    for (key, value) in entries {
        assert_eq!(tree.insert(key, value), Ok(()), "{key}");
    }
    tree
}

fn listed(tree: &Tree) -> Vec<(String, Cid)> {
    let entries = tree
        .entries()
        .map(|entry| entry.map(|(key, value)| (key.to_owned(), value)));
    entries.collect::<Result<_, _>>().unwrap()
}

fn owned(map: &Map) -> Vec<(String, Cid)> {
    map.iter()
        .map(|(key, value)| ((*key).to_owned(), *value))
        .collect()
}

fn source(blocks: Vec<atcomms_repo::car::Block>) -> HashMap<Cid, Bytes> {
    let checked = blocks
        .into_iter()
        .inspect(|block| assert_eq!(block.cid, cid_for_cbor(&block.bytes)));
    checked.map(|block| (block.cid, block.bytes)).collect()
}

/// The operations that lead from one map to another.
fn ops_between(before: &Map, after: &Map) -> Vec<RepoOp<'static>> {
    let paths: BTreeSet<&'static str> = before.keys().chain(after.keys()).copied().collect();
    let ops = paths.into_iter().filter_map(|path| {
        let (cid, prev) = (after.get(path).copied(), before.get(path).copied());
        let action = match (prev, cid) {
            (None, Some(_)) => Action::Create,
            (Some(prev), Some(cid)) if prev != cid => Action::Update,
            (Some(_), None) => Action::Delete,
            _ => return None,
        };
        Some(RepoOp {
            action,
            path,
            cid,
            prev,
        })
    });
    ops.collect()
}

/// A map, and the same after some changes.
fn changed() -> impl Strategy<Value = (Map, Map)> {
    let change = (key(), prop::option::weighted(0.6, any::<u8>()));
    (map(), prop::collection::vec(change, 0..12)).prop_map(|(before, changes)| {
        let mut after = before.clone();
        for (key, new) in changes {
            match new {
                Some(n) => after.insert(key, value(n)),
                None => after.remove(key),
            };
        }
        (before, after)
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn the_keys_are_of_every_height() {
    let heights: BTreeSet<u8> = KEYS.iter().map(mst::height).collect();
    assert_eq!((KEYS.len(), heights.len()), (84, 6));
    assert!(KEYS.iter().any(|key| key.len() > 60));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_tree_holds_what_a_map_holds(
        start in map(),
        changes in prop::collection::vec((key(), any::<u8>(), 0..3_u8), 0..60),
    ) {
        let mut map = start.clone();
        let mut tree = tree_of(start);
        for (key, n, action) in changes {
            let new = value(n);
            match action {
                0 => {
                    let expected = if map.contains_key(key) { Err(MstError::Exists(key.to_owned())) } else { Ok(()) };
                    prop_assert_eq!(tree.insert(key, new), expected);
                    map.entry(key).or_insert(new);
                }
                1 => {
                    let expected = map.get(key).copied().ok_or(MstError::NotFound(key.to_owned()));
                    prop_assert_eq!(tree.update(key, new), expected);
                    map.entry(key).and_modify(|value| *value = new);
                }
                _ => {
                    let expected = map.remove(key).ok_or(MstError::NotFound(key.to_owned()));
                    prop_assert_eq!(tree.remove(key), expected);
                }
            }
            prop_assert_eq!(tree.get(key), Ok(map.get(key).copied()));
        }
        prop_assert_eq!(listed(&tree), owned(&map));
        for key in KEYS.iter() {
            prop_assert_eq!(tree.get(key), Ok(map.get(key.as_str()).copied()));
        }
        prop_assert_eq!(tree.root_cid(), tree_of(map).root_cid(), "the same tree, however it came about");
    }

    #[test]
    fn the_order_of_insertion_does_not_matter(
        (map, shuffled) in map().prop_flat_map(|map| {
            let entries: Vec<_> = map.clone().into_iter().collect();
            (Just(map), Just(entries).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(tree_of(shuffled).root_cid(), tree_of(map).root_cid());
    }

    #[test]
    fn a_tree_survives_its_blocks(map in map()) {
        let tree = tree_of(map.clone());
        let again = Tree::load(tree.root_cid(), &source(tree.blocks())).unwrap();
        prop_assert_eq!(listed(&again), owned(&map));
        prop_assert_eq!(again.root_cid(), tree.root_cid());
        for from in KEYS.iter().step_by(7) {
            let expected: Vec<&str> = map.range(from.as_str()..).map(|(key, _)| *key).collect();
            let listed: Vec<&str> = again.entries_from(from).map(|entry| entry.unwrap().0).collect();
            prop_assert_eq!(listed, expected, "from {}", from);
        }
    }

    #[test]
    fn operations_are_undone_with_no_more_than_a_commit_carries((before, after) in changed()) {
        let tree = tree_of(after.clone());
        let ops = ops_between(&before, &after);
        let root_before = tree_of(before).root_cid();
        let mut carried = source(tree.covering_proof(ops.iter().map(|op| op.path)).unwrap());
        if ops.is_empty() {
            carried = source(tree.proof("").unwrap());
        }
        let partial = Tree::load(tree.root_cid(), &carried).unwrap();
        prop_assert_eq!(partial.clone().invert(&ops), Ok(root_before));
        prop_assert_eq!(tree.clone().invert(&ops), Ok(root_before));

        // An operation less, or with another CID, does not lead there.
        for hidden in 0..ops.len() {
            let mut fewer = ops.clone();
            fewer.remove(hidden);
            prop_assert_ne!(partial.clone().invert(&fewer), Ok(root_before));
            let mut other = ops.clone();
            let lie = Some(cid_for_cbor(b"lie"));
            if other[hidden].cid.is_some() {
                other[hidden].cid = lie;
                prop_assert!(partial.clone().invert(&other).is_err(), "a record that is not in the tree");
            } else {
                other[hidden].prev = lie;
                prop_assert_ne!(partial.clone().invert(&other), Ok(root_before));
            }
        }
    }

    #[test]
    fn presence_and_absence_are_proven_by_the_way_to_the_key(map in map(), key in key()) {
        let tree = tree_of(map.clone());
        let proof = source(tree.proof(key).unwrap());
        let proven = Tree::load(tree.root_cid(), &proof).unwrap();
        prop_assert_eq!(proven.get(key), Ok(map.get(key).copied()));
        // Without any one of its blocks it proves nothing.
        for cid in proof.keys() {
            let mut fewer = proof.clone();
            fewer.remove(cid);
            let found = Tree::load(tree.root_cid(), &fewer).and_then(|tree| tree.get(key));
            prop_assert_eq!(found, Err(MstError::Missing(Box::new(*cid))));
        }
    }

    #[test]
    fn a_diff_is_what_changed((before, after) in changed()) {
        let (old, new) = (tree_of(before.clone()), tree_of(after.clone()));
        let changes: Vec<_> = new.diff(&old).unwrap().into_iter().map(|change| (change.key, change.after, change.before)).collect();
        let expected: Vec<_> = ops_between(&before, &after).iter().map(|op| (op.path.to_owned(), op.cid, op.prev)).collect();
        prop_assert_eq!(changes, expected);

        let cids = |tree: &Tree| tree.blocks().iter().map(|block| block.cid).collect::<BTreeSet<_>>();
        let (in_old, in_new) = (cids(&old), cids(&new));
        let added: BTreeSet<_> = new.new_blocks(&old).unwrap().iter().map(|block| block.cid).collect();
        prop_assert_eq!(added, in_new.difference(&in_old).copied().collect());
        let removed: BTreeSet<_> = new.removed_blocks(&old).unwrap().into_iter().collect();
        prop_assert_eq!(removed, in_old.difference(&in_new).copied().collect());
    }
}

#[test]
fn what_cannot_be_a_key_or_a_value_is_refused() {
    let mut tree = Tree::new();
    for key in ["", "a b", "a\n", "ä", &"a".repeat(1025)] {
        assert!(
            matches!(tree.insert(key, value(0)), Err(MstError::InvalidKey(_))),
            "{key:?}"
        );
    }
    let raw = atcomms_lexicon::cid_for_raw(b"");
    assert_eq!(
        tree.insert("a/b", raw),
        Err(MstError::InvalidCid(Box::new(raw)))
    );
    assert_eq!(tree.root_cid(), Tree::new().root_cid());
    assert_eq!(tree.insert(&"a".repeat(1024), value(0)), Ok(()));
}
