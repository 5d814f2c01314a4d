//! The subscriber in a world that goes wrong, by a seed: in memory and in virtual time, so that a run of minutes
//! takes milliseconds, and the same seed gives the same run.
//!
//! The engine, what is gathered and the store are the real ones; what is around them (the driver's sockets and
//! questions, relays, PDSs, the directory, the application) are models that fail. The world knows what its authors
//! signed, and that is what the oracle compares with.
//!
//! `ATCOMMS_SEED=7` runs one seed and prints its trace; `ATCOMMS_SEEDS=50` says how many are run.

mod application;
mod author;
mod checks;
mod connection;
mod dice;
mod directory;
mod event;
mod faults;
mod host;
mod life;
mod oracle;
mod process;
mod questions;
mod trace;
mod trouble;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use self::faults::Counts;
use self::life::Simulation;

/// When each run begins, in microseconds since 1970: TIDs need a time of our days.
const BEGIN: u64 = 1_767_225_600_000_000;
const MILLIS: u64 = 1_000;
const SECONDS: u64 = 1_000_000;
/// How long all is left in peace: until the last wait of the engine and of the directory's cache (an hour) is over,
/// and what is due then has been done.
const PEACE: u64 = 9_000 * SECONDS;
/// Seeds that are run unless the environment says otherwise.
const SEEDS: u64 = 1_000;
/// Failures after which no more seeds are run.
const ENOUGH: u64 = 10;

/// Why a followed repository is fetched, other than at first sight.
const REASONS: [&str; 8] = [
    "a commit does not follow on the one before",
    "a commit is not signed by its author's key",
    "it changed while it was fetched",
    "it was fetched as it was before",
    "its PDS has a commit that the stream did not bring",
    "its account was said to be inactive",
    "its repository was set anew",
    "too many of its commits wait for its key",
];

/// What a run came to, if nothing was wrong.
#[derive(Debug, Default)]
struct Outcome {
    hash: u64,
    faults: Counts,
    /// Why repositories were fetched, and how often.
    missed: BTreeMap<&'static str, u64>,
    deliveries: u64,
    resynced: u64,
    /// Commits of which it was checked that they came exactly once.
    exactly_once: u64,
    /// Live events of which it was checked that what was missed before had come before.
    in_order: u64,
}

/// Runs one seed; what was wrong comes with the end of the trace.
fn run(seed: u64, print: bool) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut simulation = Simulation::new(seed, print).await;
        match simulation.run().await {
            Ok(()) => Ok(Outcome {
                hash: simulation.trace.hash(),
                deliveries: simulation.oracle.first.len() as u64,
                exactly_once: simulation.oracle.exactly_once,
                in_order: simulation.oracle.in_order,
                faults: simulation.faults,
                missed: simulation.missed,
                resynced: simulation.resynced,
            }),
            Err(why) => Err(format!(
                "{}ATCOMMS_SEED={seed}: {why}",
                simulation.trace.last()
            )),
        }
    })
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_thousand_seeds() {
    if let Some(seed) = from_environment("ATCOMMS_SEED") {
        let outcome = run(seed, true).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{outcome:?}");
        return;
    }
    let seeds = from_environment("ATCOMMS_SEEDS").unwrap_or(SEEDS);
    let (next, failures) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let work = || {
        let mut outcomes = Vec::new();
        while failures.load(Relaxed) < ENOUGH
            && let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds)
        {
            let outcome = std::panic::catch_unwind(|| run(seed, false));
            let outcome = outcome.unwrap_or_else(|_| Err(format!("ATCOMMS_SEED={seed}: a panic")));
            failures.fetch_add(u64::from(outcome.is_err()), Relaxed);
            outcomes.push((seed, outcome));
        }
        outcomes
    };
    let mut outcomes: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|outcomes| outcomes.unwrap()).collect()
    });
    outcomes.sort_by_key(|(seed, _)| *seed);
    let mut all = Outcome::default();
    let mut failed = Vec::new();
    for (_, outcome) in outcomes {
        match outcome {
            Ok(outcome) => all.add(&outcome),
            Err(failure) => failed.push(failure),
        }
    }
    println!("{all:?}");
    for failure in failed.iter().skip(1) {
        println!("{}", failure.lines().last().unwrap_or_default());
    }
    if let Some(first) = failed.first() {
        panic!("{first}\n{} of {seeds} seeds failed", failed.len());
    }
    if seeds >= SEEDS {
        all.assert_not_empty();
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3] {
        let (one, other) = (run(seed, false), run(seed, false));
        let hash = |outcome: Result<Outcome, String>| match outcome {
            Ok(outcome) => outcome.hash,
            Err(failure) => panic!("{failure}"),
        };
        assert_eq!(hash(one), hash(other), "seed {seed}");
    }
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.faults.add(&other.faults);
        for (why, count) in &other.missed {
            *self.missed.entry(why).or_default() += count;
        }
        self.deliveries += other.deliveries;
        self.resynced += other.resynced;
        self.exactly_once += other.exactly_once;
        self.in_order += other.in_order;
    }

    /// Nothing passes by finding nothing.
    fn assert_not_empty(&self) {
        for (fault, count) in self.faults.each() {
            assert!(count > 0, "{fault:?} never happened");
        }
        for why in REASONS {
            assert!(self.missed.contains_key(why), "never was it so that {why}");
        }
        assert!(self.exactly_once > 0, "nobody was left in peace");
        assert!(
            self.in_order > 0,
            "nothing was missed where fetches succeed"
        );
        assert!(self.resynced > 0, "nothing was delivered out of a resync");
    }
}
