//! The promises of atcomms, a file for each. What is read is made of frames for the purpose, over a real
//! WebSocket from a replay to a real subscription; what is written goes to a devnet with faults.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod acknowledged_once;
mod author;
mod author_is_the_signer;
mod bad_input_is_a_value;
mod bounded_under_flood;
mod consumer;
mod corruption_is_loud;
mod data_before_cursor;
mod delivered_at_least_once;
mod ordered_per_repository;
mod published_exactly_once;
mod shutdown_drains;
mod stage;
