//! The protocol's own test vectors, as far as they are about repositories: MST, commit proofs, keys and signatures.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::{BTreeSet, HashMap};

use atcomms_repo::Cid;
use atcomms_repo::frame::{Action, RepoOp};
use atcomms_repo::key::{Curve, SigningKey, VerifyingKey};
use atcomms_repo::mst::{self, Tree};
use data_encoding::{BASE64_NOPAD, HEXLOWER};
use serde_json::Value;

/// The cases of a file, of which there must be as many as are known.
fn cases(file: &str, count: usize) -> Vec<Value> {
    let path = support::folder("ATCOMMS_INTEROP").join(file);
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Vec<Value> =
        serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(cases.len(), count, "cases in {}", path.display());
    cases
}

fn text<'v>(case: &'v Value, field: &str) -> &'v str {
    case[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} in {case}"))
}

fn texts<'v>(case: &'v Value, field: &str) -> Vec<&'v str> {
    let items = case[field]
        .as_array()
        .unwrap_or_else(|| panic!("{field} in {case}"));
    items
        .iter()
        .map(|item| item.as_str().expect("text"))
        .collect()
}

fn cid(text: &str) -> Cid {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn keys_have_their_heights() {
    for case in cases("mst/key_heights.json", 9) {
        assert_eq!(
            u64::from(mst::height(text(&case, "key"))),
            case["height"],
            "{case}"
        );
    }
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn example_keys_have_the_height_in_their_name_and_any_order_makes_one_tree() {
    let path = support::folder("ATCOMMS_INTEROP").join("mst/example_keys.txt");
    let file = std::fs::read_to_string(path).expect("example_keys.txt");
    let keys: Vec<&str> = file.lines().collect();
    assert_eq!(keys.len(), 156);
    let value = cid("bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454");
    let mut forwards = Tree::new();
    for key in &keys {
        assert_eq!(
            mst::height(key).to_string(),
            key[1..2],
            "the digit of {key} is its height"
        );
        forwards.insert(key, value).expect("a new key");
    }
    let mut backwards = Tree::new();
    for key in keys.iter().rev() {
        backwards.insert(key, value).expect("a new key");
    }
    assert_eq!(forwards.root_cid(), backwards.root_cid());
    let listed: Vec<&str> = forwards
        .entries()
        .map(|entry| entry.expect("whole").0)
        .collect();
    assert_eq!(listed, keys);
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn keys_are_compressed_by_their_common_prefix() {
    // What a node writes as `p` is the length of the prefix that its second key shares with the first.
    let mut tested = 0;
    for case in cases("mst/common_prefix.json", 13) {
        let (left, right) = (text(&case, "left"), text(&case, "right"));
        assert_eq!(
            mst::common_prefix(left, right) as u64,
            case["len"],
            "{case}"
        );
        tested += 1;
    }
    assert_eq!(tested, 13);
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn commits_carry_what_is_needed_to_undo_them() {
    for case in cases("firehose/commit-proof-fixtures.json", 6) {
        let value = cid(text(&case, "leafValue"));
        let (adds, dels) = (texts(&case, "adds"), texts(&case, "dels"));
        let mut tree = Tree::new();
        for key in texts(&case, "keys") {
            tree.insert(key, value).expect("a new key");
        }
        let before = tree.root_cid();
        assert_eq!(before, cid(text(&case, "rootBeforeCommit")), "{case}");
        for key in &adds {
            tree.insert(key, value).expect("a new key");
        }
        for key in &dels {
            assert_eq!(tree.remove(key), Ok(value));
        }
        assert_eq!(
            tree.root_cid(),
            cid(text(&case, "rootAfterCommit")),
            "{case}"
        );

        let blocks = tree
            .covering_proof(adds.iter().chain(&dels).copied())
            .expect("whole");
        let ours: BTreeSet<Cid> = blocks.iter().map(|block| block.cid).collect();
        let theirs: BTreeSet<Cid> = texts(&case, "blocksInProof").into_iter().map(cid).collect();
        assert_eq!(ours, theirs, "{case}");

        let source: HashMap<Cid, _> = blocks
            .into_iter()
            .map(|block| (block.cid, block.bytes))
            .collect();
        let created = adds.iter().map(|path| RepoOp {
            action: Action::Create,
            path,
            cid: Some(value),
            prev: None,
        });
        let deleted = dels.iter().map(|path| RepoOp {
            action: Action::Delete,
            path,
            cid: None,
            prev: Some(value),
        });
        let ops: Vec<RepoOp<'_>> = created.chain(deleted).collect();
        let partial = Tree::load(tree.root_cid(), &source).expect("the proof's nodes");
        assert_eq!(partial.invert(&ops), Ok(before), "{case}");
    }
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn signatures_hold_or_not_as_the_protocol_says() {
    let mut valid = 0;
    for case in cases("crypto/signature-fixtures.json", 6) {
        let key = VerifyingKey::from_did_key(text(&case, "publicKeyDid")).expect("a key");
        let legacy = VerifyingKey::from_multibase(
            text(&case, "didDocSuite"),
            text(&case, "publicKeyMultibase"),
        );
        assert_eq!(
            legacy.as_ref(),
            Ok(&key),
            "both texts of the key, in {case}"
        );
        assert_eq!(key.to_did_key(), text(&case, "publicKeyDid"));
        let bytes = |field| {
            BASE64_NOPAD
                .decode(text(&case, field).as_bytes())
                .expect("base64")
        };
        let holds = key
            .verify(&bytes("messageBase64"), &bytes("signatureBase64"))
            .is_ok();
        assert_eq!(Some(holds), case["validSignature"].as_bool(), "{case}");
        valid += usize::from(holds);
    }
    assert_eq!(valid, 2, "one valid signature on each curve");
}

#[test]
#[cfg_attr(
    not(has_interop),
    ignore = "set ATCOMMS_INTEROP to the folder of the interop vectors"
)]
fn private_keys_have_their_did_keys() {
    let k256 = cases("crypto/w3c_didkey_K256.json", 5);
    let k256 = k256.iter().map(|case| {
        let bytes = HEXLOWER
            .decode(text(case, "privateKeyBytesHex").as_bytes())
            .expect("hex");
        (Curve::K256, bytes, text(case, "publicDidKey"))
    });
    let p256 = cases("crypto/w3c_didkey_P256.json", 1);
    let p256 = p256.iter().map(|case| {
        let bytes = bs58::decode(text(case, "privateKeyBytesBase58"))
            .into_vec()
            .expect("base58");
        (Curve::P256, bytes, text(case, "publicDidKey"))
    });
    let mut tested = 0;
    for (curve, bytes, did_key) in k256.chain(p256) {
        let key = SigningKey::from_bytes(curve, &bytes).expect("a private key");
        assert_eq!(key.public().to_did_key(), did_key);
        let again = VerifyingKey::from_did_key(did_key).expect("a did:key");
        assert_eq!(
            again.verify(b"message", &key.sign(b"message")),
            Ok(()),
            "{did_key}"
        );
        tested += 1;
    }
    assert_eq!(tested, 6);
}
