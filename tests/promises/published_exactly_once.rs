//! P1: what `publish` accepted is in the repository exactly once, however often it is retried and wherever
//! the process dies. With a key of the caller's (`once`), that holds across the caller's own retries too.
//!
//! Each run is a caller with a random script, whose processes die at random points, on a PDS that fails
//! in random ways, sometimes with another process beside it that uses the same store; then its repository and its event log are held against the script. A run that fails
//! can be run alone: `ATCOMMS_SEED=N cargo test --test promises published_exactly_once`.

mod death;
mod dice;
mod killed;
mod ledger;
mod life;
mod repository;
mod script;
mod trouble;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use atcomms::Store;
use atcomms::store::CrashPlan;
use atcomms_devnet::{Account, Devnet, Pds};
use futures::future::join_all;

use self::death::{Death, POINTS, Tally};
use self::dice::Dice;
use self::ledger::Ledger;
use self::life::Life;
use self::repository::Reader;
use self::script::Script;
use self::trouble::fired;

/// How many runs there are; `ATCOMMS_SEEDS` says otherwise.
const SEEDS: u64 = 1_000;

/// From so many runs on, it would be strange if a fault or a point had not had its turn.
const ENOUGH: u64 = 500;

/// Runs at once, each with a PDS of its own: they wait most of the time.
const AT_ONCE: usize = 64;

/// Longest time of one process: each answer that is lost in a row doubles its pause, up to a minute.
const PATIENCE: Duration = Duration::from_secs(240);

/// What all runs share.
struct Stage {
    devnet: Devnet,
    http: reqwest::Client,
    tally: Tally,
    /// The next seed, and the first that there is not.
    next: AtomicU64,
    end: u64,
    /// One run shows what it does.
    alone: bool,
    orderly: AtomicU64,
}

#[tokio::test(flavor = "multi_thread")]
async fn published_exactly_once() {
    let (first, count) = match number("ATCOMMS_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("ATCOMMS_SEEDS").unwrap_or(SEEDS)),
    };
    let slots = AT_ONCE.min(usize::try_from(count).unwrap_or(AT_ONCE));
    let devnet = Devnet::builder().pds(slots).start().await;
    let stage = Arc::new(Stage {
        devnet: devnet.expect("a devnet"),
        http: atcomms_reference_pds::http_client(),
        tally: Tally::default(),
        next: AtomicU64::new(first),
        end: first + count,
        alone: count == 1,
        orderly: AtomicU64::new(0),
    });
    let workers = (0..slots).map(|slot| tokio::spawn(work(stage.clone(), slot)));
    let failed: Vec<String> = join_all(workers)
        .await
        .into_iter()
        .flat_map(|failed| failed.expect("a worker ends"))
        .collect();
    report(&stage, count);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    if count >= ENOUGH {
        check_that_all_happened(&stage);
    }
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Runs one seed after the other; gives what failed.
async fn work(stage: Arc<Stage>, slot: usize) -> Vec<String> {
    let pds = &stage.devnet.pds()[slot];
    let mut failed = Vec::new();
    loop {
        let seed = stage.next.fetch_add(1, Ordering::Relaxed);
        if seed >= stage.end {
            return failed;
        }
        if let Err(error) = run(&stage, pds, seed).await {
            failed.push(format!("ATCOMMS_SEED={seed}: {error:#}"));
            // The faults that it left, and a PDS that may be stuck, would spoil the next one.
            pds.faults().clear();
        }
    }
}

async fn run(stage: &Stage, pds: &Pds, seed: u64) -> Result<()> {
    let mut dice = Dice::new(seed);
    let script = Script::random(&mut dice);
    let deaths: Vec<Death> = (0..1 + dice.below(5))
        .map(|_| Death::random(&mut dice))
        .collect();
    if stage.alone {
        println!("{script:?}\n{deaths:?}");
    }
    let after = pds.last_seq();
    let account = pds.create_account(&format!("seed-{seed}")).await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.sqlite3");
    let mut ledger = Ledger::new(account.did.clone());
    let companion = async {
        if dice.one_in(5) {
            life::beside(&path, &account).await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        lived = live_through(stage, pds, &account, &path, deaths, &script, &mut ledger) => lived?,
        ended = companion => return ended,
    }
    // What nobody needs any more is swept when it is opened.
    let store = Store::open(&path)?;
    let files_left = std::fs::read_dir(store.blobs().path())?.count();
    let reader = Reader {
        http: stage.http.clone(),
        pds: pds.url().to_owned(),
        ws: pds.ws_url().to_owned(),
        plc: stage.devnet.plc_url().to_owned(),
    };
    let orderly = u64::from(script.is_orderly());
    stage.orderly.fetch_add(orderly, Ordering::Relaxed);
    verdict::check(&script, &ledger, &reader, after, files_left).await
}

/// One process after the other, until one has done everything.
async fn live_through(
    stage: &Stage,
    pds: &Pds,
    account: &Account,
    path: &Path,
    deaths: Vec<Death>,
    script: &Script,
    ledger: &mut Ledger,
) -> Result<()> {
    for death in deaths.into_iter().map(Some).chain([None]) {
        let plan = death.map(|death| death.plan(&stage.tally));
        let store = match &plan {
            Some(plan) => Store::open_to_crash(path, plan.clone())?,
            None => Store::open(path)?,
        };
        let life = async {
            let mut life = Life::begin(script, ledger, account, pds.faults(), store).await?;
            life.live().await
        };
        tokio::select! {
            biased;
            () = died(plan.as_ref()) => {}
            lived = life => return lived,
            () = tokio::time::sleep(PATIENCE) => return Err(unfinished(path).await),
        }
    }
    anyhow::bail!("the last one cannot die")
}

/// What still waits after a time in which everything should be done.
async fn unfinished(path: &Path) -> anyhow::Error {
    let entries = async { anyhow::Ok(Store::open(path)?.entries(None, false).await?) };
    match entries.await {
        Ok(entries) => {
            let waiting = entries.iter().map(|entry| {
                let (action, state) = (entry.action.as_str(), entry.state.as_str());
                format!("{action} {} {state} {:?}", entry.uri(), entry.reason)
            });
            let waiting: Vec<String> = waiting.collect();
            anyhow::anyhow!("it is not done after {PATIENCE:?}: {waiting:#?}")
        }
        Err(error) => error,
    }
}

/// Never, if no death is planned.
async fn died(plan: Option<&CrashPlan>) {
    match plan {
        Some(plan) => plan.died().await,
        None => std::future::pending().await,
    }
}

/// How often each kind of fault fired.
fn faults(stage: &Stage) -> BTreeMap<&'static str, u64> {
    let mut sum = BTreeMap::new();
    for pds in stage.devnet.pds() {
        for (kind, count) in fired(&pds.faults().counts()) {
            *sum.entry(kind).or_default() += count;
        }
    }
    sum
}

fn report(stage: &Stage, count: u64) {
    let orderly = stage.orderly.load(Ordering::Relaxed);
    println!("{count} runs, {orderly} of them with a strict order");
    for (kind, fired) in faults(stage) {
        println!("{fired:6} times {kind}");
    }
    for (point, counts) in stage.tally.counts() {
        println!(
            "{:6} deaths at {point}, reached {} times",
            counts.died, counts.reached
        );
    }
}

fn check_that_all_happened(stage: &Stage) {
    let faults = faults(stage);
    assert!(!faults.is_empty());
    for (kind, fired) in faults {
        assert!(fired > 0, "{kind} never happened");
    }
    let counts = stage.tally.counts();
    for point in POINTS {
        let died = counts.get(point).map_or(0, |count| count.died);
        assert!(died > 0, "nobody has died at {point}");
    }
    for point in counts.keys() {
        assert!(
            POINTS.contains(&point.as_str()),
            "{point} is a point that this test does not know"
        );
    }
    assert!(
        stage.orderly.load(Ordering::Relaxed) > 0,
        "no order was checked"
    );
}
