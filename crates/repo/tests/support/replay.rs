//! Goes through a recording as a careful subscriber would, and counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use atcomms_repo::car::Car;
use atcomms_repo::frame::{self, Action, CommitFrame, Frame, Kind};
use atcomms_repo::mst::Tree;
use atcomms_repo::verify::{self, Head, Limits, Relation, verify_commit, verify_sync};
use atcomms_repo::{Cid, VerifyingKey};

use super::Recording;

/// What was found, by kind of frame and by action and collection of operations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) frames: BTreeMap<&'static str, usize>,
    pub(crate) ops: BTreeMap<(String, &'static str), usize>,
    pub(crate) accounts: usize,
}

/// What is known of an account: its head, and its whole tree as we would have written it.
struct Known {
    head: Head,
    tree: Tree,
}

/// Checks every frame of a recording in which nothing is missing and nothing is forged.
pub(crate) fn replay(recording: &Recording) -> Counts {
    let mut counts = Counts::default();
    let mut known: HashMap<String, Known> = HashMap::new();
    for (index, bytes) in recording.frames().enumerate() {
        let frame = frame::decode(bytes).unwrap_or_else(|e| panic!("frame {index}: {e}"));
        assert_eq!(
            frame.encode(),
            bytes,
            "frame {index} is encoded as the reference PDS does"
        );
        check_peek(bytes, &frame, index);
        *counts.frames.entry(name(frame.kind())).or_default() += 1;
        match frame {
            Frame::Commit(commit) => {
                let key = &recording.keys[commit.repo];
                check_commit(&commit, key, &mut known, index);
                for op in &commit.ops {
                    let collection = op.path.split('/').next().unwrap_or_default().to_owned();
                    *counts
                        .ops
                        .entry((collection, op.action.as_str()))
                        .or_default() += 1;
                }
            }
            Frame::Sync(sync) => {
                let head = verify_sync(
                    &sync,
                    &recording.keys[sync.did],
                    far_future(),
                    &Limits::default(),
                );
                let head = head.unwrap_or_else(|e| panic!("frame {index}: {e}"));
                assert_eq!(
                    head.head(),
                    known[sync.did].head,
                    "frame {index}: #sync says what the commits said"
                );
                assert_eq!(head.did().as_str(), sync.did);
            }
            Frame::Identity(identity) => {
                assert!(recording.keys.contains_key(identity.did), "frame {index}")
            }
            Frame::Account(account) => {
                assert!(recording.keys.contains_key(account.did), "frame {index}");
                assert_eq!(account.active, account.status.is_none(), "frame {index}");
            }
            other => panic!("frame {index}: {other:?} was not recorded"),
        }
    }
    counts.accounts = known.len();
    counts
}

fn check_peek(bytes: &[u8], frame: &Frame<'_>, index: usize) {
    let peek = frame::peek(bytes).unwrap_or_else(|e| panic!("frame {index}: {e}"));
    assert_eq!(
        (peek.kind(), peek.seq()),
        (frame.kind(), frame.seq()),
        "frame {index}"
    );
    let (did, paths) = match frame {
        Frame::Commit(commit) => (commit.repo, commit.ops.iter().map(|op| op.path).collect()),
        Frame::Sync(sync) => (sync.did, Vec::new()),
        Frame::Identity(identity) => (identity.did, Vec::new()),
        Frame::Account(account) => (account.did, Vec::new()),
        _ => return,
    };
    assert_eq!(peek.did(), Some(did), "frame {index}");
    assert_eq!(peek.op_paths().collect::<Vec<_>>(), paths, "frame {index}");
}

fn check_commit(
    frame: &CommitFrame<'_>,
    key: &VerifyingKey,
    known: &mut HashMap<String, Known>,
    index: usize,
) {
    let verified = verify_commit(frame, key, far_future(), &Limits::default());
    let verified = verified.unwrap_or_else(|e| panic!("frame {index}: {}: {e}", e.reason()));
    let claim = verify::claim(frame).unwrap_or_else(|e| panic!("frame {index}: {e}"));
    assert_eq!(
        (claim.head(), claim.since()),
        (verified.head(), verified.since()),
        "frame {index}"
    );
    let before = match known.get(frame.repo) {
        None => {
            assert_eq!(
                (frame.since, frame.prev_data),
                (None, None),
                "frame {index} is its repository's first"
            );
            Tree::new()
        }
        Some(known) => {
            assert_eq!(
                known.head.relation(&verified),
                Relation::Next,
                "frame {index} follows the one before"
            );
            assert_eq!(
                claim.relation(&known.head),
                Relation::Next,
                "frame {index} claims to follow the one before"
            );
            assert_eq!(verified.head().relation(&verified), Relation::NotNewer);
            known.tree.clone()
        }
    };
    let mut tree = before.clone();
    for (op, told) in verified.ops().iter().zip(&frame.ops) {
        let path = format!("{}/{}", op.collection(), op.rkey());
        assert_eq!(
            (path.as_str(), op.action()),
            (told.path, told.action),
            "frame {index}"
        );
        let prev = match (op.action(), op.cid()) {
            (Action::Create, Some(cid)) => tree.insert(&path, cid).map(|()| None),
            (Action::Update, Some(cid)) => tree.update(&path, cid).map(Some),
            _ => tree.remove(&path).map(Some),
        };
        assert_eq!(
            prev,
            Ok(op.prev()),
            "frame {index}: {path} in a tree of our own"
        );
        let bytes = op
            .record()
            .map(|record| atcomms_lexicon::cid_for_cbor(record));
        assert_eq!(bytes, op.cid(), "frame {index}: the bytes of {path}");
    }
    assert_eq!(
        tree.root_cid(),
        verified.data(),
        "frame {index}: a tree of our own has the signed root"
    );
    let changed: BTreeSet<String> = tree
        .diff(&before)
        .expect("both are whole")
        .into_iter()
        .map(|change| change.key)
        .collect();
    let told: BTreeSet<String> = frame.ops.iter().map(|op| op.path.to_owned()).collect();
    assert_eq!(
        changed, told,
        "frame {index}: the trees differ by the operations"
    );
    check_blocks(frame, &tree, index);
    known.insert(
        frame.repo.to_owned(),
        Known {
            head: verified.head(),
            tree,
        },
    );
}

/// The frame carries the blocks that we would have sent, and no others.
fn check_blocks(frame: &CommitFrame<'_>, tree: &Tree, index: usize) {
    let car = Car::read(frame.blocks).expect("verified");
    let theirs: BTreeSet<Cid> = car.blocks().map(|(cid, _)| cid).collect();
    let mut ours: BTreeSet<Cid> = frame.ops.iter().filter_map(|op| op.cid).collect();
    ours.insert(frame.commit);
    let paths = frame.ops.iter().map(|op| op.path);
    ours.extend(
        tree.covering_proof(paths)
            .expect("whole")
            .iter()
            .map(|block| block.cid),
    );
    if frame.ops.is_empty() {
        ours.insert(tree.root_cid());
    }
    assert_eq!(
        ours, theirs,
        "frame {index}: the blocks that a commit must carry"
    );
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Commit => "#commit",
        Kind::Sync => "#sync",
        Kind::Identity => "#identity",
        Kind::Account => "#account",
        Kind::Info => "#info",
        Kind::Error => "error",
        _ => "unknown",
    }
}

/// A time that every recording is before, in microseconds since 1970.
pub(crate) fn far_future() -> u64 {
    4_000_000_000_000_000
}
