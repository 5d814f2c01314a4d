//! P7: bad upstream bytes never stop the stream, panic, or grow memory. Each bad thing is made for the
//! purpose, is counted under its own reason, and has a genuine message behind it that still arrives.

use atcomms::lexicon::{Tid, cid_for_cbor};
use atcomms::repo::car::Block;
use atcomms::repo::frame::Action;
use atcomms::repo::repository::Applied;
use atcomms::repo::{Curve, SignedCommit};
use atcomms::subscribe::Trust;

use crate::author::{Author, frame, now_micros};
use crate::stage::Stage;

type Forge = fn(&mut Author) -> Vec<u8>;

/// Bytes that are no frame, or no commit that can be believed, with the reason under which they count.
const BAD: &[(&str, &str, Forge)] = &[
    ("nothing at all", "frame_malformed", |_| Vec::new()),
    ("text", "frame_malformed", |_| {
        b"HTTP/1.1 502 Bad Gateway".to_vec()
    }),
    ("a frame that breaks off", "frame_malformed", |author| {
        let mut bytes = frame(2, &author.would_say("forged"));
        bytes.truncate(bytes.len() - 40);
        bytes
    }),
    (
        "a frame with something behind it",
        "frame_malformed",
        |author| {
            let mut bytes = frame(2, &author.would_say("forged"));
            bytes.push(0);
            bytes
        },
    ),
    ("a length beyond the end", "frame_malformed", |author| {
        let mut bytes = frame(2, &author.would_say("forged"));
        let blocks = find(&bytes, b"fblocks") + 7;
        // A byte string that claims 2^63 bytes.
        bytes.splice(
            blocks..blocks + 3,
            [0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        );
        bytes
    }),
    (
        "a hundred thousand lists in each other",
        "frame_malformed",
        |_| {
            let mut bytes = b"\xa2atg#commitbop\x01\xa1cops".to_vec();
            bytes.extend(std::iter::repeat_n(0x81, 100_000));
            bytes.push(0x80);
            bytes
        },
    ),
    ("a frame of more than 5 MB", "frame_too_large", |author| {
        let mut commit = author.would_say("forged");
        commit.blocks.push(Block::from_cbor(vec![0; 5_100_000]));
        frame(2, &commit)
    }),
    (
        "a message that is too large to be read at all",
        "frame_too_large",
        |author| {
            let mut commit = author.would_say("forged");
            commit.blocks.push(Block::from_cbor(vec![0; 6_500_000]));
            frame(2, &commit)
        },
    ),
    ("blocks of more than 2 MB", "blocks_too_large", |author| {
        let mut commit = author.would_say("forged");
        commit.blocks.push(Block::from_cbor(vec![0; 2_100_000]));
        frame(2, &commit)
    }),
    (
        "a record that does not hash to its CID",
        "block_hash",
        |author| {
            let mut commit = author.would_say("forged");
            let record = commit.ops.first().and_then(|op| op.cid).expect("a record");
            flip(&mut commit, |block| block.cid == record);
            frame(2, &commit)
        },
    ),
    (
        "a node of the tree that does not hash to its CID",
        "block_hash",
        |author| {
            let mut commit = author.would_say("forged");
            let root = commit.commit.data();
            flip(&mut commit, |block| block.cid == root);
            frame(2, &commit)
        },
    ),
    ("a commit without a signature", "unsigned", |author| {
        let commit = author.would_say("forged");
        let unsigned = atcomms::repo::UnsignedCommit {
            did: commit.commit.did().clone(),
            rev: commit.commit.rev(),
            data: commit.commit.data(),
        };
        let block = Block::from_cbor(unsigned.to_cbor());
        let signed = commit.commit.cid();
        let bytes = frame(2, &commit);
        // The CAR's root, the frame's commit and the block: the unsigned one in every place.
        let blocks: Vec<Block> = commit
            .blocks
            .iter()
            .filter(|other| other.cid != signed)
            .cloned()
            .collect();
        reframe(&bytes, &block, &blocks)
    }),
    ("a signature that does not hold", "signature", |author| {
        let mut commit = author.would_say("forged");
        let unsigned = atcomms::repo::UnsignedCommit {
            did: commit.commit.did().clone(),
            rev: commit.commit.rev(),
            data: commit.commit.data(),
        };
        let signature = author.key.sign(b"something else");
        sign_again(&mut commit, unsigned.with_signature(&signature));
        frame(2, &commit)
    }),
    (
        "an operation on another record than the tree has",
        "op_not_in_tree",
        |author| {
            let mut commit = author.would_say("forged");
            let other = Block::from_cbor(author.message("planted"));
            if let Some(op) = commit.ops.first_mut() {
                op.cid = Some(other.cid);
            }
            commit.blocks.push(other);
            frame(2, &commit)
        },
    ),
    (
        "an operation at a path that the tree does not have",
        "op_not_in_tree",
        |author| {
            let mut commit = author.would_say("forged");
            if let Some(op) = commit.ops.first_mut() {
                op.path = "agent.comms.message/elsewhere".to_owned();
            }
            frame(2, &commit)
        },
    ),
    (
        "an operation without its record",
        "record_missing",
        |author| {
            let mut commit = author.would_say("forged");
            let record = commit.ops.first().and_then(|op| op.cid);
            commit.blocks.retain(|block| Some(block.cid) != record);
            frame(2, &commit)
        },
    ),
    ("an operation that is hidden", "inversion", |author| {
        let (seen, hidden) = (author.message("seen"), author.message("hidden"));
        let mut commit = author.clone().create(&[("seen", seen), ("hidden", hidden)]);
        commit.ops.retain(|op| op.path.ends_with("seen"));
        frame(2, &commit)
    }),
    ("the same path twice", "duplicate_path", |author| {
        let mut commit = author.would_say("forged");
        let op = commit.ops.first().cloned();
        commit.ops.extend(op);
        frame(2, &commit)
    }),
    (
        "a create that says what was there before",
        "op_invalid",
        |author| {
            let mut commit = author.would_say("forged");
            if let Some(op) = commit.ops.first_mut() {
                op.prev = op.cid;
            }
            frame(2, &commit)
        },
    ),
    (
        "a create that is told as an update",
        "op_invalid",
        |author| {
            let mut commit = author.would_say("forged");
            if let Some(op) = commit.ops.first_mut() {
                op.action = Action::Update;
            }
            frame(2, &commit)
        },
    ),
    ("more than 200 operations", "too_many_ops", |author| {
        let mut commit = author.would_say("forged");
        let op = commit.ops.first().cloned().expect("an operation");
        commit.ops = (0..201).map(|_| op.clone()).collect();
        frame(2, &commit)
    }),
    ("a rev of the day after tomorrow", "future_rev", |author| {
        let message = author.message("forged");
        let rev = Tid::from_parts(now_micros() + 2 * 86_400_000_000, 0);
        frame(2, &author.clone().create_at(rev, &[("forged", message)]))
    }),
    ("a tree of another commit", "inversion", |author| {
        let mut commit = author.would_say("forged");
        commit.prev_data = Some(cid_for_cbor(b"\xa0"));
        frame(2, &commit)
    }),
    ("a record that is no data", "undecodable", |author| {
        // A float (0.5), which the data model does not have.
        let record = b"\xa1avalue\xfb\x3f\xe0\x00\x00\x00\x00\x00\x00"[..].to_vec();
        frame(
            2,
            &author.create(&[("odd", [&record[..1], b"e", &record[2..]].concat())]),
        )
    }),
];

#[tokio::test]
async fn each_bad_thing_is_counted_and_the_next_message_arrives() {
    for (what, reason, forge) in BAD {
        let mut author = Author::new("alice", Curve::K256);
        let first = author.says(1, "first");
        let bad = forge(&mut author);
        let last = author.says(3, "last");
        let mut stage = Stage::new(&[&author], vec![first, bad, last]).await;
        for key in ["first", "last"] {
            let delivery = stage.next().await;
            assert_eq!(
                delivery.rkey.as_str(),
                key,
                "{what}: only genuine messages are delivered"
            );
            assert_eq!(delivery.trust, Trust::Verified, "{what}");
        }
        assert_eq!(stage.rejected(1).await, [(*reason, 1)].into(), "{what}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_a_value_with_its_bytes() {
    let mut author = Author::new("alice", Curve::K256);
    let bytes = b"\xff not CBOR".to_vec();
    let odd = frame(1, &author.create(&[("odd", bytes.clone())]));
    let last = author.says(2, "last");
    let mut stage = Stage::new(&[&author], vec![odd, last]).await;
    assert_eq!(stage.next_keys(1).await, ["last"]);
    let [undecodable] = stage.undecodable.as_slice() else {
        panic!("one value that cannot be read, not {:?}", stage.undecodable)
    };
    assert_eq!(undecodable.bytes, bytes);
    assert_eq!(undecodable.author, author.did);
    assert!(undecodable.uri.as_str().ends_with("/odd") && !undecodable.reason.is_empty());
}

#[tokio::test]
async fn all_of_it_at_once_stops_nothing() {
    let mut author = Author::new("alice", Curve::K256);
    let mut frames = vec![author.says(1, "m0")];
    let mut keys = vec!["m0".to_owned()];
    for (n, (what, reason, forge)) in BAD.iter().enumerate() {
        // One that goes on in the author's story is counted elsewhere; one that ends the connection
        // needs a true place in the stream, which the others, all of seq 2, do not have.
        if *reason != "undecodable" && !what.contains("read at all") {
            frames.push(forge(&mut author));
            keys.push(format!("m{}", n + 1));
            frames.push(author.says(
                i64::try_from(n).expect("a few") + 10,
                &format!("m{}", n + 1),
            ));
        }
    }
    let bad = u64::try_from(keys.len() - 1).expect("a few");
    let mut stage = Stage::new(&[&author], frames).await;
    assert_eq!(stage.next_keys(keys.len()).await, keys);
    assert_eq!(stage.rejected(bad).await.values().sum::<u64>(), bad);
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .position(|window| window == what)
        .expect("it is in the frame")
}

/// Changes one bit of a block without changing the CID under which it travels.
fn flip(commit: &mut Applied, which: impl Fn(&Block) -> bool) {
    let block = commit
        .blocks
        .iter_mut()
        .find(|block| which(block))
        .expect("the block is there");
    let mut bytes = block.bytes.to_vec();
    *bytes.last_mut().expect("a block has bytes") ^= 1;
    block.bytes = bytes.into();
}

fn sign_again(commit: &mut Applied, signed: SignedCommit) {
    let old = commit.commit.cid();
    commit.blocks.retain(|block| block.cid != old);
    commit.blocks.push(signed.block().clone());
    commit.commit = signed;
}

/// The frame with another commit block.
fn reframe(bytes: &[u8], commit: &Block, others: &[Block]) -> Vec<u8> {
    use atcomms::repo::frame::{Frame, decode};
    let Ok(Frame::Commit(mut envelope)) = decode(bytes) else {
        panic!("a commit frame")
    };
    let car = atcomms::repo::car::write(&commit.cid, others.iter().chain([commit]));
    envelope.commit = commit.cid;
    envelope.blocks = &car;
    Frame::Commit(envelope).encode()
}
