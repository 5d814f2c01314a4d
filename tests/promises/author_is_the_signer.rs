//! P6: the author is the repository whose key signed the commit.

use atcomms::lexicon::{Message, encode};
use atcomms::repo::{Curve, SigningKey, UnsignedCommit};
use atcomms::subscribe::Trust;

use crate::author::{Author, did, frame};
use crate::stage::Stage;

/// A genuine message of alice's on each side of what is tried in her name.
async fn refused(reason: &str, authors: &[&Author], attempt: impl FnOnce(&Author) -> Vec<u8>) {
    let mut alice = Author::new("alice", Curve::K256);
    let first = alice.says(1, "first");
    let forged = attempt(&alice);
    let last = alice.says(3, "last");
    let authors = [&[&alice], authors].concat();
    let mut stage = Stage::new(&authors, vec![first, forged, last]).await;
    for key in ["first", "last"] {
        let delivery = stage.next().await;
        assert_eq!(delivery.rkey.as_str(), key, "{reason}");
        assert_eq!(
            (delivery.author, delivery.trust),
            (alice.did.clone(), Trust::Verified)
        );
    }
    assert_eq!(stage.rejected(1).await, [(reason, 1)].into(), "{reason}");
}

#[tokio::test]
async fn who_signs_with_another_key_is_not_the_author() {
    refused("signature", &[], |alice| {
        let mut commit = alice.would_say("forged");
        let other = SigningKey::generate(Curve::K256);
        let signed = UnsignedCommit {
            did: commit.commit.did().clone(),
            rev: commit.commit.rev(),
            data: commit.commit.data(),
        };
        let signed = signed.sign(&other);
        let old = commit.commit.cid();
        commit.blocks.retain(|block| block.cid != old);
        commit.blocks.push(signed.block().clone());
        commit.commit = signed;
        frame(2, &commit)
    })
    .await;
}

#[tokio::test]
async fn a_commit_of_ones_own_does_not_pass_for_anothers() {
    let mut mallory = Author::new("mallory", Curve::P256);
    // Newer than what alice has written, so that it is not dropped for its age.
    mallory.says(1, "earlier");
    let stolen = mallory.would_say("forged");
    refused("other_did", &[&mallory], |alice| {
        // The envelope says alice; the commit inside is signed, genuine, and mallory's.
        let bytes = frame(2, &stolen);
        replace(&bytes, mallory.did.as_str(), alice.did.as_str())
    })
    .await;
}

#[tokio::test]
async fn a_record_that_names_another_sender_is_refused() {
    let mut mallory = Author::new("mallory", Curve::P256);
    let alice = did("alice");
    let claim = encode(&Message::new(&alice, &alice, "I am alice")).expect("a message");
    let commit = mallory.create(&[("forged", claim.cbor)]);
    let genuine = mallory.says(4, "in-my-own-name");
    let bytes = frame(2, &commit);
    refused("other_author", &[&mallory], |_| bytes).await;

    // Mallory's other messages are delivered, as mallory's.
    let mut stage = Stage::new(&[&mallory], vec![frame(2, &commit), genuine]).await;
    let delivery = stage.next().await;
    assert_eq!(
        (delivery.rkey.as_str(), delivery.author),
        ("in-my-own-name", mallory.did.clone())
    );
}

#[tokio::test]
async fn both_curves_are_believed_and_a_lost_key_is_not() {
    let mut alice = Author::new("alice", Curve::K256);
    let mut bob = Author::new("bob", Curve::P256);
    let mut nobody = Author::new("nobody", Curve::K256);
    let frames = vec![
        nobody.says(1, "lost"),
        alice.says(2, "k256"),
        bob.says(3, "p256"),
    ];
    // No directory knows nobody's key.
    let mut stage = Stage::new(&[&alice, &bob], frames).await;
    assert_eq!(stage.next_keys(2).await, ["k256", "p256"]);
    assert_eq!(stage.rejected(1).await, [("no_key", 1)].into());
}

/// The bytes with one text replaced by another, whose length may differ: the frame is taken apart and
/// put together again.
fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    use atcomms::repo::frame::{Frame, decode};
    let Ok(Frame::Commit(mut commit)) = decode(bytes) else {
        panic!("a commit frame")
    };
    assert_eq!(commit.repo, from);
    commit.repo = to;
    Frame::Commit(commit).encode()
}
