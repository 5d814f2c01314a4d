//! What a store promises, seen from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod accepting;
mod attachments;
mod bad_file;
mod child;
mod crash;
mod editing;
mod folding;
mod heard;
mod inbox;
mod logins;
mod no_room;
mod processes;
mod retaining;
mod sending;
mod settling;
mod support;
