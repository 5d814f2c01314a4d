//! P3: what was acknowledged is not delivered again, whatever dies; with it, at each end: everything was
//! handed out at least once (P2), first deliveries in the order of each writer's commits (P4), and an effect
//! that is acknowledged with its event happened once.
//!
//! `ATCOMMS_SEED=N cargo test --test promises acknowledged_once` runs one alone.

use crate::consumer;

/// Where processes die.
const POINTS: &[&str] = &[
    "take_in.before_commit",
    "take_in.after_commit",
    "lease.before_commit",
    "lease.after_commit",
    "ack.before_commit",
    "ack.after_commit",
    "ack_with.before_commit",
    "ack_with.after_commit",
    "put_off.before_commit",
    "put_off.after_commit",
    "terminate.before_commit",
    "terminate.after_commit",
    "keep.before_commit",
    "keep.after_commit",
    "give_back.before_commit",
    "give_back.after_commit",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_not_delivered_again_whatever_dies() {
    let must = [
        "killed",
        "shut down",
        "streams cut",
        "read again",
        "dead letters sent again",
        "nak",
        "work failed",
        "progress",
        "dropped",
    ];
    consumer::runs(300, POINTS, &must).await;
}
