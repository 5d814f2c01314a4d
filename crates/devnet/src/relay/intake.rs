//! What comes in: events of the hosts, of which those that belong go into the relay's log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use atcomms_repo::frame::{Frame, decode};
use serde::{Deserialize, Serialize};

use super::seen::AllSeen;
use crate::firehose::{Shown, Stream, encode_as};
use crate::journal::Journal;
use crate::plc::{Directory, PDS_SERVICE};

/// A relay's state: its stream, its hosts, and what it has seen.
pub(crate) struct Intake {
    pub(crate) stream: Arc<Stream>,
    pub(super) plc: Arc<Directory>,
    inner: Mutex<Inner>,
}

/// What one event at a time is held against.
pub(super) struct Inner {
    pub(super) seen: AllSeen,
    pub(super) hosts: BTreeMap<String, Host>,
    journal: Journal<Line>,
    /// An event could not be written: what comes after it must not be, or it would never be fetched again.
    unwritable: bool,
}

/// A host whose stream comes in.
pub(super) struct Host {
    /// `http://NAME:PORT`.
    pub(super) url: String,
    /// The number of its last event that was taken.
    pub(super) seq: i64,
    pub(super) connected: bool,
}

/// A line of `hosts.jsonl`: how far a host's stream was taken. The last one of a host counts.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) host: String,
    pub(super) seq: i64,
}

impl Intake {
    pub(super) fn new(
        stream: Arc<Stream>,
        plc: Arc<Directory>,
        seen: AllSeen,
        journal: Journal<Line>,
    ) -> Self {
        Self {
            stream,
            plc,
            inner: Mutex::new(Inner {
                seen,
                hosts: BTreeMap::new(),
                journal,
                unwritable: false,
            }),
        }
    }

    pub(super) fn add_host(&self, name: &str, host: Host) {
        self.lock().hosts.insert(name.to_owned(), host);
    }

    /// The number of the last event that was taken of a host.
    pub(super) fn host_seq(&self, name: &str) -> i64 {
        self.lock().hosts.get(name).map_or(0, |host| host.seq)
    }

    pub(super) fn set_connected(&self, name: &str, connected: bool) {
        if let Some(host) = self.lock().hosts.get_mut(name) {
            host.connected = connected;
        }
    }

    /// The host counts anew: what is taken of it next may have any number.
    pub(super) fn forget_host_seq(&self, name: &str) {
        if let Some(host) = self.lock().hosts.get_mut(name) {
            host.seq = 0;
        }
    }

    /// Takes the next events of a host, and puts those that belong into the log.
    pub(super) fn take(&self, name: &str, events: &[Shown]) {
        let mut inner = self.lock();
        if inner.unwritable {
            return;
        }
        let Inner {
            seen,
            hosts,
            journal,
            ..
        } = &mut *inner;
        let Some(before) = hosts.get(name).map(|host| host.seq) else {
            return;
        };
        let mut passed = Vec::with_capacity(events.len());
        for event in events {
            let Ok(mut frame) = decode(&event.frame) else {
                tracing::warn!(host = name, seq = event.seq, "left out an unreadable frame");
                continue;
            };
            if self.belongs(name, hosts, &mut frame) && !is_stale(seen, &frame) {
                seen.note(&frame);
                passed.push(frame);
            }
        }
        let last = events.iter().filter_map(|event| event.seq).max();
        let last = last.map_or(before, |last| last.max(before));
        let log = &self.stream.log;
        let written = log
            .append(SystemTime::now(), &passed, encode_as)
            .and_then(|()| {
                journal.append(&Line {
                    host: name.to_owned(),
                    seq: last,
                })
            });
        if let Some(host) = hosts.get_mut(name) {
            host.seq = last;
        }
        if let Err(error) = written {
            inner.unwritable = true;
            tracing::error!(%error, "the relay takes no more events: its data folder cannot be written; start the devnet again");
        }
    }

    /// Whether this host has a say in what the frame tells. What is known of nobody's document is passed on:
    /// a host from outside may have a directory of its own.
    fn belongs(&self, name: &str, hosts: &BTreeMap<String, Host>, frame: &mut Frame<'_>) -> bool {
        let did = match frame {
            Frame::Commit(commit) => commit.repo,
            Frame::Sync(sync) => sync.did,
            Frame::Account(account) => account.did,
            Frame::Identity(identity) => identity.did,
            _ => return false,
        };
        let home = self.plc.service(did, PDS_SERVICE);
        let here = hosts.get(name).map(|host| host.url.as_str());
        let elsewhere = home.is_some_and(|home| {
            here != Some(home.as_str()) && hosts.values().any(|other| other.url == home)
        });
        match frame {
            Frame::Identity(identity) if elsewhere => {
                identity.handle = None;
                true
            }
            _ => !elsewhere,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_stale(seen: &AllSeen, frame: &Frame<'_>) -> bool {
    matches!(frame, Frame::Commit(commit) if seen.is_stale(commit))
}
