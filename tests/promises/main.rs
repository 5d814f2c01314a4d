//! The promises of atcomms, a file for each. Frames are made for the purpose, and travel over a real
//! WebSocket from a replay to a real subscription.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod acknowledged_once;
mod author;
mod author_is_the_signer;
mod bad_input_is_a_value;
mod consumer;
mod data_before_cursor;
mod ordered_per_repository;
mod shutdown_drains;
mod stage;
