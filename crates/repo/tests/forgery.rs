//! Frames made to deceive: each is refused for its own reason, and the genuine one beside it is believed.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use atcomms_lexicon::{Tid, cid_for_cbor, cid_for_raw};
use atcomms_repo::car::{self, Block};
use atcomms_repo::frame::{self, Action, CommitFrame, Frame, RepoOp};
use atcomms_repo::mst::Tree;
use atcomms_repo::repository::{Applied, AppliedOp};
use atcomms_repo::verify::{self, Limits, OpenCommit, VerifyError, verify_commit, verify_sync};
use atcomms_repo::{Cid, Curve, Repository, SigningKey, TidClock, UnsignedCommit, Write};

const NOW: u64 = 1_700_000_000_000_000;
const TIME: &str = "2026-01-01T00:00:00.000Z";
const ALICE: &str = "did:plc:zmwaxnesqhtu6sdgylzfwfdz";
const MALLORY: &str = "did:plc:hgkgcydoi4tgsqrs2rt6zed7";
const CREATED: &str = "agent.comms.message/created";
const UPDATED: &str = "agent.comms.message/updated";
const DELETED: &str = "agent.comms.message/deleted";

/// Alice's repository of many records, and a commit that creates, updates and deletes.
struct World {
    key: SigningKey,
    repository: Repository,
    clock: TidClock,
    applied: Applied,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::generate(Curve::K256);
        let mut clock = TidClock::new(1);
        let (mut repository, _) =
            Repository::create(ALICE.parse().unwrap(), key.clone(), clock.next(NOW));
        let mut writes: Vec<Write> = (0..60)
            .map(|n| create(&format!("com.example.note/{n}"), &[0x18, 100 + n]))
            .collect();
        writes.extend([create(UPDATED, &[1]), create(DELETED, &[2])]);
        repository.apply(&writes, clock.next(NOW)).unwrap();
        let (collection, rkey) = split(UPDATED);
        let update = Write::Update {
            collection,
            rkey,
            record: vec![3].into(),
        };
        let (collection, rkey) = split(DELETED);
        let writes = [
            create(CREATED, &[4]),
            update,
            Write::Delete { collection, rkey },
        ];
        let applied = repository.apply(&writes, clock.next(NOW)).unwrap();
        Self {
            key,
            repository,
            clock,
            applied,
        }
    }

    fn judge(&self, bytes: &[u8]) -> Result<(), &'static str> {
        judge(bytes, &self.key)
    }

    /// Signs what the commit says after it was forged, as its author might.
    fn sign(&mut self, data: Cid) {
        let commit = UnsignedCommit {
            did: ALICE.parse().unwrap(),
            rev: self.applied.commit.rev(),
            data,
        };
        self.put_commit(commit.sign(&self.key).block().clone());
    }

    /// Replaces the commit block by another that can be read.
    fn put_commit(&mut self, block: Block) {
        let old = self.applied.commit.cid();
        self.applied.blocks.retain(|block| block.cid != old);
        self.applied.commit = atcomms_repo::SignedCommit::decode(block.bytes.clone()).unwrap();
        self.applied.blocks.push(block);
    }

    fn frame(&self) -> Vec<u8> {
        self.applied.frame(1, TIME)
    }

    fn op(&mut self, path: &str) -> &mut AppliedOp {
        self.applied
            .ops
            .iter_mut()
            .find(|op| op.path == path)
            .unwrap()
    }
}

fn split(path: &str) -> (atcomms_lexicon::Nsid, atcomms_lexicon::RecordKey) {
    let (collection, rkey) = path.split_once('/').unwrap();
    (collection.parse().unwrap(), rkey.parse().unwrap())
}

fn create(path: &str, record: &[u8]) -> Write {
    let (collection, rkey) = split(path);
    Write::Create {
        collection,
        rkey,
        record: record.to_vec().into(),
    }
}

fn judge(bytes: &[u8], key: &SigningKey) -> Result<(), &'static str> {
    match frame::decode(bytes).map_err(|e| e.reason())? {
        Frame::Commit(commit) => verify_commit(&commit, &key.public(), NOW, &Limits::default())
            .map(drop)
            .map_err(|e| e.reason()),
        other => panic!("not a commit: {other:?}"),
    }
}

/// The frame as it was decoded, changed, and written again.
fn edited(bytes: &[u8], edit: impl FnOnce(&mut CommitFrame<'_>)) -> Vec<u8> {
    let Ok(Frame::Commit(mut commit)) = frame::decode(bytes) else {
        panic!("not a commit")
    };
    edit(&mut commit);
    Frame::Commit(commit).encode()
}

type Forge = fn(&mut World) -> Vec<u8>;

const FORGERIES: &[(&str, &str, Forge)] = &[
    ("blocks_too_large", "blocks over 2 MB", |world| {
        world
            .applied
            .blocks
            .push(Block::from_cbor(vec![0; 2_000_001]));
        world.frame()
    }),
    ("frame_too_large", "a frame over 5 MB", |world| {
        world
            .applied
            .blocks
            .push(Block::from_cbor(vec![0; 5_000_000]));
        world.frame()
    }),
    ("too_many_ops", "201 operations", |world| {
        world.applied.ops = vec![world.applied.ops[0].clone(); 201];
        world.frame()
    }),
    ("record_too_large", "a record over 1 MB", |world| {
        let mut record = vec![0x5a, 0, 0x0f, 0x42, 0x41];
        record.resize(5 + 1_000_001, 0);
        let rev = world.clock.next(NOW);
        world
            .repository
            .apply(&[create("com.example.note/large", &record)], rev)
            .unwrap()
            .frame(1, TIME)
    }),
    ("rev_syntax", "a rev that is no TID", |world| {
        edited(&world.frame(), |frame| frame.rev = "yesterday")
    }),
    ("rev_syntax", "a since that is no TID", |world| {
        edited(&world.frame(), |frame| frame.since = Some("yesterday"))
    }),
    ("future_rev", "a rev six minutes ahead", |world| {
        let rev = Tid::from_parts(NOW + 360_000_000, 0);
        world.repository.apply(&[], rev).unwrap().frame(1, TIME)
    }),
    ("did_syntax", "a repository that is no DID", |world| {
        edited(&world.frame(), |frame| frame.repo = "alice.test")
    }),
    ("car", "blocks that end early", |world| {
        edited(&world.frame(), |frame| {
            frame.blocks = &frame.blocks[..frame.blocks.len() - 1]
        })
    }),
    ("car", "blocks that are no CAR", |world| {
        edited(&world.frame(), |frame| frame.blocks = b"\x0ahello")
    }),
    (
        "car",
        "no blocks, as of a commit that was too big",
        |world| edited(&world.frame(), |frame| frame.blocks = b""),
    ),
    ("other_commit", "the blocks of another commit", |world| {
        let rev = world.clock.next(NOW);
        let other = world.repository.apply(&[], rev).unwrap();
        edited(&world.frame(), |frame| {
            frame.blocks = &Box::leak(other.car().into_boxed_slice())[..]
        })
    }),
    ("block_hash", "a changed record", |world| {
        let cid = world.op(CREATED).cid;
        let block = world
            .applied
            .blocks
            .iter_mut()
            .find(|block| Some(block.cid) == cid)
            .unwrap();
        block.bytes = vec![5].into();
        world.frame()
    }),
    ("block_hash", "a changed node", |world| {
        let mut bytes = world.applied.blocks[0].bytes.to_vec();
        bytes[10] ^= 1;
        world.applied.blocks[0].bytes = bytes.into();
        world.frame()
    }),
    ("commit_missing", "no commit among the blocks", |world| {
        let commit = world.applied.commit.cid();
        world.applied.blocks.retain(|block| block.cid != commit);
        world.frame()
    }),
    (
        "commit_malformed",
        "a record in the place of the commit",
        |world| {
            let record = world.op(CREATED).cid.unwrap();
            let blocks = Box::leak(car::write(&record, &world.applied.blocks).into_boxed_slice());
            edited(&world.frame(), |frame| {
                (frame.commit, frame.blocks) = (record, blocks)
            })
        },
    ),
    ("commit_malformed", "a commit of version 2", |world| {
        let block = world.applied.commit.block();
        let mut bytes = block.bytes.to_vec();
        *bytes.last_mut().unwrap() = 2;
        let block = Block::from_cbor(bytes);
        let blocks = Box::leak(car::write(&block.cid, [&block]).into_boxed_slice());
        edited(&world.frame(), |frame| {
            (frame.commit, frame.blocks) = (block.cid, blocks)
        })
    }),
    ("unsigned", "a commit without a signature", |world| {
        let commit = &world.applied.commit;
        let unsigned = UnsignedCommit {
            did: commit.did().clone(),
            rev: commit.rev(),
            data: commit.data(),
        };
        let block = Block::from_cbor(unsigned.to_cbor());
        let blocks = Box::leak(car::write(&block.cid, [&block]).into_boxed_slice());
        edited(&world.frame(), |frame| {
            (frame.commit, frame.blocks) = (block.cid, blocks)
        })
    }),
    (
        "other_did",
        "another repository's envelope around Alice's commit",
        |world| edited(&world.frame(), |frame| frame.repo = MALLORY),
    ),
    (
        "other_did",
        "Mallory's commit in Alice's envelope",
        |world| {
            let commit = &world.applied.commit;
            let other = UnsignedCommit {
                did: MALLORY.parse().unwrap(),
                rev: commit.rev(),
                data: commit.data(),
            };
            world.put_commit(
                other
                    .sign(&SigningKey::generate(Curve::K256))
                    .block()
                    .clone(),
            );
            edited(&world.frame(), |frame| frame.repo = ALICE)
        },
    ),
    ("other_rev", "an old commit told as a new one", |world| {
        let rev = world.clock.next(NOW).to_string().leak();
        edited(&world.frame(), |frame| frame.rev = rev)
    }),
    ("signature", "a commit signed by another key", |world| {
        let commit = &world.applied.commit;
        let commit = UnsignedCommit {
            did: commit.did().clone(),
            rev: commit.rev(),
            data: commit.data(),
        };
        world.put_commit(
            commit
                .sign(&SigningKey::generate(Curve::K256))
                .block()
                .clone(),
        );
        world.frame()
    }),
    ("signature", "a signature on the other curve", |world| {
        let commit = &world.applied.commit;
        let commit = UnsignedCommit {
            did: commit.did().clone(),
            rev: commit.rev(),
            data: commit.data(),
        };
        world.put_commit(
            commit
                .sign(&SigningKey::generate(Curve::P256))
                .block()
                .clone(),
        );
        world.frame()
    }),
    ("signature", "a signature of zeros", |world| {
        let commit = &world.applied.commit;
        let commit = UnsignedCommit {
            did: commit.did().clone(),
            rev: commit.rev(),
            data: commit.data(),
        };
        world.put_commit(commit.with_signature(&[0; 64]).block().clone());
        world.frame()
    }),
    ("signature", "a signature of another commit", |world| {
        let rev = world.clock.next(NOW);
        let other = UnsignedCommit {
            did: ALICE.parse().unwrap(),
            rev,
            data: world.applied.commit.data(),
        };
        let signature = world.key.sign(&other.to_cbor());
        let commit = &world.applied.commit;
        let commit = UnsignedCommit {
            did: commit.did().clone(),
            rev: commit.rev(),
            data: commit.data(),
        };
        world.put_commit(commit.with_signature(&signature).block().clone());
        world.frame()
    }),
    (
        "signature",
        "a changed tree under the genuine signature",
        |world| {
            let mut tree = world.repository.tree().clone();
            tree.update(CREATED, cid_for_cbor(&[6])).unwrap();
            let commit = world.applied.commit.block().bytes.clone();
            let old = world.applied.commit.data().to_bytes();
            let at = commit
                .windows(old.len())
                .position(|window| window == old)
                .unwrap();
            let mut forged = commit.to_vec();
            forged[at..at + old.len()].copy_from_slice(&tree.root_cid().to_bytes());
            world.applied.blocks.extend(tree.blocks());
            world.put_commit(Block::from_cbor(forged));
            world.frame()
        },
    ),
    ("op_invalid", "a create without a record", |world| {
        world.op(CREATED).cid = None;
        world.frame()
    }),
    ("op_invalid", "a create with a record before it", |world| {
        world.op(CREATED).prev = world.op(UPDATED).prev;
        world.frame()
    }),
    (
        "op_invalid",
        "an update without the record before it",
        |world| {
            world.op(UPDATED).prev = None;
            world.frame()
        },
    ),
    (
        "op_invalid",
        "a delete without the record before it",
        |world| {
            world.op(DELETED).prev = None;
            world.frame()
        },
    ),
    ("op_invalid", "a delete with a record", |world| {
        world.op(DELETED).cid = world.op(CREATED).cid;
        world.frame()
    }),
    ("op_invalid", "a path without a record key", |world| {
        world.op(CREATED).path = "agent.comms.message".to_owned();
        world.frame()
    }),
    (
        "op_invalid",
        "a path whose collection is no NSID",
        |world| {
            world.op(CREATED).path = "message/created".to_owned();
            world.frame()
        },
    ),
    (
        "op_invalid",
        "a path with a record key that cannot be",
        |world| {
            world.op(CREATED).path = "agent.comms.message/..".to_owned();
            world.frame()
        },
    ),
    ("op_invalid", "a path of three parts", |world| {
        world.op(CREATED).path = "agent.comms.message/a/b".to_owned();
        world.frame()
    }),
    ("duplicate_path", "an operation twice", |world| {
        let op = world.applied.ops[0].clone();
        world.applied.ops.push(op);
        world.frame()
    }),
    (
        "record_missing",
        "an operation without its record",
        |world| {
            let cid = world.op(CREATED).cid;
            world.applied.blocks.retain(|block| Some(block.cid) != cid);
            world.frame()
        },
    ),
    ("op_not_in_tree", "another record, hashed anew", |world| {
        let block = Block::from_cbor(vec![7]);
        world.op(CREATED).cid = Some(block.cid);
        world.applied.blocks.push(block);
        world.frame()
    }),
    ("op_not_in_tree", "another record as an update", |world| {
        let block = Block::from_cbor(vec![7]);
        world.op(UPDATED).cid = Some(block.cid);
        world.applied.blocks.push(block);
        world.frame()
    }),
    ("op_not_in_tree", "a record at another path", |world| {
        world.op(CREATED).path = "agent.comms.message/elsewhere".to_owned();
        world.frame()
    }),
    ("op_not_in_tree", "an operation that never was", |world| {
        let block = Block::from_cbor(vec![8]);
        let path = "agent.comms.message/crfated".to_owned();
        world.applied.ops.push(AppliedOp {
            action: Action::Create,
            path,
            cid: Some(block.cid),
            prev: None,
        });
        world.applied.blocks.push(block);
        world.frame()
    }),
    (
        "op_not_in_tree",
        "a blob in the place of a record",
        |world| {
            let bytes = vec![7];
            let block = Block {
                cid: cid_for_raw(&bytes),
                bytes: bytes.into(),
            };
            world.op(CREATED).cid = Some(block.cid);
            world.applied.blocks.push(block);
            world.frame()
        },
    ),
    ("not_deleted", "a delete of what is still there", |world| {
        let created = world.op(CREATED).clone();
        *world.op(CREATED) = AppliedOp {
            action: Action::Delete,
            cid: None,
            prev: created.cid,
            path: created.path,
        };
        world.frame()
    }),
    ("inversion", "a hidden create", |world| {
        world.applied.ops.retain(|op| op.path != CREATED);
        world.frame()
    }),
    ("inversion", "a hidden update", |world| {
        world.applied.ops.retain(|op| op.path != UPDATED);
        world.frame()
    }),
    ("inversion", "a hidden delete", |world| {
        world.applied.ops.retain(|op| op.path != DELETED);
        world.frame()
    }),
    ("inversion", "an update told as a create", |world| {
        let op = world.op(UPDATED);
        (op.action, op.prev) = (Action::Create, None);
        world.frame()
    }),
    ("inversion", "another record before", |world| {
        world.op(UPDATED).prev = Some(cid_for_cbor(&[9]));
        world.frame()
    }),
    ("inversion", "another tree before", |world| {
        world.applied.prev_data = Some(Tree::new().root_cid());
        world.frame()
    }),
    ("no_prev_data", "no tree before", |world| {
        world.applied.prev_data = None;
        world.frame()
    }),
    ("no_prev_data", "a first commit that is none", |world| {
        (world.applied.prev_data, world.applied.since) = (None, None);
        world.frame()
    }),
    ("mst_incomplete", "no root of the tree", |world| {
        let root = world.applied.commit.data();
        world.applied.blocks.retain(|block| block.cid != root);
        world.frame()
    }),
    (
        "mst_incomplete",
        "a node that was replaced, hashed anew",
        |world| {
            let mut tree = world.repository.tree().clone();
            tree.update(CREATED, cid_for_cbor(&[6])).unwrap();
            let genuine = world
                .repository
                .tree()
                .proof(CREATED)
                .unwrap()
                .pop()
                .unwrap();
            let forged = tree.proof(CREATED).unwrap().pop().unwrap();
            world
                .applied
                .blocks
                .retain(|block| block.cid != genuine.cid);
            world.applied.blocks.push(forged);
            world.frame()
        },
    ),
    ("mst_malformed", "a record signed as the tree", |world| {
        let record = world.op(CREATED).cid.unwrap();
        world.sign(record);
        world.frame()
    }),
    ("frame_malformed", "a frame that ends early", |world| {
        let mut bytes = world.frame();
        bytes.truncate(bytes.len() - 20);
        bytes
    }),
    ("frame_malformed", "a frame with more behind it", |world| {
        [world.frame(), vec![0]].concat()
    }),
];

#[test]
fn every_forgery_is_refused_for_its_own_reason() {
    let mut reasons = BTreeSet::new();
    for (reason, what, forge) in FORGERIES {
        let mut world = World::new();
        let genuine = world.frame();
        assert_eq!(world.judge(&genuine), Ok(()), "the genuine frame");
        let forged = forge(&mut world);
        assert_ne!(forged, genuine, "{what}: nothing was forged");
        assert_eq!(world.judge(&forged), Err(*reason), "{what}");
        assert_eq!(
            world.judge(&genuine),
            Ok(()),
            "the genuine frame after {what}"
        );
        reasons.insert(*reason);
    }
    assert_eq!(reasons.len(), 26, "reasons that were provoked: {reasons:?}");
}

#[test]
fn a_fresh_key_needs_no_second_reading() {
    let world = World::new();
    let bytes = world.frame();
    let Ok(Frame::Commit(frame)) = frame::decode(&bytes) else {
        panic!("not a commit")
    };
    let open = OpenCommit::open(&frame, NOW, &Limits::default()).unwrap();
    let stale = SigningKey::generate(Curve::P256).public();
    assert_eq!(open.verify(&stale).err(), Some(VerifyError::Signature));
    let verified = open.verify(&world.key.public()).unwrap();
    assert_eq!(verified.did(), open.did());
    assert_eq!(verified.ops().len(), 3);
}

#[test]
fn limits_are_those_that_are_passed_in() {
    let world = World::new();
    let bytes = world.frame();
    let Ok(Frame::Commit(frame)) = frame::decode(&bytes) else {
        panic!("not a commit")
    };
    let reason = |limits: &Limits| {
        verify_commit(&frame, &world.key.public(), NOW, limits)
            .err()
            .map(|e| e.reason())
    };
    let mut limits = Limits::default();
    assert_eq!(reason(&limits), None);
    limits.ops = 2;
    assert_eq!(reason(&limits), Some("too_many_ops"));
    limits = Limits::default();
    limits.blocks_len = frame.blocks.len() - 1;
    assert_eq!(reason(&limits), Some("blocks_too_large"));
    limits.blocks_len = frame.blocks.len();
    limits.record_len = 0;
    assert_eq!(reason(&limits), Some("record_too_large"));
    let early = NOW - 300_000_001;
    assert_eq!(
        verify_commit(&frame, &world.key.public(), early, &Limits::default())
            .err()
            .map(|e| e.reason()),
        Some("future_rev")
    );
}

#[test]
fn both_curves_and_the_first_commit_are_believed() {
    for curve in [Curve::K256, Curve::P256] {
        let key = SigningKey::generate(curve);
        let (_, first) =
            Repository::create(ALICE.parse().unwrap(), key.clone(), Tid::from_parts(NOW, 0));
        let bytes = first.frame(1, TIME);
        let Ok(Frame::Commit(frame)) = frame::decode(&bytes) else {
            panic!("not a commit")
        };
        assert_eq!(
            (frame.since, frame.prev_data, frame.ops.len()),
            (None, None, 0)
        );
        let verified = verify_commit(&frame, &key.public(), NOW, &Limits::default()).unwrap();
        assert_eq!(
            (verified.since(), verified.prev_data(), verified.ops().len()),
            (None, None, 0)
        );
        assert_eq!(verified.data(), Tree::new().root_cid());
    }
}

#[test]
fn a_claim_is_refused_when_it_contradicts_itself() {
    let world = World::new();
    let bytes = world.frame();
    let claimed = |bytes: &[u8]| match frame::decode(bytes) {
        Ok(Frame::Commit(frame)) => verify::claim(&frame)
            .map(|claim| claim.head())
            .map_err(|e| e.reason()),
        other => panic!("not a commit: {other:?}"),
    };
    assert_eq!(
        claimed(&bytes).map(|head| head.data),
        Ok(world.applied.commit.data())
    );
    assert_eq!(
        claimed(&edited(&bytes, |frame| frame.repo = MALLORY)),
        Err("other_did")
    );
    let rev = Tid::from_parts(NOW, 9).to_string();
    let with_rev = |frame: &mut CommitFrame<'_>| frame.rev = rev.clone().leak();
    assert_eq!(claimed(&edited(&bytes, with_rev)), Err("other_rev"));
    assert_eq!(
        claimed(&edited(&bytes, |frame| frame.commit = world.applied.commit.data())),
        Err("other_commit")
    );
    let mut forged = World::new();
    let mut block = forged.applied.blocks.pop().unwrap();
    block.bytes = vec![0xa0].into();
    forged.applied.blocks.push(block);
    assert_eq!(claimed(&forged.frame()), Err("block_hash"));
}

#[test]
fn a_state_is_believed_if_it_is_signed() {
    let mut world = World::new();
    let judge = |bytes: &[u8], key: &SigningKey| match frame::decode(bytes) {
        Ok(Frame::Sync(sync)) => {
            verify_sync(&sync, &key.public(), NOW, &Limits::default()).map_err(|e| e.reason())
        }
        other => panic!("not a state: {other:?}"),
    };
    let bytes = world.repository.sync_frame(9, TIME);
    let head = judge(&bytes, &world.key).unwrap();
    assert_eq!(
        (head.rev(), head.data(), head.commit()),
        (
            world.applied.commit.rev(),
            world.applied.commit.data(),
            world.applied.commit.cid()
        )
    );
    assert_eq!(
        judge(&bytes, &SigningKey::generate(Curve::K256)).err(),
        Some("signature")
    );
    let Ok(Frame::Sync(sync)) = frame::decode(&bytes) else {
        panic!("not a state")
    };
    let mut other = sync.clone();
    other.did = MALLORY;
    assert_eq!(
        judge(&Frame::Sync(other).encode(), &world.key).err(),
        Some("other_did")
    );
    let rev = world.clock.next(NOW).to_string();
    let mut other = sync.clone();
    other.rev = &rev;
    assert_eq!(
        judge(&Frame::Sync(other).encode(), &world.key).err(),
        Some("other_rev")
    );
    let mut other = sync.clone();
    other.blocks = &sync.blocks[..sync.blocks.len() - 1];
    assert_eq!(
        judge(&Frame::Sync(other).encode(), &world.key).err(),
        Some("car")
    );
}

#[test]
fn operations_in_a_hand_made_frame_need_no_frame_to_be_counted() {
    let world = World::new();
    let bytes = world.frame();
    let Ok(Frame::Commit(mut frame)) = frame::decode(&bytes) else {
        panic!("not a commit")
    };
    let op: RepoOp<'_> = frame.ops[0];
    frame.ops = vec![op; 201];
    let error = verify_commit(&frame, &world.key.public(), NOW, &Limits::default()).unwrap_err();
    assert_eq!(
        error,
        VerifyError::TooManyOps {
            count: 201,
            max: 200
        }
    );
}

/// The bytes are those that were signed, and only the name is another: of raw bytes.
#[test]
fn a_commit_goes_by_one_name_only() {
    let key = SigningKey::generate(Curve::K256);
    let did: atcomms_lexicon::Did = "did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse().unwrap();
    let rev = Tid::from_parts(1_700_000_000_000_000, 0);
    let (_, mut applied) = Repository::create(did.clone(), key.clone(), rev);
    let genuine = applied.commit.cid();
    let raw = cid_for_raw(&applied.commit.block().bytes);
    for block in &mut applied.blocks {
        if block.cid == genuine {
            block.cid = raw;
        }
    }
    let blocks = car::write(&raw, &applied.blocks);
    let bytes = applied.frame(1, "2026-01-01T00:00:00.000Z");
    let Ok(Frame::Commit(frame)) = frame::decode(&bytes) else {
        panic!("a commit")
    };
    let frame = CommitFrame {
        commit: raw,
        blocks: &blocks,
        ..frame
    };
    let (now, limits) = (1_700_000_000_000_000, Limits::default());
    let verified = verify_commit(&frame, &key.public(), now, &limits);
    assert_eq!(verified.unwrap_err(), VerifyError::CommitMissing);
    assert_eq!(
        verify::claim(&frame).unwrap_err(),
        VerifyError::CommitMissing
    );
    let (collection, rkey) = ("com.example.note".parse().unwrap(), "a".parse().unwrap());
    let proven = atcomms_repo::proof::verify_record_proof(
        &blocks,
        &did,
        &collection,
        &rkey,
        &key.public(),
        now,
        &limits,
    );
    assert_eq!(proven.unwrap_err(), VerifyError::CommitMissing);
}
