//! What a frame's bytes cost, without any socket.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use atcomms_repo::VerifyingKey;
use atcomms_repo::car::Car;
use atcomms_repo::commit::SignedCommit;
use atcomms_repo::frame::{self, CommitFrame, Frame};
use atcomms_repo::verify::{Limits, verify_commit};

use crate::corpus::Corpus;
use crate::fastest;

/// Rounds of each measurement.
const ROUNDS: usize = 5;

/// Frames that fit the cache together.
const IN_CACHE: usize = 128;

/// A time that every recording is before, in microseconds since 1970.
const FAR_FUTURE: u64 = 4_000_000_000_000_000;

type Keys = HashMap<String, VerifyingKey>;

pub(crate) fn measure(corpus: &Corpus) {
    let keys = corpus.keys();
    let frames: Vec<&[u8]> = corpus.live_commits().map(|frame| &frame[..]).collect();
    let signatures: Vec<_> = frames.iter().map(|bytes| signed(bytes, &keys)).collect();
    // Each core has repositories of its own, whose order it keeps.
    let mut of_cores = [Vec::new(), Vec::new()];
    for bytes in &frames {
        let did = commit(bytes).repo;
        of_cores[usize::from(did.as_bytes()[did.len() - 1]) % 2].push(*bytes);
    }
    let mut rates: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS {
        let count = frames.len();
        rates[0].push(count as f64 / peeking(&frames).as_secs_f64());
        rates[1].push(rate(count, || frames.iter().for_each(|bytes| hash(bytes))));
        rates[2].push(rate(count, || {
            for (commit, key) in &signatures {
                black_box(commit)
                    .verify(key)
                    .expect("a signature that holds");
            }
        }));
        rates[3].push(rate(count, || verify(&frames, &keys)));
        rates[4].push(rate(count, || {
            std::thread::scope(|scope| {
                for frames in &of_cores {
                    scope.spawn(|| verify(frames, &keys));
                }
            });
        }));
    }
    let [peeked, hashed, signatures, verified, on_two] = rates.map(fastest);
    println!("\none frame, commits of one operation");
    println!("peek                              {:10.0} ns", 1e9 / peeked);
    println!("decoded, every block hashed       {hashed:10.0} /s");
    println!("signature checks alone            {signatures:10.0} /s");
    println!(
        "verified in full, one core        {verified:10.0} /s   {:.2} of the signature checks",
        verified / signatures
    );
    println!(
        "verified in full, two cores       {on_two:10.0} /s   {:.2} times one core",
        on_two / verified
    );
}

/// How often a second.
fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    count as f64 / begun.elapsed().as_secs_f64()
}

fn commit(bytes: &[u8]) -> CommitFrame<'_> {
    match frame::decode(bytes) {
        Ok(Frame::Commit(commit)) => commit,
        other => panic!("not a commit: {other:?}"),
    }
}

fn peek(bytes: &[u8]) {
    let peek = frame::peek(black_box(bytes)).expect("a frame");
    black_box(peek.op_paths().any(|path| path.starts_with("agent.comms.")));
}

/// Each frame is in the cache when its time is taken, as it is when it has just come from the socket.
fn peeking(frames: &[&[u8]]) -> Duration {
    let times = frames.chunks(IN_CACHE).map(|frames| {
        frames.iter().for_each(|bytes| peek(bytes));
        let begun = Instant::now();
        frames.iter().for_each(|bytes| peek(bytes));
        begun.elapsed()
    });
    times.sum()
}

fn hash(bytes: &[u8]) {
    black_box(Car::read(commit(black_box(bytes)).blocks)).expect("a CAR");
}

fn signed<'k>(bytes: &[u8], keys: &'k Keys) -> (SignedCommit, &'k VerifyingKey) {
    let frame = commit(bytes);
    let car = Car::read(frame.blocks).expect("a CAR");
    let block = car.get(&frame.commit).expect("a commit").to_vec();
    let signed = SignedCommit::decode(block).expect("a commit");
    (signed, &keys[frame.repo])
}

fn verify(frames: &[&[u8]], keys: &Keys) {
    let limits = Limits::default();
    for bytes in frames {
        let frame = commit(black_box(bytes));
        let verified = verify_commit(&frame, &keys[frame.repo], FAR_FUTURE, &limits);
        black_box(verified).expect("a commit that holds");
    }
}
