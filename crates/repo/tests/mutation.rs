//! Damaged and random bytes: nothing panics, and nothing else than what was signed is ever believed.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::HashMap;

use atcomms_lexicon::Tid;
use atcomms_repo::car::{Block, Car};
use atcomms_repo::frame::{self, Frame, FrameError, Kind, UnknownFrame};
use atcomms_repo::mst::Tree;
use atcomms_repo::portable::PortableProof;
use atcomms_repo::proof::verify_record_proof;
use atcomms_repo::snapshot::Snapshot;
use atcomms_repo::verify::{
    CheckedCommit, Limits, VerifiedCommit, claim, verify_commit, verify_sync,
};
use atcomms_repo::{
    CborErrorKind, Cid, Curve, Repository, SignedCommit, SigningKey, UnsignedCommit, VerifyingKey,
    Write,
};
use bytes::Bytes;
use proptest::prelude::*;
use support::replay::far_future;
use support::{Random, Recording};

/// One seed for every damage done here; a failure says which frame, and where.
const SEED: u64 = 2026;

/// Everything of a commit that its signature or its tree vouches for.
type Vouched = (
    String,
    Tid,
    Cid,
    Cid,
    Option<Cid>,
    Vec<atcomms_repo::verify::CheckedOp>,
);

fn vouched(commit: VerifiedCommit) -> Vouched {
    (
        commit.did().to_string(),
        commit.rev(),
        commit.commit(),
        commit.data(),
        commit.prev_data(),
        CheckedCommit::from(commit).into_ops(),
    )
}

/// Whatever a frame is, read all of it; a commit that is believed is returned.
fn judge(bytes: &[u8], key: &VerifyingKey) -> Option<Vouched> {
    let limits = Limits::default();
    if let Ok(peek) = frame::peek(bytes) {
        assert_eq!(peek.op_paths().len(), peek.op_paths().count());
    }
    match frame::decode(bytes) {
        Ok(Frame::Commit(commit)) => {
            let _ = claim(&commit);
            verify_commit(&commit, key, far_future(), &limits)
                .ok()
                .map(vouched)
        }
        Ok(Frame::Sync(sync)) => {
            let _ = verify_sync(&sync, key, far_future(), &limits);
            None
        }
        _ => None,
    }
}

/// Some commits of the recording: the first of each kind of size, and others as they come.
fn sample(recording: &Recording, count: usize) -> Vec<(usize, &[u8], &VerifyingKey)> {
    let mut random = Random(SEED);
    let all: Vec<_> = recording.frames().enumerate().collect();
    let mut sample = Vec::new();
    while sample.len() < count {
        let (index, bytes) = all[random.below(all.len())];
        let peek = frame::peek(bytes).unwrap();
        if peek.kind() == Kind::Commit && bytes.len() < 20_000 {
            sample.push((index, bytes, &recording.keys[peek.did().unwrap()]));
        }
    }
    sample
}

#[test]
fn a_changed_byte_changes_nothing_that_is_believed() {
    let recording = Recording::committed();
    let mut random = Random(SEED);
    let (mut refused, mut believed) = (0, 0);
    for (index, bytes, key) in sample(&recording, 40) {
        let genuine = judge(bytes, key).unwrap_or_else(|| panic!("frame {index} is genuine"));
        for _ in 0..400 {
            let mut damaged = bytes.to_vec();
            let at = random.below(bytes.len());
            damaged[at] ^= u8::try_from(1 + random.below(255)).unwrap();
            match judge(&damaged, key) {
                None => refused += 1,
                Some(found) => {
                    assert_eq!(found, genuine, "frame {index}, byte {at}, seed {SEED}");
                    believed += 1;
                }
            }
        }
    }
    // What is believed has its damage in seq, time, and other fields that nobody signs.
    assert!(
        refused > 15_000 && believed > 50,
        "{refused} refused, {believed} believed"
    );
}

#[test]
fn every_byte_of_one_frame_counts_or_is_unsigned() {
    let recording = Recording::committed();
    let (index, bytes, key) = *sample(&recording, 40)
        .iter()
        .min_by_key(|(_, bytes, _)| bytes.len())
        .unwrap();
    let genuine = judge(bytes, key).unwrap();
    for at in 0..bytes.len() {
        for change in [0x01, 0x20, 0x80, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= change;
            if let Some(found) = judge(&damaged, key) {
                assert_eq!(found, genuine, "frame {index}, byte {at} ^ {change:#x}");
            }
        }
    }
}

#[test]
fn a_frame_that_ends_early_or_late_is_refused() {
    let recording = Recording::committed();
    for (index, bytes, key) in sample(&recording, 5) {
        for len in 0..bytes.len() {
            assert!(
                frame::decode(&bytes[..len]).is_err(),
                "frame {index} cut to {len}"
            );
            assert_eq!(judge(&bytes[..len], key), None);
        }
        let longer = [bytes, &[0xf6]].concat();
        assert!(
            matches!(frame::decode(&longer), Err(FrameError::Malformed(e)) if e.kind == CborErrorKind::TrailingBytes)
        );
    }
}

/// A frame `{"t": "#commit", "op": 1}{"x": VALUE}`.
fn commit_with(value: &[u8]) -> Vec<u8> {
    [b"\xa2\x61t\x67#commit\x62op\x01\xa1\x61x", value].concat()
}

#[test]
fn deep_and_lying_values_are_refused_before_they_cost_anything() {
    let deep = [vec![0x81; 4_000_000], vec![0]].concat();
    let deep_maps = [b"\xa1\x61a".repeat(1_000_000), vec![0]].concat();
    let cases: [(&[u8], CborErrorKind); 9] = [
        (&deep, CborErrorKind::TooDeep),
        (&deep_maps, CborErrorKind::TooDeep),
        (
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            CborErrorKind::Truncated,
        ),
        (
            b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
            CborErrorKind::Truncated,
        ),
        (
            b"\x5b\x00\x00\x00\x01\x00\x00\x00\x00",
            CborErrorKind::Truncated,
        ),
        (b"\x7a\xff\xff\xff\xff", CborErrorKind::Truncated),
        (b"\x9f\x00\xff", CborErrorKind::NotCanonical),
        (b"\xd8\x2a\x43\x00\x01\x71", CborErrorKind::BadLink),
        (b"\xa1\x01\x01", CborErrorKind::Unexpected("text")),
    ];
    for (value, kind) in cases {
        let bytes = commit_with(value);
        let found = [
            frame::peek(&bytes).map(drop),
            frame::decode(&bytes).map(drop),
        ];
        for found in found {
            assert!(
                matches!(found, Err(FrameError::Malformed(e)) if e.kind == kind),
                "{found:?}, not {kind:?}"
            );
        }
    }
    // Text that matters must be UTF-8.
    let repo = b"\xa2\x61t\x67#commit\x62op\x01\xa1\x64repo\x61\xff";
    let found = frame::peek(repo).map(drop);
    assert!(
        matches!(found, Err(FrameError::Malformed(e)) if e.kind == CborErrorKind::NotUtf8),
        "{found:?}"
    );
    // An array of operations that claims more than a frame may have.
    let ops = [
        &b"\xa2\x61t\x67#commit\x62op\x01\xa1\x63ops\x1a\x00\x01\x00\x00"[..],
        &vec![0; 70_000],
    ]
    .concat();
    assert!(frame::decode(&ops).is_err() && frame::peek(&ops).is_err());
}

#[test]
fn a_field_twice_is_refused() {
    let recording = Recording::committed();
    let (_, bytes, _) = sample(&recording, 1)[0];
    // The map's head is after the 15 bytes of the header; "rev" again at its end, a field more.
    let mut twice = bytes.to_vec();
    twice[15] += 1;
    twice.extend(b"\x63rev\x6d3n2xcy7j2kl2o");
    assert!(
        matches!(frame::decode(&twice), Err(FrameError::Malformed(e)) if e.kind == CborErrorKind::DuplicateKey)
    );
}

#[test]
fn what_is_not_known_is_ignored() {
    let recording = Recording::committed();
    let (_, bytes, key) = sample(&recording, 1)[0];
    let mut more = bytes.to_vec();
    more[15] += 1;
    more.extend(b"\x66future\x83\x01\xf5\xa1\x61a\xf6");
    assert!(judge(&more, key).is_some(), "an unknown field");

    let unknown = Frame::Unknown(UnknownFrame {
        kind: "#news",
        seq: Some(7),
        body: b"\xa2\x61a\x80\x63seq\x07",
    });
    assert_eq!(frame::decode(&unknown.encode()), Ok(unknown.clone()));
    let bytes = unknown.encode();
    let peek = frame::peek(&bytes).unwrap();
    assert_eq!(
        (peek.kind(), peek.seq(), peek.did(), peek.op_paths().len()),
        (Kind::Unknown, Some(7), None, 0)
    );

    // An unknown type may use our names for something else.
    let strange = Frame::Unknown(UnknownFrame {
        kind: "#news",
        seq: None,
        body: b"\xa2\x63did\x01\x63seq\x61a",
    })
    .encode();
    assert_eq!(
        frame::peek(&strange).map(|peek| (peek.kind(), peek.seq())),
        Ok((Kind::Unknown, None))
    );
    assert_eq!(frame::decode(&strange).map(|frame| frame.seq()), Ok(None));
}

#[test]
fn an_author_who_signs_nonsense_only_harms_himself() {
    let key = SigningKey::generate(Curve::K256);
    let did = "did:plc:zmwaxnesqhtu6sdgylzfwfdz";
    let (mut repository, _) =
        Repository::create(did.parse().unwrap(), key.clone(), Tid::from_parts(1, 0));
    let write = |n: u32| Write::Create {
        collection: "com.example.note".parse().unwrap(),
        rkey: format!("{n}").parse().unwrap(),
        record: n.to_be_bytes().to_vec().into(),
    };
    repository
        .apply(
            &(0..40).map(write).collect::<Vec<_>>(),
            Tid::from_parts(2, 0),
        )
        .unwrap();
    let mut random = Random(SEED);
    let (mut refused, mut read) = (0, 0);
    for round in 0..3_000 {
        let mut world = repository.clone();
        let mut applied = world
            .apply(&[write(100 + round)], Tid::from_parts(3, 0))
            .unwrap();
        // The root of the tree, damaged, hashed and signed again.
        let root = applied.commit.data();
        let block = applied
            .blocks
            .iter_mut()
            .find(|block| block.cid == root)
            .unwrap();
        let mut bytes = block.bytes.to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = u8::try_from(random.below(256)).unwrap();
        }
        *block = Block::from_cbor(bytes);
        let data = block.cid;
        let old = applied.commit.cid();
        applied.blocks.retain(|block| block.cid != old);
        applied.commit = UnsignedCommit {
            did: did.parse().unwrap(),
            rev: Tid::from_parts(3, 0),
            data,
        }
        .sign(&key);
        applied.blocks.push(applied.commit.block().clone());
        match judge(&applied.frame(1, ""), &key.public()) {
            None => refused += 1,
            Some(found) => {
                read += 1;
                assert_eq!(found.3, data, "round {round}, seed {SEED}");
            }
        }
    }
    assert!(refused > 2_900, "{refused} refused, {read} read");
}

fn everything(bytes: &[u8]) {
    let key = SigningKey::from_bytes(Curve::K256, &[1; 32]).unwrap();
    let did = "did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse().unwrap();
    let (collection, rkey) = ("com.example.note".parse().unwrap(), "key".parse().unwrap());
    let limits = Limits::default();
    judge(bytes, &key.public());
    let _ = Car::read(bytes).map(|car| car.blocks().count());
    let _ = SignedCommit::decode(bytes.to_vec()).map(|commit| commit.verify(&key.public()));
    let block = Block::from_cbor(bytes.to_vec());
    let source: HashMap<Cid, Bytes> = HashMap::from([(block.cid, block.bytes)]);
    if let Ok(mut tree) = Tree::load(block.cid, &source) {
        assert_eq!(tree.root_cid(), block.cid);
        let _ = tree.entries().count();
        let _ = tree.insert("com.example.note/key", block.cid);
        let _ = tree.remove("com.example.note/key");
    }
    let _ = Repository::load(bytes, key.clone());
    let _ = Snapshot::verify(bytes, &did, &key.public(), 0, &limits)
        .map(|snapshot| snapshot.records("").count());
    let _ = PortableProof::check(bytes, 0, &limits);
    let _ = verify_record_proof(bytes, &did, &collection, &rkey, &key.public(), 0, &limits);
    for curve in [Curve::K256, Curve::P256] {
        let _ = VerifyingKey::from_sec1(curve, bytes);
        let _ = SigningKey::from_bytes(curve, bytes);
    }
    let _ = key.public().verify(bytes, bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = VerifyingKey::from_did_key(&text);
    let _ = VerifyingKey::from_did_key(&format!("did:key:z{text}"));
    let _ = VerifyingKey::from_multibase("Multikey", &text);
}

/// Bytes that look like something at their beginning.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let beginnings: [&[u8]; 9] = [
        b"",
        b"\xa2\x61t\x67#commit\x62op\x01",
        b"\xa2\x61t\x67#commit\x62op\x01\xac\x63ops\x81\xa3",
        b"\xa2\x61t\x65#sync\x62op\x01\xa5",
        b"\xa1\x62op\x20\xa2",
        b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00\x01\x71\x12\x20",
        b"\xa6\x63did\x60\x63rev\x60\x63sig\x58\x40",
        b"\xa2\x61e\x82\xa4\x61k",
        b"\xa2\x61e\x80\x61l",
    ];
    (
        prop::sample::select(beginnings.to_vec()),
        prop::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(|(beginning, rest)| [beginning, &rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_make_no_parser_panic(bytes in plausible()) {
        everything(&bytes);
    }
}
