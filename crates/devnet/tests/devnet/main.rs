//! The devnet as its clients see it, in one binary, which links once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod common;

mod blobs;
mod changes;
mod concurrency;
mod errors;
mod faults;
mod firehose;
mod jetstream;
mod lists;
mod plc;
mod rate_limits;
mod relay;
mod replay;
mod restart;
mod round_trip;
mod sessions;
mod stream_faults;
mod wrong_answers;
