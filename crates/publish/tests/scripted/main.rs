//! A PDS that does as it is told, for what no real one does on demand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod batch;
mod download;
mod fairness;
mod limits;
mod login;
mod odd_answers;
mod odd_blobs;
mod odd_reads;
mod pds;
mod raw;
mod repository;
mod session;
mod settle;
mod shared;
mod upload;
mod wire;
