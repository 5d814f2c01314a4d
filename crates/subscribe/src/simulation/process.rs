//! The process that takes in: what the driver does, with the world's hosts instead of sockets.

use std::collections::BTreeMap;
use std::sync::Arc;

use atcomms_lexicon::Did;
use atcomms_repo::verify::Head;
use atcomms_store::AccountChange;

use super::connection::Link;
use super::directory::Cache;
use super::event::Event;
use super::faults::Fault;
use super::life::{Checked, Simulation};
use super::{MILLIS, SECONDS};
use crate::admission::Admission;
use crate::counters::Counters;
use crate::engine::{Engine, Outcome, Output, Resyncs};

use crate::intake::{Gathered, standing};
use crate::trust::Trust;

/// How often the PDSs are asked for what the stream did not bring.
const SWEEP_EVERY: u64 = 600 * SECONDS;

#[derive(Debug)]
pub(super) struct Process {
    pub(super) run: u32,
    pub(super) engine: Engine,
    pub(super) gathered: Gathered,
    pub(super) links: Vec<Link>,
    pub(super) cache: Cache,
    pub(super) counters: Arc<Counters>,
    /// The newest round of questions for latest revs.
    pub(super) round: u32,
    pub(super) stored: BTreeMap<String, i64>,
    /// Frames were taken in since it was stored last.
    pub(super) unkept: bool,
}

impl Simulation {
    /// Begins, or goes on from what is stored.
    pub(super) async fn start(&mut self) -> Checked {
        if self.process.is_some() {
            return Ok(());
        }
        self.runs += 1;
        self.oracle.began.get_or_insert(self.now);
        let run = self.runs;
        let cursors = self.store.cursors(&self.consumer).await.unwrap();
        let heads = self.store.heads(&self.consumer, usize::MAX).await.unwrap();
        let paused = self.store.paused(&self.consumer).await.unwrap();
        let counters = Arc::new(Counters::new());
        let resyncs = Resyncs {
            allowed: true,
            begins_live: self.live.then_some(self.now),
            began_live: self
                .consumer
                .began_live
                .map(|at| u64::try_from(at).unwrap() * 1000),
        };
        let (scope, admission) = (self.scope.clone(), Admission::default());
        let trust = Trust::Verified;
        let mut engine = Engine::new(scope, admission, trust, resyncs, counters.clone());
        for host in &self.sources {
            engine.add_source(self.hosts[*host].name.clone(), None);
        }
        for (head, story) in heads {
            self.say(format_args!("  {} is {story:?} at {}", head.did, head.rev));
            let (rev, data) = (head.rev, head.data);
            engine.remember(&head.did, Head { rev, data }, standing(story));
        }
        for did in &paused {
            engine.remember_paused(did);
        }
        engine.begin(self.now);
        let mut links = Vec::new();
        for host in self.sources.clone() {
            let name = &self.hosts[host].name;
            let stored = cursors.iter().find(|(host, _)| **host == **name);
            links.push(Link {
                host,
                progress: stored.map(|(_, seq)| *seq),
                up: false,
                connection: 0,
                position: 0,
                pumping: false,
            });
            let delay = self.between(MILLIS, 100 * MILLIS);
            let link = links.len() - 1;
            self.after(delay, Event::Connect { run, link });
        }
        let sources = self.sources.clone();
        self.say(format_args!(
            "process {run} starts with {sources:?} from {cursors:?}"
        ));
        self.process = Some(Process {
            run,
            engine,
            gathered: Gathered::default(),
            links,
            cache: Cache::default(),
            counters,
            round: 0,
            stored: cursors.into_iter().collect(),
            unkept: false,
        });
        self.after(SWEEP_EVERY, Event::Round { run, round: 0 });
        self.lease_at(self.now);
        self.carried_out().await
    }

    /// The process dies: what is not stored is gone.
    pub(super) async fn kill(&mut self) -> Checked {
        if let Some(process) = self.process.take() {
            self.say(format_args!("process {} dies", process.run));
            self.count(&process);
        }
        self.fetching.clear();
        self.application.forget();
        self.check_durable().await?;
        if self.fault(Fault::OtherSources, 250) {
            for author in &mut self.authors {
                author.hidden = true;
            }
            let mut others: Vec<usize> = (0..self.hosts.len())
                .filter(|_| self.dice.chance(500))
                .collect();
            if !others.iter().any(|host| *host >= 2) {
                others.push(2);
            }
            self.sources = others;
        }
        let pause = self.between(100 * MILLIS, 10 * SECONDS);
        self.after(pause, Event::Start);
        Ok(())
    }

    pub(super) fn count(&mut self, process: &Process) {
        for (why, count) in process.counters.missed_by_reason() {
            *self.missed.entry(why).or_default() += count;
        }
    }

    pub(super) async fn tick(&mut self) -> Checked {
        if let Some(process) = &mut self.process {
            process.engine.tick(self.now);
        }
        self.carried_out().await
    }

    /// Does what the engine asks for, and stores it.
    pub(super) async fn carried_out(&mut self) -> Checked {
        self.carry_out();
        self.keep().await
    }

    pub(super) async fn keep_if_unkept(&mut self) -> Checked {
        match &self.process {
            Some(process) if process.unkept => self.keep().await,
            _ => Ok(()),
        }
    }

    /// Stores what was gathered, and how far the sources are taken in.
    pub(super) async fn keep(&mut self) -> Checked {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.unkept = false;
        let mut cursors = Vec::new();
        for (index, link) in process.links.iter().enumerate() {
            let first = process.engine.first_unsettled(index);
            let seq = first.map_or(link.progress, |first| first.checked_sub(1));
            let name = self.hosts[link.host].name.to_string();
            if let Some(seq) = seq
                && process.stored.get(&name).is_none_or(|at| *at < seq)
            {
                cursors.push((name, seq));
            }
        }
        if process.gathered.is_empty() && cursors.is_empty() {
            return Ok(());
        }
        if self.fault(Fault::KillBeforeStore, 4) {
            return Box::pin(self.kill()).await;
        }
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.stored.extend(cursors.iter().cloned());
        let intake = process.gathered.take(cursors);
        let wakes = intake
            .accounts
            .iter()
            .any(|(_, change)| *change == AccountChange::Resume);
        self.oracle.stored(&intake);
        let millis = i64::try_from(self.now / MILLIS).unwrap();
        let taken_in = self.store.take_in(&self.consumer, intake, millis).await;
        if taken_in.unwrap() > 0 || wakes {
            let pause = self.between(MILLIS, 50 * MILLIS);
            self.lease_at(self.now + pause);
        }
        if self.fault(Fault::KillAfterStore, 4) {
            return Box::pin(self.kill()).await;
        }
        Ok(())
    }

    pub(super) fn carry_out(&mut self) {
        while let Some(output) = self
            .process
            .as_mut()
            .and_then(|process| process.engine.poll())
        {
            let Some(process) = &mut self.process else {
                return;
            };
            match output {
                Output::Deliver(delivery) => {
                    if !delivery.live {
                        self.resynced += 1;
                    }
                    let line = format!(
                        "  {} {} {} live={}",
                        delivery.action, delivery.uri, delivery.rev, delivery.live
                    );
                    process.gathered.deliver(delivery);
                    self.say(format_args!("{line}"));
                }
                Output::Undecodable(undecodable) => process.gathered.undecodable(undecodable),
                Output::Settled { outcome, .. } => process.gathered.settled(outcome),
                Output::Resynced(verified) => {
                    process.gathered.settled(Outcome::Verified(verified));
                }
                Output::Broken { did } => process.gathered.broken(did),
                Output::Pause { did } => self.account(did, AccountChange::Pause),
                Output::Resume { did } => self.account(did, AccountChange::Resume),
                Output::Purge { did } => self.account(did, AccountChange::Purge),
                Output::Forget { did } => process.cache.forget(&did),
                Output::Stop { error, .. } => panic!("no host refuses us: {error}"),
                question => self.ask(question),
            }
        }
    }

    fn account(&mut self, did: Did, change: AccountChange) {
        self.say(format_args!("  {change:?} {did}"));
        if let Some(process) = &mut self.process {
            process.gathered.account(did, change);
        }
    }
}
