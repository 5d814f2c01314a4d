//! What a look into a frame allocates, beside reading it whole: nothing. Run it with
//! `cargo bench -p atcomms-repo --bench peek`, which counts allocations; apart from the other benchmarks,
//! for counting takes time.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use atcomms_repo::frame;
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};

#[path = "../tests/support/mod.rs"]
mod support;

use support::Recording;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn each(bencher: Bencher<'_, '_>, look: impl Fn(&[u8]) + Sync) {
    let recording = Recording::committed();
    let frames: Vec<&[u8]> = recording.frames().collect();
    let count = ItemsCount::new(frames.len());
    bencher
        .counter(count)
        .bench(|| frames.iter().for_each(|bytes| look(black_box(bytes))));
}

#[divan::bench]
fn peek(bencher: Bencher<'_, '_>) {
    each(bencher, |bytes| {
        let peek = frame::peek(bytes).expect("a frame");
        black_box(peek.op_paths().any(|path| path.starts_with("agent.comms.")));
    });
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    each(bencher, |bytes| {
        black_box(frame::decode(bytes)).expect("a frame");
    });
}
