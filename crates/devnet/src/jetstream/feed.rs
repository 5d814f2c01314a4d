//! The log of a Jetstream: the relay's frames that have events, each under the time of its last event.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use atcomms_repo::frame::decode;
use tokio::sync::watch;

use super::event::{count, emitted_micros};
use crate::faults::Faults;
use crate::firehose::{EventLog, Shown, Stream, StreamLimits};
use crate::net::Tasks;

/// What a Jetstream is opened with.
pub(crate) struct Setup {
    pub(crate) relay: Arc<EventLog>,
    pub(crate) limits: StreamLimits,
    pub(crate) tasks: Tasks,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Opens a Jetstream over a relay's log, with what is in that already.
pub(crate) fn open(setup: Setup) -> Arc<Stream> {
    let faults = Arc::new(Faults::new());
    let stream = Arc::new(Stream {
        log: Arc::new(EventLog::new(Vec::new(), None, None)),
        limits: setup.limits,
        faults: faults.clone(),
        tasks: setup.tasks,
        stop: setup.stop,
    });
    let log = stream.log.clone();
    let last = Mutex::new(0);
    let take = move |events: &[Shown]| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut altered = Vec::with_capacity(events.len());
        for event in events {
            faults.alter(event.clone(), &mut altered);
        }
        for event in altered {
            if let Some(time) = time_of_last(&event.frame, *last) {
                *last = time;
                log.push(Some(time), SystemTime::now(), event.frame);
            }
        }
    };
    setup.relay.tap(BEFORE_ALL, Box::new(take));
    stream
}

/// The time of the last of a frame's events, each of which has a microsecond of its own after `before`;
/// `None` if it has no events.
fn time_of_last(frame: &[u8], before: i64) -> Option<i64> {
    let frame = decode(frame).ok()?;
    let events = i64::try_from(count(&frame))
        .ok()
        .filter(|count| *count > 0)?;
    let first = emitted_micros(&frame)?.max(before + 1);
    Some(first + events - 1)
}

/// Less than every number of a frame.
const BEFORE_ALL: i64 = -1;
