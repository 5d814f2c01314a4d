//! The committed recording of the reference PDS, every commit verified in full.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use support::Recording;
use support::replay::replay;

#[test]
fn every_frame_of_the_committed_recording_is_believed() {
    let recording = Recording::committed();
    let counts = replay(&recording);
    assert_eq!(counts.accounts, 7);
    let frames = [
        ("#account", 23),
        ("#commit", 2_829),
        ("#identity", 17),
        ("#sync", 15),
    ];
    assert_eq!(counts.frames, frames.into());
    let ops = [
        ("agent.comms.message", "create", 31),
        ("agent.comms.receipt", "create", 8),
        ("agent.comms.task", "create", 8),
        ("app.bsky.actor.profile", "create", 7),
        ("app.bsky.actor.profile", "update", 14),
        ("app.bsky.feed.like", "create", 1_942),
        ("app.bsky.feed.like", "delete", 70),
        ("app.bsky.feed.post", "create", 2_273),
        ("app.bsky.feed.repost", "create", 89),
        ("app.bsky.graph.follow", "create", 588),
        ("app.bsky.graph.follow", "delete", 101),
    ];
    let ops = ops
        .into_iter()
        .map(|(collection, action, n)| ((collection.to_owned(), action), n));
    assert_eq!(counts.ops, ops.collect());
}
