//! A durable consumer whose processes die, on a stream that several write to and that is cut: one run is
//! one seed, and what it did is held against what was written.

mod dice;
mod ledger;
mod life;
mod network;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) use self::dice::Dice;
pub(crate) use self::ledger::Ledger;
pub(crate) use self::life::{End, Life};
pub(crate) use self::network::Network;

/// Runs at once: they wait most of the time.
const AT_ONCE: usize = 48;

/// From so many runs on, it would be strange if something had not had its turn.
const ENOUGH: u64 = 200;

/// The longest time of one run: some processes, which wait for leases and connections.
const PATIENCE: Duration = Duration::from_secs(60);

/// Processes of a run that may die.
const MORTAL: usize = 4;

/// How often each thing happened in all runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

impl Tally {
    pub(crate) fn add(&self, what: &str, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what.to_owned()).or_default() += count;
    }

    pub(crate) fn count(&self, what: &str) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(what).copied().unwrap_or(0)
    }
}

/// Runs so many seeds, or the one of `ATCOMMS_SEED`, and asserts that each of `must` happened.
pub(crate) async fn runs(count: u64, points: &'static [&'static str], must: &[&str]) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, count) = match number("ATCOMMS_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("ATCOMMS_SEEDS").unwrap_or(count)),
    };
    println!("seeds {first} to {}", first + count - 1);
    let tally = Tally::default();
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for seed in first..first + count {
        let (tally, at_once) = (tally.clone(), at_once.clone());
        runs.spawn(async move {
            let _turn = at_once.acquire().await.expect("it is never closed");
            let ran = tokio::spawn(timeout(PATIENCE, run(seed, points, tally))).await;
            match ran {
                Ok(Ok(())) => None,
                Ok(Err(_)) => Some(format!("ATCOMMS_SEED={seed}: it does not end")),
                Err(error) => Some(format!("ATCOMMS_SEED={seed}: {error}")),
            }
        });
    }
    let failed: Vec<String> = runs.join_all().await.into_iter().flatten().collect();
    println!("{:#?}", tally.0);
    assert!(failed.is_empty(), "{failed:#?}");
    if count >= ENOUGH {
        for what in points.iter().chain(must) {
            assert!(tally.count(what) > 0, "{what} never happened");
        }
    }
}

async fn run(seed: u64, points: &'static [&'static str], tally: Tally) {
    let mut dice = Dice::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.sqlite3");
    let mut network = Network::new(&mut dice).await;
    let mut ledger = Ledger::new(&network);
    for _ in 0..MORTAL {
        let point = dice.pick(points);
        let plan = life::dies_at(point, dice.below(6) + 1);
        let life = Life::begin(&path, Some(plan), &network, &mut dice, &ledger, &tally).await;
        let end = match life {
            Some(life) => {
                let lived = life.live(&mut network, &mut ledger, &mut dice, &tally);
                lived.await
            }
            None => End::Died,
        };
        match end {
            End::Died => tally.add(point, 1),
            End::Killed => tally.add("killed", 1),
            End::ShutDown => tally.add("shut down", 1),
        }
    }
    let life = Life::begin(&path, None, &network, &mut dice, &ledger, &tally).await;
    let life = life.expect("it has no point to die at");
    life.finish(&mut network, &mut ledger, &mut dice, &tally)
        .await;
    ledger.judge(&path);
    if dice.one_in(4) {
        life::nothing_comes_again(&path, &network).await;
        tally.add("read again", 1);
    }
    tally.add("streams cut", network.streams_cut());
}
