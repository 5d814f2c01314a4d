//! The log of a firehose: frames by position, found by cursor.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use atcomms_repo::frame::peek;
use bytes::Bytes;
use tokio::sync::watch;

use super::FrameFile;
use crate::Faults;

/// Every frame that was ever emitted, in order. All of it is in memory; with a file, it is also on disk
/// before anyone sees it.
pub(crate) struct EventLog {
    inner: RwLock<Inner>,
    /// Those of its events; a log that others alter has none.
    faults: Option<Arc<Faults>>,
    length: watch::Sender<Position>,
}

/// An event as the log shows it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// Its number; a broken frame may have none.
    pub(crate) seq: Option<i64>,
    pub(crate) frame: Bytes,
}

/// Takes every event right when it is in the log, before whoever wrote it goes on. It must not wait, and
/// must not use the log that it takes from.
pub(crate) type Tap = Box<dyn Fn(&[Shown]) + Send + Sync>;

/// How many frames of the log lie before a reader.
pub(crate) type Position = usize;

struct Inner {
    events: Vec<Event>,
    file: Option<FrameFile>,
    last_seq: i64,
    tap: Option<Tap>,
}

struct Event {
    frame: Bytes,
    /// The frame's own sequence number; of a frame that has none, the highest one before it.
    seq: i64,
    numbered: bool,
    at: SystemTime,
    /// It is not shown any more.
    forgotten: bool,
}

impl Event {
    /// Whether a subscriber that has seen `cursor` is still to get this event. A frame without a number
    /// comes after the number before it.
    fn is_after(&self, cursor: i64) -> bool {
        !self.forgotten && (self.seq > cursor || (!self.numbered && self.seq == cursor))
    }

    fn shown(&self) -> Shown {
        Shown {
            seq: self.numbered.then_some(self.seq),
            frame: self.frame.clone(),
        }
    }
}

/// Where a subscription begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At this position.
    At(Position),
    /// At this position, which is not as far back as the cursor asked for.
    Outdated(Position),
    /// Nowhere: the cursor is ahead of the log.
    Future,
}

impl EventLog {
    /// A log with what was there before. New frames also go to `file`, as they are; what is shown of them may
    /// be altered by `faults`.
    pub(crate) fn new(
        frames: Vec<(Option<i64>, SystemTime, Bytes)>,
        file: Option<FrameFile>,
        faults: Option<Arc<Faults>>,
    ) -> Self {
        let mut inner = Inner {
            events: Vec::with_capacity(frames.len()),
            file,
            last_seq: 0,
            tap: None,
        };
        for (seq, at, frame) in frames {
            inner.push(seq, at, frame);
        }
        let (length, _) = watch::channel(inner.events.len());
        Self {
            inner: RwLock::new(inner),
            faults,
            length,
        }
    }

    /// Numbers, writes and shows a group of events, all or none of them. `encode` makes one frame of each
    /// from the number that it gets.
    pub(crate) fn append<E>(
        &self,
        now: SystemTime,
        events: &[E],
        mut encode: impl FnMut(&E, i64) -> Bytes,
    ) -> io::Result<()> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let first = inner.last_seq + 1;
        let frames: Vec<Bytes> = (first..)
            .zip(events)
            .map(|(seq, event)| encode(event, seq))
            .collect();
        if let Some(file) = &mut inner.file {
            file.append(&frames)?;
        }
        for (seq, frame) in (first..).zip(frames) {
            let seq = Some(seq);
            self.alter_and_show(&mut inner, now, Shown { seq, frame });
        }
        Ok(())
    }

    /// Shows a frame as it is, whatever number it has or lacks.
    pub(crate) fn push(&self, seq: Option<i64>, now: SystemTime, frame: Bytes) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        self.alter_and_show(&mut inner, now, Shown { seq, frame });
    }

    /// Shows a frame as it is, past the faults.
    pub(crate) fn inject(&self, seq: Option<i64>, now: SystemTime, frame: Bytes) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        self.show(&mut inner, now, &[Shown { seq, frame }]);
    }

    /// Hands what comes after `cursor` to the tap now, and all that is to come when it comes. A log has one
    /// tap.
    pub(crate) fn tap(&self, cursor: i64, tap: Tap) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let missed: Vec<Shown> = inner
            .events
            .iter()
            .filter(|event| event.is_after(cursor))
            .map(Event::shown)
            .collect();
        if !missed.is_empty() {
            tap(&missed);
        }
        inner.tap = Some(tap);
    }

    fn alter_and_show(&self, inner: &mut Inner, now: SystemTime, event: Shown) {
        let Some(faults) = &self.faults else {
            return self.show(inner, now, &[event]);
        };
        let seq = event.seq;
        let mut shown = Vec::with_capacity(1);
        faults.alter(event, &mut shown);
        self.show(inner, now, &shown);
        // It has its number also if it is not shown, or not yet.
        inner.last_seq = seq.map_or(inner.last_seq, |seq| seq.max(inner.last_seq));
    }

    fn show(&self, inner: &mut Inner, now: SystemTime, shown: &[Shown]) {
        for event in shown {
            inner.push(event.seq, now, event.frame.clone());
        }
        if let Some(tap) = inner.tap.as_ref().filter(|_| !shown.is_empty()) {
            tap(shown);
        }
        self.length.send_replace(inner.events.len());
    }

    /// Takes an account's events out, but for the last one: they are not shown any more, and leave gaps.
    pub(crate) fn forget_before_last(&self, did: &str) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let of_it = |event: &&mut Event| {
            let peek = peek(&event.frame);
            peek.is_ok_and(|peek| peek.did() == Some(did))
        };
        // Emptied, and not removed: subscribers are at positions of the log.
        for event in inner.events.iter_mut().rev().filter(of_it).skip(1) {
            event.frame = Bytes::new();
            event.forgotten = true;
        }
    }

    /// Where a subscription with this cursor begins; events older than `window` are no longer given.
    pub(crate) fn start(&self, cursor: Option<i64>, now: SystemTime, window: Duration) -> Start {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let Some(cursor) = cursor else {
            return Start::At(inner.events.len());
        };
        if cursor > inner.last_seq {
            return Start::Future;
        }
        let next = inner.events.iter().position(|event| event.is_after(cursor));
        let oldest = now.checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
        match next.and_then(|next| inner.events.get(next).map(|event| (next, event.at))) {
            None => Start::At(inner.events.len()),
            Some((next, at)) if at >= oldest => Start::At(next),
            Some(_) => {
                let first = inner.events.iter().position(|event| event.at >= oldest);
                Start::Outdated(first.unwrap_or(inner.events.len()))
            }
        }
    }

    /// Copies the next events for a subscriber with this cursor into `batch`, about `max_bytes` of them,
    /// and says where to go on. The frames themselves are shared, not copied.
    pub(crate) fn read(
        &self,
        from: Position,
        cursor: Option<i64>,
        max_bytes: usize,
        batch: &mut Vec<Shown>,
    ) -> Position {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let mut position = from;
        let mut bytes = 0;
        for event in inner.events.iter().skip(from) {
            if bytes >= max_bytes {
                break;
            }
            position += 1;
            if event.is_after(cursor.unwrap_or(i64::MIN)) {
                bytes += event.frame.len() + FRAME_OVERHEAD;
                batch.push(event.shown());
            }
        }
        position
    }

    /// The number of frames, and when it changes.
    pub(crate) fn length(&self) -> watch::Receiver<Position> {
        self.length.subscribe()
    }

    /// The number of the last event.
    pub(crate) fn last_seq(&self) -> i64 {
        self.inner
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .last_seq
    }
}

impl Inner {
    fn push(&mut self, seq: Option<i64>, at: SystemTime, frame: Bytes) {
        let highest = seq.map_or(self.last_seq, |seq| seq.max(self.last_seq));
        self.events.push(Event {
            frame,
            seq: seq.unwrap_or(self.last_seq),
            numbered: seq.is_some(),
            at,
            forgotten: false,
        });
        self.last_seq = highest;
    }
}

/// Bytes added to each frame when a batch is measured, so that a batch of empty frames ends too.
const FRAME_OVERHEAD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn log(seqs: &[Option<i64>]) -> EventLog {
        let at = SystemTime::now();
        let frames = seqs
            .iter()
            .enumerate()
            .map(|(index, seq)| (*seq, at, Bytes::from(vec![u8::try_from(index).unwrap()])))
            .collect();
        EventLog::new(frames, None, None)
    }

    fn served(log: &EventLog, cursor: Option<i64>) -> Vec<u8> {
        let Start::At(start) = log.start(cursor, SystemTime::now(), DAY) else {
            panic!("not served");
        };
        let mut batch = Vec::new();
        log.read(start, cursor, usize::MAX, &mut batch);
        batch.iter().map(|event| event.frame[0]).collect()
    }

    #[test]
    fn a_cursor_gets_what_is_numbered_higher_and_the_broken_frames_after_it() {
        let log = log(&[Some(1), None, Some(2), Some(4), Some(3), None, Some(5)]);
        assert_eq!(served(&log, Some(0)), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(served(&log, Some(1)), [1, 2, 3, 4, 5, 6]);
        assert_eq!(served(&log, Some(2)), [3, 4, 5, 6]);
        assert_eq!(served(&log, Some(3)), [3, 5, 6]);
        assert_eq!(served(&log, Some(4)), [5, 6]);
        assert!(served(&log, Some(5)).is_empty());
        assert!(served(&log, None).is_empty());
    }

    #[test]
    fn a_cursor_ahead_of_the_log_is_in_the_future_also_when_the_log_is_empty() {
        let now = SystemTime::now();
        assert_eq!(log(&[Some(7)]).start(Some(8), now, DAY), Start::Future);
        assert_eq!(log(&[]).start(Some(1), now, DAY), Start::Future);
        assert_eq!(log(&[]).start(Some(0), now, DAY), Start::At(0));
    }

    #[test]
    fn a_cursor_older_than_the_window_starts_at_the_window() {
        let now = SystemTime::now();
        let frame = Bytes::from_static(b"x");
        let log = EventLog::new(
            vec![
                (Some(1), now - 3 * DAY, frame.clone()),
                (Some(2), now - 2 * DAY, frame.clone()),
                (Some(3), now, frame),
            ],
            None,
            None,
        );
        assert_eq!(log.start(Some(0), now, DAY), Start::Outdated(2));
        assert_eq!(log.start(Some(1), now, DAY), Start::Outdated(2));
        assert_eq!(log.start(Some(2), now, DAY), Start::At(2));
        assert_eq!(log.start(Some(0), now, 9 * DAY), Start::At(0));
    }

    #[test]
    fn a_batch_is_bounded_and_goes_on_where_it_ended() {
        let log = log(&[Some(1), Some(2), Some(3)]);
        let mut batch = Vec::new();
        let position = log.read(0, Some(0), 20, &mut batch);
        assert_eq!((position, batch.len()), (2, 2));
        assert_eq!(log.read(position, Some(0), 20, &mut batch), 3);
        assert_eq!(batch.len(), 3);
    }
}
