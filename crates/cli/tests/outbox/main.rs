//! What the command line keeps: sent once whatever kills it, sent later when the PDS was away, shown,
//! edited and pruned, and the truth told of all that.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod away;
mod desk;
mod doctor;
mod edited;
mod limited;
mod once;
mod pruned;
#[path = "../support/mod.rs"]
mod support;
