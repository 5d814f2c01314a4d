//! What a frame costs, over the committed recording. Run it with `cargo bench -p atcomms-repo`.
//!
//! `verify` against `signature` is what is to be watched: the share of a full verification that is not the
//! signature's own.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

use atcomms_repo::car::Car;
use atcomms_repo::commit::SignedCommit;
use atcomms_repo::frame::{self, CommitFrame, Frame};
use atcomms_repo::mst::Tree;
use atcomms_repo::verify::{Limits, claim, verify_commit};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

#[path = "../tests/support/mod.rs"]
mod support;

use support::Recording;
use support::replay::far_future;

fn main() {
    divan::main();
}

/// The frames of commits with one operation, which is what a live firehose brings.
fn commits(recording: &Recording) -> Vec<&[u8]> {
    let is_single = |bytes: &&[u8]| frame::peek(bytes).is_ok_and(|peek| peek.op_paths().len() == 1);
    recording.frames().filter(is_single).collect()
}

fn commit(bytes: &[u8]) -> CommitFrame<'_> {
    match frame::decode(bytes) {
        Ok(Frame::Commit(commit)) => commit,
        other => panic!("not a commit: {other:?}"),
    }
}

#[divan::bench]
fn peek(bencher: Bencher<'_, '_>) {
    let recording = Recording::committed();
    let frames = commits(&recording);
    bencher.counter(ItemsCount::new(frames.len())).bench(|| {
        for bytes in &frames {
            let peek = frame::peek(black_box(bytes)).expect("a frame");
            black_box(peek.op_paths().any(|path| path.starts_with("agent.comms.")));
        }
    });
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let recording = Recording::committed();
    let frames = commits(&recording);
    bencher.counter(ItemsCount::new(frames.len())).bench(|| {
        for bytes in &frames {
            black_box(commit(black_box(bytes)));
        }
    });
}

#[divan::bench]
fn decode_and_claim(bencher: Bencher<'_, '_>) {
    let recording = Recording::committed();
    let frames = commits(&recording);
    bencher.counter(ItemsCount::new(frames.len())).bench(|| {
        for bytes in &frames {
            black_box(claim(&commit(black_box(bytes)))).expect("a commit");
        }
    });
}

#[divan::bench]
fn decode_and_hash(bencher: Bencher<'_, '_>) {
    let recording = Recording::committed();
    let frames = commits(&recording);
    bencher.counter(ItemsCount::new(frames.len())).bench(|| {
        for bytes in &frames {
            black_box(Car::read(commit(black_box(bytes)).blocks)).expect("a CAR");
        }
    });
}

#[divan::bench]
fn invert(bencher: Bencher<'_, '_>) {
    let recording = Recording::committed();
    let frames = commits(&recording);
    let commits: Vec<_> = frames.iter().map(|bytes| commit(bytes)).collect();
    let cars: Vec<_> = commits
        .iter()
        .map(|frame| Car::read(frame.blocks).expect("a CAR"))
        .collect();
    let roots: Vec<_> = commits
        .iter()
        .map(|frame| claim(frame).expect("a commit").head().data)
        .collect();
    bencher.counter(ItemsCount::new(frames.len())).bench(|| {
        for ((frame, car), root) in commits.iter().zip(&cars).zip(&roots) {
            let tree = Tree::load(*root, car).expect("a tree");
            black_box(tree.invert(black_box(&frame.ops))).expect("operations of the tree");
        }
    });
}

#[divan::bench]
fn signature(bencher: Bencher<'_, '_>) {
    let recording = Recording::committed();
    let frames = commits(&recording);
    let commits: Vec<_> = frames
        .iter()
        .map(|bytes| {
            let frame = commit(bytes);
            let block = Car::read(frame.blocks)
                .expect("a CAR")
                .get(&frame.commit)
                .expect("a commit")
                .to_vec();
            (
                SignedCommit::decode(block).expect("a commit"),
                &recording.keys[frame.repo],
            )
        })
        .collect();
    bencher.counter(ItemsCount::new(frames.len())).bench(|| {
        for (commit, key) in &commits {
            black_box(commit)
                .verify(key)
                .expect("a signature that holds");
        }
    });
}

#[divan::bench]
fn verify(bencher: Bencher<'_, '_>) {
    let recording = Recording::committed();
    let frames = commits(&recording);
    let limits = Limits::default();
    bencher.counter(ItemsCount::new(frames.len())).bench(|| {
        for bytes in &frames {
            let frame = commit(black_box(bytes));
            let key = &recording.keys[frame.repo];
            black_box(verify_commit(&frame, key, far_future(), &limits))
                .expect("a commit that holds");
        }
    });
}
