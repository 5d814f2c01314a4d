//! Faults of a stream's events, and which event meets which.

use std::collections::VecDeque;

use atcomms_lexicon::Did;
use atcomms_repo::frame::{decode, peek};

use super::FaultCounts;
use super::forge::forge;
use crate::firehose::{Shown, encode_as};

/// What can go wrong with an event of a stream, queued by
/// [`Faults::inject_stream`](crate::Faults::inject_stream).
///
/// What is shown is wrong for everybody and in every replay, but only until a restart from a data folder:
/// there the log is what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamFault {
    /// The event is left out; its number is missing.
    Skip,
    /// The event comes twice, under one number; on a Jetstream, at two times.
    Duplicate,
    /// The event comes after the next one of another repository, under that one's number. Events of its own
    /// repository wait with it, so that their order stays.
    Reorder,
    /// Only the first half of the frame comes. On a Jetstream, that is nothing.
    Truncate,
    /// The frame lies. Fires on a `#commit` to which it can be done; others pass.
    Forge(Forgery),
}

/// What a frame lies about. On a Jetstream, which shows no more than records and DIDs, only the first and
/// the last can be seen as such; of the others the record comes as it is, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forgery {
    /// The first operation's record is another one, and the operation names that one's CID. The signature and
    /// every hash are right, and the signed tree knows nothing of it.
    Record,
    /// A byte of the first operation's record is another one, under the old CID.
    Block,
    /// The root of the tree is another node, under the old CID.
    Node,
    /// The root of the tree is another node, under that one's CID, so that every block is what its CID says,
    /// and the commit's tree is not there.
    DetachedNode,
    /// The commit is signed with a key that nobody has. All else is right.
    Signature,
    /// The frame says that the commit is of this account.
    Did(Did),
}

/// The faults that wait for an event, and the events that wait for another one.
#[derive(Debug, Default)]
pub(super) struct StreamQueue {
    waiting: VecDeque<Waiting>,
    held: Vec<Shown>,
    /// How many of the held ones are there by a fault, and not because of their repository's order.
    reordered: u64,
}

#[derive(Debug)]
struct Waiting {
    of: Option<Did>,
    fault: StreamFault,
    times: u64,
}

impl StreamQueue {
    pub(super) fn add(&mut self, of: Option<Did>, fault: StreamFault, times: u64) {
        if times > 0 {
            self.waiting.push_back(Waiting { of, fault, times });
        }
    }

    /// Forgets what waits for an event. An event that is held back is still to come.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Adds what is to be shown of an event to `out`.
    pub(super) fn alter(&mut self, event: Shown, counts: &mut FaultCounts, out: &mut Vec<Shown>) {
        if self.waiting.is_empty() && self.held.is_empty() {
            out.push(event);
            return;
        }
        if self.held.iter().any(|held| same_repository(held, &event)) {
            self.held.push(event);
            return;
        }
        let Some((fault, changed)) = self.take(&event) else {
            self.release_behind(event, counts, out);
            return;
        };
        match fault {
            StreamFault::Skip => counts.events_skipped += 1,
            StreamFault::Reorder => {
                self.reordered += 1;
                self.held.push(event);
            }
            StreamFault::Duplicate => {
                counts.events_duplicated += 1;
                out.push(event.clone());
                self.release_behind(event, counts, out);
            }
            StreamFault::Truncate => {
                counts.frames_truncated += 1;
                self.release_behind(changed, counts, out);
            }
            StreamFault::Forge(_) => {
                counts.frames_forged += 1;
                self.release_behind(changed, counts, out);
            }
        }
    }

    /// Shows an event, and behind it those that waited for it.
    fn release_behind(&mut self, event: Shown, counts: &mut FaultCounts, out: &mut Vec<Shown>) {
        counts.events_reordered += std::mem::take(&mut self.reordered);
        let waited = std::mem::take(&mut self.held);
        let mut numbers: Vec<Option<i64>> = waited.iter().map(|held| held.seq).collect();
        numbers.push(event.seq);
        let events = std::iter::once(event).chain(waited);
        out.extend(
            events
                .zip(numbers)
                .map(|(event, seq)| renumbered(event, seq)),
        );
    }

    /// The first fault that is for this event, and what it makes of it.
    fn take(&mut self, event: &Shown) -> Option<(StreamFault, Shown)> {
        let did = did_of(event);
        let (place, changed) = self
            .waiting
            .iter()
            .enumerate()
            .find_map(|(place, waiting)| {
                let of = waiting.of.as_ref().map(Did::as_str);
                if of.is_some() && of != did.as_deref() {
                    return None;
                }
                Some((place, change(&waiting.fault, event)?))
            })?;
        let waiting = self.waiting.get_mut(place)?;
        let fault = waiting.fault.clone();
        waiting.times -= 1;
        if waiting.times == 0 {
            self.waiting.remove(place);
        }
        Some((fault, changed))
    }
}

/// What a fault makes of an event; `None` if it cannot be done to it.
fn change(fault: &StreamFault, event: &Shown) -> Option<Shown> {
    let frame = match fault {
        StreamFault::Skip | StreamFault::Duplicate | StreamFault::Reorder => event.frame.clone(),
        StreamFault::Truncate => event.frame.slice(..event.frame.len() / 2),
        StreamFault::Forge(forgery) => forge(&event.frame, forgery)?,
    };
    Some(Shown {
        seq: event.seq,
        frame,
    })
}

/// An event under another number, if it is one that has one.
fn renumbered(event: Shown, seq: Option<i64>) -> Shown {
    if event.seq == seq {
        return event;
    }
    let frame = match (seq, decode(&event.frame)) {
        (Some(seq), Ok(frame)) => encode_as(&frame, seq),
        _ => event.frame,
    };
    Shown { seq, frame }
}

fn same_repository(one: &Shown, other: &Shown) -> bool {
    let did = did_of(one);
    did.is_some() && did == did_of(other)
}

fn did_of(event: &Shown) -> Option<String> {
    Some(peek(&event.frame).ok()?.did()?.to_owned())
}
