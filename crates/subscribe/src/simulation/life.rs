//! The world and the process in one: all that there is, and the loop that lets it happen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use atcomms_lexicon::Did;
use atcomms_store::{Consumer, Store};

use super::application::Application;
use super::author::Author;
use super::dice::Dice;
use super::directory::Directory;
use super::event::{Due, Event};
use super::faults::{Counts, Fault, Plan};
use super::host::Host;
use super::oracle::Oracle;
use super::process::Process;
use super::trace::Trace;
use super::{BEGIN, MILLIS, SECONDS};
use crate::scope::{Scope, Who};

/// Steps at one moment, after which it is no progress any more.
const STEPS_AT_ONCE: u32 = 10_000;

pub(super) struct Simulation {
    pub(super) now: u64,
    pub(super) dice: Dice,
    pub(super) trace: Trace,
    pub(super) plan: Plan,
    pub(super) faults: Counts,
    pub(super) heap: BinaryHeap<Reverse<Due>>,
    pub(super) scheduled: u64,
    pub(super) authors: Vec<Author>,
    /// First the two PDSs, then the relays.
    pub(super) hosts: Vec<Host>,
    pub(super) directory: Directory,
    pub(super) scope: Arc<Scope>,
    /// Whether everybody's messages are wanted, and nobody is followed.
    pub(super) anyone: bool,
    /// Whether the subscription begins with what is live.
    pub(super) live: bool,
    /// Which hosts are watched.
    pub(super) sources: Vec<usize>,
    pub(super) acts_left: u64,
    pub(super) store: Store,
    pub(super) consumer: Consumer,
    pub(super) process: Option<Process>,
    pub(super) runs: u32,
    pub(super) lease_due: Option<u64>,
    pub(super) application: Application,
    pub(super) oracle: Oracle,
    /// Whose repository is being fetched.
    pub(super) fetching: BTreeMap<Did, u32>,
    pub(super) missed: BTreeMap<&'static str, u64>,
    pub(super) resynced: u64,
    pub(super) peace: bool,
}

/// Whether all is well, or what is not.
pub(super) type Checked = Result<(), String>;

impl Simulation {
    pub(super) async fn new(seed: u64, print: bool) -> Self {
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
    pub(super) async fn run(&mut self) -> Checked {
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

    pub(super) async fn happens(&mut self, event: Event) -> Checked {
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

    pub(super) fn is_alive(&self, run: u32) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.run == run)
    }

    pub(super) fn after(&mut self, delay: u64, event: Event) {
        self.scheduled += 1;
        self.heap
            .push(Reverse(Due(self.now + delay, self.scheduled, event)));
    }

    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        self.dice.between(first, last)
    }

    /// Whether a fault that is allowed happens now.
    pub(super) fn fault(&mut self, fault: Fault, per_mille: u64) -> bool {
        let fires = self.plan.allows(fault) && self.dice.chance(per_mille);
        if fires {
            self.fired(fault);
        }
        fires
    }

    pub(super) fn fired(&mut self, fault: Fault) {
        self.faults.fired(fault);
        self.say(format_args!("! {fault:?}"));
    }

    pub(super) fn say(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.line(self.now - BEGIN, line);
    }

    pub(super) fn author(&self, did: &Did) -> usize {
        let author = self.authors.iter().position(|author| author.did == *did);
        author.expect("the engine asks only about repositories that there are")
    }
}
