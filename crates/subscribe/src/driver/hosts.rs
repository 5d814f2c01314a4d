//! The sources while they run: which are watched, which are connected, and what they bring.

use std::sync::Arc;
use std::time::Instant;

use super::Driver;
use crate::engine::SourceIndex;
use crate::homes::{Change, Homes};
use crate::source::progress::Progress;
use crate::source::{Source, SourceEvent};
use crate::subscription::StreamError;

/// A source as it is known while it runs.
pub(super) struct Host {
    pub(super) name: Arc<str>,
    pub(super) progress: Progress,
    pub(super) up: bool,
    /// It refused us for good.
    pub(super) refused: bool,
    /// Nobody who is followed is there any more.
    pub(super) left: bool,
    /// It was a file, which is read.
    pub(super) ended: bool,
}

impl Driver {
    /// Watches one more source.
    pub(super) fn join(&mut self, source: &Source) {
        let progress = Progress::new();
        let mut cursors = self.cursors.iter();
        if let Some((_, seq)) = cursors.find(|(host, _)| host == source.host()) {
            progress.set(*seq);
        }
        let name: Arc<str> = source.host().into();
        self.engine.add_source(name.clone(), source.own());
        let events = source.events(self.from, progress.clone(), &self.scope);
        self.lag.add(name.clone());
        self.hosts.push(Host {
            name,
            progress,
            up: false,
            refused: false,
            left: false,
            ended: false,
        });
        self.events.add(events);
    }

    /// Watches a source no longer: nobody who is followed is there.
    fn leave(&mut self, name: &str) {
        for host in &mut self.hosts {
            if *host.name == *name && !host.left {
                tracing::info!(host = %host.name, "nobody who is followed is here any more");
                host.progress.stop();
                host.left = true;
                if std::mem::replace(&mut host.up, false) {
                    self.engine.disconnected();
                }
            }
        }
    }

    /// Somebody who is followed was found, or has moved.
    pub(super) fn moved(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Join(source) => self.join(&source),
                Change::Leave(host) => self.leave(&host),
            }
        }
        self.wanted();
    }

    /// Says how many sources there are to be connected to.
    pub(super) fn wanted(&self) {
        let known = self.homes.as_ref().is_none_or(Homes::are_known);
        let watched = self.hosts.iter().filter(|host| !host.left).count();
        let wanted = if known { watched } else { usize::MAX };
        let up = self.hosts.iter().filter(|host| host.up).count();
        self.links.send_modify(|links| {
            links.wanted = wanted;
            links.up = up;
            links.ever |= up > 0;
        });
    }

    /// Takes in what a source brings.
    pub(super) fn source(&mut self, index: SourceIndex, event: SourceEvent, at: Instant, now: u64) {
        let Some(host) = self.hosts.get_mut(index) else {
            return;
        };
        match event {
            SourceEvent::Frame(bytes) => {
                self.counters.frame(at);
                self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
                if self.look {
                    self.look(index, &bytes, now);
                }
                let Some(host) = self.hosts.get_mut(index) else {
                    return;
                };
                if let Some(seq) = self.engine.frame(index, bytes, now) {
                    host.progress.set(seq);
                }
                return;
            }
            SourceEvent::Word(text) => {
                self.counters.frame(at);
                if let Some(time) = self.engine.word(index, &text, now) {
                    host.progress.set(time);
                }
                return;
            }
            SourceEvent::TooLarge => {
                tracing::warn!(host = %host.name, "a frame is too large to be read; going on behind it");
                self.counters.frame(at);
                self.counters.rejected("frame_too_large");
                if std::mem::replace(&mut host.up, false) {
                    self.engine.disconnected();
                }
            }
            // It ends with the next thing that comes.
            SourceEvent::Connected | SourceEvent::Disconnected(_) if host.left => return,
            SourceEvent::Connected => {
                tracing::info!(host = %host.name, "connected");
                if !std::mem::replace(&mut host.up, true) {
                    self.engine.connected(now);
                }
            }
            SourceEvent::Disconnected(why) => {
                tracing::warn!(host = %host.name, "not connected: {why}; trying again");
                if std::mem::replace(&mut host.up, false) {
                    self.engine.disconnected();
                }
            }
            SourceEvent::Ended(error) => {
                host.ended = true;
                if let Some(error) = error {
                    let file = host.name.to_string();
                    self.unread
                        .get_or_insert(StreamError::Unread { file, error });
                }
            }
        }
        self.wanted();
    }
}

/// What is to be done about the sources next; `None` if they do not change.
pub(super) async fn next_home(homes: &mut Option<Homes>) -> Option<Vec<Change>> {
    match homes {
        Some(homes) => Some(homes.next().await),
        None => None,
    }
}
