//! All of a recorded firehose of the reference PDS: 20,427 frames, every commit verified in full.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use support::Recording;
use support::replay::replay;

#[test]
#[cfg_attr(
    not(has_corpus),
    ignore = "set ATCOMMS_CORPUS to the folder of the recorded firehose"
)]
fn every_frame_of_the_recorded_firehose_is_believed() {
    let recording = Recording::read(&support::folder("ATCOMMS_CORPUS"));
    assert_eq!(recording.keys.len(), 50, "accounts in dids.json");
    let counts = replay(&recording);
    assert_eq!(counts.accounts, 50);
    let frames = [
        ("#account", 114),
        ("#commit", 20_116),
        ("#identity", 115),
        ("#sync", 82),
    ];
    assert_eq!(counts.frames, frames.into());
    let ops = [
        ("agent.comms.message", "create", 115),
        ("agent.comms.receipt", "create", 26),
        ("agent.comms.task", "create", 49),
        ("app.bsky.actor.profile", "create", 50),
        ("app.bsky.actor.profile", "update", 108),
        ("app.bsky.feed.like", "create", 13_953),
        ("app.bsky.feed.like", "delete", 567),
        ("app.bsky.feed.post", "create", 16_047),
        ("app.bsky.feed.repost", "create", 636),
        ("app.bsky.graph.follow", "create", 4_229),
        ("app.bsky.graph.follow", "delete", 747),
    ];
    let ops = ops
        .into_iter()
        .map(|(collection, action, n)| ((collection.to_owned(), action), n));
    assert_eq!(counts.ops, ops.collect());
}
