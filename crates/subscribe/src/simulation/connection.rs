//! What the process sees of a host: connections that end, and frames one after the other.

use super::event::Event;
use super::host::outdated;
use super::life::{Checked, Simulation};
use super::{MILLIS, SECONDS};

/// How far a reconnect goes back: as the firehose does.
const REWIND: i64 = 32;

/// One host as it is watched.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) host: usize,
    pub(super) progress: Option<i64>,
    pub(super) up: bool,
    /// Which connection it is: what is still on its way over an earlier one is lost.
    pub(super) connection: u32,
    /// The next event of the host's log.
    pub(super) position: usize,
    pub(super) pumping: bool,
}

impl Simulation {
    pub(super) fn connect(&mut self, link: usize) {
        let Some(process) = &mut self.process else {
            return;
        };
        let link_index = link;
        let link = &mut process.links[link];
        let host = &self.hosts[link.host];
        let cursor = match link.progress {
            Some(seq) => Some((seq - REWIND).max(0)),
            None if self.live => None,
            None => Some(0),
        };
        let (position, gone) = host.begin(cursor);
        link.up = true;
        link.connection += 1;
        link.position = position;
        link.pumping = false;
        process.engine.connected(self.now);
        if gone {
            process.engine.frame(link_index, outdated(), self.now);
        }
        let host = link.host;
        let name = self.hosts[host].name.clone();
        self.say(format_args!("connected to {name} from {cursor:?}"));
        self.wake_pumps(host);
    }

    /// The connection ends, and comes back after a while.
    pub(super) async fn disconnect(&mut self, link: usize) -> Checked {
        self.keep_if_unkept().await?;
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let run = process.run;
        let known = &mut process.links[link];
        if !std::mem::replace(&mut known.up, false) {
            return Ok(());
        }
        process.engine.disconnected();
        let pause = self.between(200 * MILLIS, 5 * SECONDS);
        self.after(pause, Event::Connect { run, link });
        self.carried_out().await
    }

    /// Frames come again from this host.
    pub(super) fn wake_pumps(&mut self, host: usize) {
        let Some(process) = &mut self.process else {
            return;
        };
        let (run, mut waking) = (process.run, Vec::new());
        for (index, link) in process.links.iter_mut().enumerate() {
            let more = link.position < self.hosts[host].log.len();
            if link.host == host && link.up && more && !std::mem::replace(&mut link.pumping, true) {
                waking.push((index, link.connection));
            }
        }
        for (link, connection) in waking {
            let delay = self.between(MILLIS, 30 * MILLIS);
            self.after(
                delay,
                Event::Pump {
                    run,
                    link,
                    connection,
                },
            );
        }
    }

    /// The next frame of a connection.
    pub(super) async fn pump(&mut self, link: usize, connection: u32) -> Checked {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let run = process.run;
        let index = link;
        let link = &mut process.links[link];
        if !link.up || link.connection != connection {
            return Ok(());
        }
        let (host, position) = (link.host, link.position);
        let stalled = self.hosts[host].stalled_until;
        let again = Event::Pump {
            run,
            link: index,
            connection,
        };
        if self.now < stalled {
            self.after(stalled - self.now, again);
            return Ok(());
        }
        let Some(entry) = self.hosts[host].log.get(position).cloned() else {
            link.pumping = false;
            return Ok(());
        };
        link.position += 1;
        let mut bytes = entry.item.frame(entry.seq);
        if entry.cut {
            let kept = self.dice.index(bytes.len());
            bytes.truncate(kept);
        }
        let seq = process.engine.frame(index, bytes, self.now);
        link.progress = link.progress.max(seq);
        process.unkept = true;
        let is_new = process
            .stored
            .get(&*self.hosts[host].name)
            .is_none_or(|at| *at < entry.seq);
        if !entry.cut && is_new {
            self.oracle.sent(host, &entry);
        }
        let name = self.hosts[host].name.clone();
        let what = entry.item.told();
        self.say(format_args!(
            "{name} {}: {} {what}",
            entry.seq, entry.item.author
        ));
        let pause = self.between(0, 2 * MILLIS);
        self.after(pause, again);
        self.carry_out();
        // The driver stores when nothing more is there to be taken in with it.
        let full = self
            .process
            .as_ref()
            .is_some_and(|process| process.gathered.is_full(u64::MAX));
        if full || self.dice.chance(400) {
            self.keep().await?;
        } else {
            self.after(5 * MILLIS, Event::Keep { run });
        }
        Ok(())
    }
}
