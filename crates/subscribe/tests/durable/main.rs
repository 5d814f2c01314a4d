//! Durable consumers, on a devnet: what was acknowledged is gone, and what was not comes again.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod acknowledging;
mod going_on;
mod sharing;
mod stage;
mod typed;
