//! What a store promises, seen from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod bad_file;
mod child;
mod crash;
mod logins;
mod no_room;
mod processes;
mod support;
