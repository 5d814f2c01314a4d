//! Everything that is promised to a user, on PDSs that really commit: the devnet, and the PDS that
//! the network runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod attachments;
mod counting;
mod cutting;
mod devnet;
mod held;
mod network;
mod outbox;
mod rate_limits;
mod records;
mod reference;
mod sessions;
