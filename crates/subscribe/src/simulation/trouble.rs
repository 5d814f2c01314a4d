//! What goes wrong on the way: at relays, at the directory, and with the process.

use std::sync::Arc;

use super::event::Event;
use super::faults::Fault;
use super::host::{Item, What};
use super::life::{Checked, Simulation};
use super::{MILLIS, SECONDS};

impl Simulation {
    /// Something arrives at a relay, which may do anything with it.
    pub(super) fn ingest(&mut self, relay: usize, item: Arc<Item>) {
        let author = item.author;
        if self.fault(Fault::Skip, 60) {
            self.authors[author].hidden = true;
            return;
        }
        if self.fault(Fault::Replace, 30)
            && let What::Commit { applied, .. } = &item.what
        {
            self.authors[author].hidden = true;
            let mut item = (*item).clone();
            let mut applied = applied.clone();
            // Another tree, for the operations are not those that were signed.
            applied.ops.clear();
            let genuine = false;
            item.what = What::Commit { applied, genuine };
            self.append(relay, Arc::new(item), false);
            return;
        }
        self.forge(relay, author);
        let cut = self.fault(Fault::Truncate, 30);
        if cut {
            self.authors[author].hidden = true;
            self.append(relay, item, true);
            return;
        }
        if let Some(kept) = self.hosts[relay].kept.take() {
            let changes_place = kept.author != author;
            if changes_place {
                self.fired(Fault::Reorder);
                self.append(relay, item, false);
                self.append(relay, kept, false);
                return;
            }
            self.append(relay, kept, false);
        } else if self.plan.allows(Fault::Reorder) && self.dice.chance(80) {
            self.hosts[relay].kept = Some(item);
            self.after(300 * MILLIS, Event::Flush { relay });
            return;
        }
        self.append(relay, item.clone(), false);
        if self.fault(Fault::Duplicate, 50) {
            self.append(relay, item, false);
        }
    }

    /// What was kept back goes on.
    pub(super) fn flush(&mut self, relay: usize) {
        if let Some(kept) = self.hosts[relay].kept.take() {
            self.append(relay, kept, false);
        }
    }

    /// A relay adds what its author never signed.
    fn forge(&mut self, relay: usize, author: usize) {
        let forgeries = [Fault::ForgeSignature, Fault::ForgeRecord, Fault::ForgeDid];
        if !forgeries.iter().any(|fault| self.plan.allows(*fault)) {
            return;
        }
        let genuine = false;
        let did = self.authors[author].did.clone();
        let mut applied = self.authors[author].forged(self.now, &mut self.dice);
        let forged = if self.fault(Fault::ForgeSignature, 30) {
            applied
        } else if self.fault(Fault::ForgeRecord, 30) {
            let last = applied.blocks.len() - 2;
            applied.blocks[last].bytes = vec![0xa0].into();
            applied
        } else if self.fault(Fault::ForgeDid, 30) {
            let other = self.dice.index(self.authors.len());
            let Some(Ok(mut other)) = (other != author).then(|| {
                let mut repository = self.authors[other].repository.clone();
                let rev = applied.commit.rev();
                repository.apply(&[], rev)
            }) else {
                return;
            };
            other.since = None;
            other
        } else {
            return;
        };
        let applied = Box::new(forged);
        let what = What::Commit { applied, genuine };
        self.append(relay, Arc::new(Item { author, did, what }), false);
    }

    /// Now and then, something larger goes wrong.
    pub(super) async fn trouble(&mut self) -> Checked {
        if self.peace {
            return Ok(());
        }
        let next = self.between(100 * MILLIS, 4 * SECONDS);
        self.after(next, Event::Trouble);
        let host = self.dice.index(self.hosts.len());
        let longest = if self.anyone { 20 } else { 70 };
        let until = self.now + self.between(100 * MILLIS, longest * SECONDS);
        if self.fault(Fault::Stall, 80) {
            self.hosts[host].stalled_until = until.min(self.now + 10 * SECONDS);
        }
        if self.fault(Fault::DirectoryDown, 60) {
            self.directory.down_until = until;
        }
        if self.plan.allows(Fault::StaleKey) && self.dice.chance(60) {
            self.directory.stale_until = until;
        }
        if self.plan.allows(Fault::FetchFails) && self.dice.chance(100) {
            self.hosts[host].down_until = until.min(self.now + 20 * SECONDS);
        }
        if self.fault(Fault::Outdated, 40) {
            let host = &mut self.hosts[host];
            host.first = host.log.len();
            for author in &mut self.authors {
                author.hidden = true;
            }
        }
        if self.process.is_some() && self.fault(Fault::Disconnect, 150) {
            let link = self.dice.index(self.sources.len());
            self.disconnect(link).await?;
        }
        if self.process.is_some() && self.fault(Fault::Kill, 100) {
            self.kill().await?;
        }
        Ok(())
    }
}
