//! What happens without anybody's fault: authors write, and hosts pass it on.

use std::collections::HashSet;
use std::sync::Arc;

use super::author::{Author, Status};
use super::directory::Owner;
use super::event::Event;
use super::faults::Fault;
use super::host::{Item, What};
use super::life::Simulation;
use super::{BEGIN, MILLIS, PEACE, SECONDS};
use crate::scope::{Scope, Who};

/// Commits of a flood: some more than the engine holds of one repository.
const FLOOD: usize = 270;

impl Simulation {
    /// Makes the authors, and says what will come.
    pub(super) fn populate(&mut self) {
        for number in 0..usize::try_from(self.dice.between(2, 4)).unwrap() {
            let pds = self.dice.index(2);
            let (author, applied) = Author::new(number, pds, self.now, &mut self.dice);
            self.authors.push(author);
            self.publish(number);
            let genuine = true;
            let applied = Box::new(applied);
            self.emit(number, What::Commit { applied, genuine });
        }
        if !self.anyone {
            // The last one is a stranger.
            let followed = self.authors.iter().rev().skip(1);
            let followed: HashSet<_> = followed.map(|author| author.did.clone()).collect();
            self.scope = Arc::new(Scope::new(Who::Peers(followed), Vec::new(), Vec::new()));
        }
        self.acts_left = self.between(10, 60);
        let start = [0, 100 * MILLIS, 30 * SECONDS][self.dice.index(3)];
        self.after(start, Event::Start);
        self.after(0, Event::Act);
        self.after(start, Event::Trouble);
        self.oracle.end = u64::MAX;
    }

    /// Somebody writes, or something happens to an account.
    pub(super) fn act(&mut self) {
        let author = self.dice.index(self.authors.len());
        let status = self.authors[author].status;
        match status {
            Status::Active if self.fault(Fault::Rotate, 20) => self.rotate(author),
            Status::Active if self.fault(Fault::Migrate, 20) => self.migrate(author),
            Status::Active if self.fault(Fault::Reset, 25) => self.reset(author),
            Status::Active if self.fault(Fault::Deactivate, 30) => {
                self.becomes(author, Status::Deactivated);
            }
            Status::Active if self.fault(Fault::TakeDown, 30) => {
                self.becomes(author, Status::TakenDown);
            }
            Status::Active if self.fault(Fault::Delete, 10) => {
                self.becomes(author, Status::Deleted);
            }
            Status::Active if self.fault(Fault::Handle, 40) => self.emit(author, What::Identity),
            Status::Active if self.fault(Fault::Flood, 2) => self.flood(author),
            Status::Active => self.write(author),
            Status::Deactivated if self.dice.chance(300) => {
                self.fired(Fault::Activate);
                self.becomes(author, Status::Active);
            }
            Status::TakenDown if self.dice.chance(300) => {
                self.fired(Fault::Restore);
                self.becomes(author, Status::Active);
            }
            _ => {}
        }
        self.acts_left -= 1;
        if self.acts_left == 0 {
            self.after(3 * SECONDS, Event::Peace);
        } else {
            let pause = match self.dice.below(10) {
                0..=4 => self.between(0, 20 * MILLIS),
                5..=8 => self.between(50 * MILLIS, SECONDS),
                _ => self.between(SECONDS, 15 * SECONDS),
            };
            self.after(pause, Event::Act);
        }
    }

    pub(super) fn write(&mut self, author: usize) {
        if self.authors[author].status != Status::Active {
            return;
        }
        let is_fetched = self.fetching.contains_key(&self.authors[author].did);
        if is_fetched && self.fault(Fault::Reset, 100) {
            return self.reset(author);
        }
        let unreadable = self.fault(Fault::Unreadable, 100);
        let applied = self.authors[author].write(self.now, unreadable, &mut self.dice);
        if is_fetched {
            self.fired(Fault::CommitDuringFetch);
        }
        self.commit(author, Box::new(applied));
    }

    pub(super) fn commit(
        &mut self,
        author: usize,
        applied: Box<atcomms_repo::repository::Applied>,
    ) {
        let ops: Vec<_> = applied
            .ops
            .iter()
            .map(|op| format!("{} {}", op.action, op.path))
            .collect();
        self.say(format_args!(
            "{author} writes {}: {ops:?}",
            applied.commit.rev()
        ));
        let genuine = true;
        self.emit(author, What::Commit { applied, genuine });
    }

    fn rotate(&mut self, author: usize) {
        self.authors[author].rotate(&mut self.dice);
        self.authors[author].hidden = true;
        self.publish(author);
        let applied = Box::new(self.authors[author].apply(&[], self.now));
        let early = self.dice.chance(500);
        if early {
            self.emit(author, What::Identity);
        }
        self.commit(author, applied);
        if !early {
            self.emit(author, What::Identity);
        }
    }

    fn migrate(&mut self, author: usize) {
        if self.dice.chance(500) {
            self.emit(author, What::Account(Status::Deactivated));
        }
        self.authors[author].pds = 1 - self.authors[author].pds;
        self.authors[author].rotate(&mut self.dice);
        self.authors[author].hidden = true;
        self.authors[author].apply(&[], self.now);
        self.publish(author);
        self.emit(author, What::Account(Status::Active));
        self.emit(author, What::Identity);
        self.sync(author);
    }

    /// It writes more than is held for it, while nobody can look up its key.
    fn flood(&mut self, author: usize) {
        self.authors[author].hidden = true;
        self.authors[author].flooded = true;
        self.directory.down_until = self.now + 20 * SECONDS;
        self.emit(author, What::Identity);
        for _ in 0..FLOOD {
            let applied = Box::new(self.authors[author].write(self.now, false, &mut self.dice));
            let genuine = true;
            self.emit(author, What::Commit { applied, genuine });
        }
    }

    fn reset(&mut self, author: usize) {
        self.authors[author].reset(self.now, &mut self.dice);
        self.authors[author].hidden = true;
        self.sync(author);
    }

    fn sync(&mut self, author: usize) {
        let sync = What::sync(&self.authors[author].repository);
        let rev = self.authors[author].repository.head().rev();
        self.say(format_args!("{author} is at {rev}"));
        self.emit(author, sync);
    }

    pub(super) fn becomes(&mut self, author: usize, status: Status) {
        self.say(format_args!("{author} becomes {status:?}"));
        self.authors[author].status = status;
        self.authors[author].hidden = true;
        self.emit(author, What::Account(status));
        if status == Status::Active {
            self.sync(author);
        }
    }

    fn publish(&mut self, number: usize) {
        let author = &self.authors[number];
        let owner = Owner {
            key: author.repository.key().public(),
            pds: author.pds,
        };
        self.directory.publish(&author.did, owner);
    }

    /// An author's PDS tells something, and it is on its way to the relays.
    pub(super) fn emit(&mut self, author: usize, what: What) {
        let Author { did, pds, .. } = &self.authors[author];
        let (did, pds) = (did.clone(), *pds);
        let item = Arc::new(Item { author, did, what });
        self.append(pds, item.clone(), false);
        for relay in 2..self.hosts.len() {
            let jitter = self.between(0, 20 * MILLIS);
            let host = &mut self.hosts[relay];
            let at = host.arrival[pds].max(self.now + host.lag + jitter);
            host.arrival[pds] = at;
            let item = item.clone();
            self.after(at - self.now, Event::Ingest { relay, item });
        }
    }

    pub(super) fn append(&mut self, host: usize, item: Arc<Item>, cut: bool) {
        self.hosts[host].append(item, cut, &mut self.dice);
        self.wake_pumps(host);
    }

    /// Nothing goes wrong from now on.
    pub(super) fn make_peace(&mut self) {
        self.say(format_args!("peace"));
        self.plan.cease();
        self.peace = true;
        for author in 0..self.authors.len() {
            let status = self.authors[author].status;
            if matches!(status, Status::Deactivated | Status::TakenDown) && self.dice.chance(700) {
                self.becomes(author, Status::Active);
            }
        }
        self.directory.down_until = 0;
        self.directory.stale_until = 0;
        for host in 0..self.hosts.len() {
            self.hosts[host].down_until = 0;
            self.hosts[host].stalled_until = 0;
            self.wake_pumps(host);
        }
        for relay in 2..self.hosts.len() {
            self.flush(relay);
        }
        self.oracle.end = self.now + PEACE;
        debug_assert!(self.now > BEGIN);
    }
}
