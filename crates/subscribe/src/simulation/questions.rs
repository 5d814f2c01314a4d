//! What the engine asks the network, and how PDSs and the directory answer.

use atcomms_lexicon::Did;

use super::author::Status;
use super::directory::Owner;
use super::event::Event;
use super::faults::Fault;
use super::life::{Checked, Simulation};
use super::{MILLIS, SECONDS};
use crate::engine::{AccountStatus, KeyAnswer, Output};
use crate::intake::known_records;
use crate::snapshot::{FetchFailure, Snapshot};

/// How often PDSs are asked for latest revs, unless it is asked at once.
const SWEEP_EVERY: u64 = 600 * SECONDS;
/// States that a cache may be behind.
const BEHIND: usize = 4;

impl Simulation {
    /// Takes a question to whom it concerns.
    pub(super) fn ask(&mut self, question: Output) {
        let Some(process) = &mut self.process else {
            return;
        };
        let run = process.run;
        match question {
            Output::Resolve { did, fresh, after } => {
                let wait = u64::try_from(after.as_micros()).unwrap();
                let delay = wait + self.latency();
                self.after(delay, Event::Looked { run, did, fresh });
            }
            Output::Fetch { did } => {
                let delay = self.between(MILLIS, 100 * MILLIS);
                self.after(delay, Event::FetchTurn { run, did });
            }
            Output::AskStatus { did } => {
                let delay = self.latency();
                self.after(delay, Event::Asked { run, did });
            }
            Output::Sweep => {
                process.round += 1;
                let round = process.round;
                self.after(0, Event::Round { run, round });
            }
            other => panic!("it is no question: {other:?}"),
        }
    }

    /// How long a question is under way: mostly not for long.
    fn latency(&mut self) -> u64 {
        match self.dice.below(10) {
            0 => self.between(SECONDS, 4 * SECONDS),
            1..=3 => self.between(100 * MILLIS, SECONDS),
            _ => self.between(5 * MILLIS, 100 * MILLIS),
        }
    }

    /// An answer is there, or the next step of one.
    pub(super) async fn of_process(&mut self, event: Event) -> Checked {
        match event {
            Event::Connect { link, .. } => self.connect(link),
            Event::Looked { did, fresh, .. } => self.looked(&did, fresh),
            Event::FetchTurn { did, .. } => self.fetch_turn(did),
            Event::FetchRead { did, owner, run } => self.fetch_read(run, did, &owner),
            Event::Fetched { did, answer, .. } => return self.fetched(did, answer).await,
            Event::Asked { did, run } => self.asked(run, did),
            Event::Answered { did, status, .. } => {
                self.say(format_args!("{did} is {status:?}"));
                if let Some(process) = &mut self.process {
                    process.engine.status(&did, status, self.now);
                }
            }
            Event::Round { run, round } => self.round(run, round),
            Event::Swept { did, .. } => self.swept(&did),
            _ => {}
        }
        self.carried_out().await
    }

    fn resolve(&mut self, did: &Did, fresh: bool) -> Option<Owner> {
        let process = self.process.as_mut()?;
        let resolved = process.cache.resolve(&self.directory, did, fresh, self.now);
        let (owner, behind) = resolved?;
        if behind {
            self.fired(Fault::StaleKey);
        }
        Some(owner)
    }

    fn looked(&mut self, did: &Did, fresh: bool) {
        let answer = match self.resolve(did, fresh) {
            Some(owner) => KeyAnswer::Key(owner.key, "pds.example".into()),
            None => KeyAnswer::Unavailable("the directory is down".to_owned()),
        };
        self.say(format_args!(
            "the key of {did}: {}",
            matches!(answer, KeyAnswer::Key(..))
        ));
        if let Some(process) = &mut self.process {
            process.engine.resolved(did, answer, self.now);
        }
    }

    fn fetch_turn(&mut self, did: Did) {
        let owner = self.resolve(&did, false);
        let Some(process) = &mut self.process else {
            return;
        };
        let run = process.run;
        let Some(owner) = owner else {
            let failure = FetchFailure::ForNow("the directory is down".to_owned());
            process.engine.fetched(&did, Err(failure), self.now);
            return;
        };
        process.engine.fetching(&did, self.now);
        self.say(format_args!("fetching {did}"));
        let mut delay = self.between(5 * MILLIS, 200 * MILLIS);
        if self.fault(Fault::SlowFetch, 300) {
            delay = self.between(SECONDS, 45 * SECONDS);
        }
        let author = self.author(&did);
        if self.plan.allows(Fault::CommitDuringFetch) {
            for _ in 0..self.dice.below(4) {
                let at = self.between(0, 2 * delay);
                self.after(at, Event::Write(author));
            }
        }
        self.fetching.insert(did.clone(), run);
        self.after(delay, Event::FetchRead { run, did, owner });
    }

    /// The PDS makes the answer; it takes its time to come.
    fn fetch_read(&mut self, run: u32, did: Did, owner: &Owner) {
        let answer = self.served(&did, owner).map(Box::new);
        let mut delay = self.between(5 * MILLIS, 200 * MILLIS);
        if self.fault(Fault::SlowFetch, 300) {
            delay = self.between(SECONDS, 10 * SECONDS);
        }
        self.after(delay, Event::Fetched { run, did, answer });
    }

    fn served(&mut self, did: &Did, owner: &Owner) -> Result<Snapshot, FetchFailure> {
        let for_now = |why: &str| Err(FetchFailure::ForNow(why.to_owned()));
        if self.now < self.hosts[owner.pds].down_until {
            self.fired(Fault::FetchFails);
            return for_now("its PDS is down");
        }
        let author = self.author(did);
        if self.status(author, owner.pds) != Status::Active || self.fault(Fault::NotServed, 100) {
            self.fired(Fault::NotServed);
            return Err(FetchFailure::NotServed("its PDS says no".to_owned()));
        }
        let mut age = 1;
        if self.fault(Fault::StaleSnapshot, 300) {
            age += self.dice.index(BEHIND);
        }
        let states = &self.authors[author].states;
        let snapshot = states[states.len() - age.min(states.len())].clone();
        // What is signed with another key is asked for the key once more.
        let snapshot_key = format!("{:?}", snapshot.key);
        if format!("{:?}", owner.key) == snapshot_key {
            return Ok(snapshot);
        }
        match self.resolve(did, true) {
            Some(fresh) if format!("{:?}", fresh.key) == snapshot_key => Ok(snapshot),
            _ => for_now("what its PDS gives does not hold"),
        }
    }

    async fn fetched(&mut self, did: Did, answer: Result<Box<Snapshot>, FetchFailure>) -> Checked {
        self.fetching.remove(&did);
        let what = answer.as_ref().map(|snapshot| snapshot.head.rev);
        self.say(format_args!("fetched {did}: {what:?}"));
        let answer = match answer {
            Ok(snapshot) => {
                let author = self.author(&did);
                self.oracle.fetched.insert(author, snapshot.head.rev);
                let known = self.store.known(&self.consumer, &did).await.unwrap();
                Ok((*snapshot, known_records(known)))
            }
            Err(failure) => Err(failure),
        };
        if let Some(process) = &mut self.process {
            process.engine.fetched(&did, answer, self.now);
        }
        self.carried_out().await
    }

    fn asked(&mut self, run: u32, did: Did) {
        let author = self.author(&did);
        let status = match self.resolve(&did, true) {
            Some(owner) if self.now >= self.hosts[owner.pds].down_until => {
                match self.status(author, owner.pds) {
                    Status::Active => AccountStatus::Active,
                    Status::Deleted => AccountStatus::Deleted,
                    _ => AccountStatus::Inactive,
                }
            }
            _ => AccountStatus::Unknown,
        };
        let delay = self.latency();
        self.after(delay, Event::Answered { run, did, status });
    }

    /// How an account is at a PDS, which may be the one that it has left.
    fn status(&self, author: usize, pds: usize) -> Status {
        match &self.authors[author] {
            author if author.pds == pds => author.status,
            _ => Status::Deactivated,
        }
    }

    fn round(&mut self, run: u32, round: u32) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.round != round {
            return;
        }
        process.round += 1;
        let next = process.round;
        let mut followed = process.engine.followed();
        // They come in no order.
        followed.sort();
        for did in followed {
            let delay = self.latency();
            self.after(delay, Event::Swept { run, did });
        }
        self.after(SWEEP_EVERY, Event::Round { run, round: next });
    }

    fn swept(&mut self, did: &Did) {
        let Some(owner) = self.resolve(did, false) else {
            return;
        };
        let author = self.author(did);
        let is_down = self.now < self.hosts[owner.pds].down_until;
        if is_down || self.status(author, owner.pds) != Status::Active {
            return;
        }
        let rev = self.authors[author].repository.head().rev();
        if let Some(process) = &mut self.process {
            process.engine.swept(did, rev, self.now);
        }
    }
}
