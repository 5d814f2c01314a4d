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
mod dice;
mod directory;
mod faults;
mod host;
mod oracle;
mod process;
mod questions;
mod trace;
mod trouble;
mod world;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use atcomms_lexicon::Did;
use atcomms_store::{Consumer, Store};

use self::application::Application;
use self::author::Author;
use self::dice::Dice;
use self::directory::{Directory, Owner};
use self::faults::{Counts, Fault, Plan};
use self::host::{Host, Item};
use self::oracle::Oracle;
use self::process::Process;
use self::trace::Trace;
use crate::engine::AccountStatus;
use crate::scope::{Scope, Who};
use crate::snapshot::{FetchFailure, Snapshot};

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
/// Steps at one moment, after which it is no progress any more.
const STEPS_AT_ONCE: u32 = 10_000;

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
}

/// Something that comes at its time. What has a `run` is of one process, and nothing once that is dead.
#[derive(Debug)]
enum Event {
    Act,
    Write(usize),
    Trouble,
    Peace,
    Ingest {
        relay: usize,
        item: Arc<Item>,
    },
    Flush {
        relay: usize,
    },
    Start,
    Connect {
        run: u32,
        link: usize,
    },
    Pump {
        run: u32,
        link: usize,
        connection: u32,
    },
    Keep {
        run: u32,
    },
    Looked {
        run: u32,
        did: Did,
        fresh: bool,
    },
    FetchTurn {
        run: u32,
        did: Did,
    },
    FetchRead {
        run: u32,
        did: Did,
        owner: Owner,
    },
    Fetched {
        run: u32,
        did: Did,
        answer: Result<Box<Snapshot>, FetchFailure>,
    },
    Asked {
        run: u32,
        did: Did,
    },
    Answered {
        run: u32,
        did: Did,
        status: AccountStatus,
    },
    Round {
        run: u32,
        round: u32,
    },
    Swept {
        run: u32,
        did: Did,
    },
    Lease,
    LateAck {
        id: i64,
        token: i64,
    },
}

struct Due(u64, u64, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Simulation {
    now: u64,
    dice: Dice,
    trace: Trace,
    plan: Plan,
    faults: Counts,
    heap: BinaryHeap<Reverse<Due>>,
    scheduled: u64,
    authors: Vec<Author>,
    /// First the two PDSs, then the relays.
    hosts: Vec<Host>,
    directory: Directory,
    scope: Arc<Scope>,
    /// Whether everybody's messages are wanted, and nobody is followed.
    anyone: bool,
    /// Whether the subscription begins with what is live.
    live: bool,
    /// Which hosts are watched.
    sources: Vec<usize>,
    acts_left: u64,
    store: Store,
    consumer: Consumer,
    process: Option<Process>,
    runs: u32,
    lease_due: Option<u64>,
    application: Application,
    oracle: Oracle,
    /// Whose repository is being fetched.
    fetching: BTreeMap<Did, u32>,
    missed: BTreeMap<&'static str, u64>,
    resynced: u64,
    peace: bool,
}

type Checked = Result<(), String>;

impl Simulation {
    async fn new(seed: u64, print: bool) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::new(&mut dice);
        let store = Store::temporary().unwrap();
        let live = dice.chance(500);
        let anyone = dice.chance(200);
        let consumer = match live {
            true => store.live_consumer("simulated", 0).await.unwrap(),
            false => store.consumer("simulated", 0).await.unwrap(),
        };
        let mut hosts = Vec::new();
        for number in 0..2 {
            hosts.push(Host::new(format!("pds{number}"), 0, &mut dice));
        }
        for number in 0..dice.between(1, 2) {
            let lag = [5 * MILLIS, 100 * MILLIS, 2 * SECONDS, 7 * SECONDS][dice.index(4)];
            hosts.push(Host::new(format!("relay{number}"), lag, &mut dice));
        }
        let sources = (2..hosts.len()).collect();
        let mut simulation = Self {
            now: BEGIN,
            trace: Trace::new(print),
            plan,
            faults: Counts::default(),
            heap: BinaryHeap::new(),
            scheduled: 0,
            authors: Vec::new(),
            hosts,
            directory: Directory::default(),
            scope: Arc::new(Scope::new(Who::Anyone, Vec::new(), Vec::new())),
            anyone,
            live,
            sources,
            acts_left: 0,
            store,
            consumer,
            process: None,
            runs: 0,
            lease_due: None,
            application: Application::default(),
            oracle: Oracle::default(),
            fetching: BTreeMap::new(),
            missed: BTreeMap::new(),
            resynced: 0,
            peace: false,
            dice,
        };
        simulation.populate();
        simulation
    }

    /// Runs to the end, and checks all.
    async fn run(&mut self) -> Checked {
        let mut steps = 0;
        loop {
            let next = self.heap.peek().map(|Reverse(Due(at, ..))| *at);
            let wake = self
                .process
                .as_ref()
                .and_then(|process| process.engine.wake_at());
            let wake = wake.map(|at| at.max(self.now));
            let at = next.into_iter().chain(wake).min();
            let Some(at) = at.filter(|at| *at <= self.oracle.end) else {
                break;
            };
            steps = if at == self.now { steps + 1 } else { 0 };
            if steps > STEPS_AT_ONCE {
                return Err(
                    "the engine spins: it wants to be woken, and has nothing to do".to_owned(),
                );
            }
            self.now = at;
            if wake == Some(at) {
                self.keep_if_unkept().await?;
                self.tick().await?;
            } else if let Some(Reverse(Due(_, _, event))) = self.heap.pop() {
                self.happens(event).await?;
            }
        }
        self.check_durable().await?;
        self.check_final().await
    }

    async fn happens(&mut self, event: Event) -> Checked {
        match event {
            Event::Act => self.act(),
            Event::Write(author) => self.write(author),
            Event::Trouble => self.trouble().await?,
            Event::Peace => self.make_peace(),
            Event::Ingest { relay, item } => self.ingest(relay, item),
            Event::Flush { relay } => self.flush(relay),
            Event::Start => self.start().await?,
            Event::Lease => self.lease().await?,
            Event::LateAck { id, token } => self.late_ack(id, token).await?,
            Event::Pump {
                run,
                link,
                connection,
            } if self.is_alive(run) => {
                self.pump(link, connection).await?;
            }
            event => {
                if let Some(run) = event.run().filter(|run| self.is_alive(*run)) {
                    // Only frames are taken in together; before anything else, what was gathered is stored.
                    self.keep_if_unkept().await?;
                    if self.is_alive(run) {
                        self.of_process(event).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn is_alive(&self, run: u32) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.run == run)
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.scheduled += 1;
        self.heap
            .push(Reverse(Due(self.now + delay, self.scheduled, event)));
    }

    fn between(&mut self, first: u64, last: u64) -> u64 {
        self.dice.between(first, last)
    }

    /// Whether a fault that is allowed happens now.
    fn fault(&mut self, fault: Fault, per_mille: u64) -> bool {
        let fires = self.plan.allows(fault) && self.dice.chance(per_mille);
        if fires {
            self.fired(fault);
        }
        fires
    }

    fn fired(&mut self, fault: Fault) {
        self.faults.fired(fault);
        self.say(format_args!("! {fault:?}"));
    }

    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.line(self.now - BEGIN, line);
    }

    fn author(&self, did: &Did) -> usize {
        let author = self.authors.iter().position(|author| author.did == *did);
        author.expect("the engine asks only about repositories that there are")
    }
}

impl Event {
    /// The process that it is of.
    fn run(&self) -> Option<u32> {
        match self {
            Event::Connect { run, .. }
            | Event::Pump { run, .. }
            | Event::Keep { run }
            | Event::Looked { run, .. }
            | Event::FetchTurn { run, .. }
            | Event::FetchRead { run, .. }
            | Event::Fetched { run, .. }
            | Event::Asked { run, .. }
            | Event::Answered { run, .. }
            | Event::Round { run, .. }
            | Event::Swept { run, .. } => Some(*run),
            _ => None,
        }
    }
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
        assert!(self.resynced > 0, "nothing was delivered out of a resync");
    }
}
