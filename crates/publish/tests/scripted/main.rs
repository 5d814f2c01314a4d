//! A PDS that does as it is told, for what no real one does on demand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod download;
mod login;
mod odd_answers;
mod pds;
mod session;
mod settle;
mod upload;
mod wire;
