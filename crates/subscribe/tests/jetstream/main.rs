//! A Jetstream as the source, on a devnet: on its word, and raised by proof.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod durable;
mod garbage;
mod raising;
mod stage;
mod words;
