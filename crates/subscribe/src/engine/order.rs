//! History comes in the stream's order, even if one author's key takes longer to look up than another's.
//!
//! A commit that is replayed takes a place in the queue when it arrives, and what it delivers waits for
//! its turn. Nobody waits for long: a place that is not filled in time is passed over, and what is live
//! goes past the queue (unless an earlier commit of its own repository is still in it).

use std::collections::VecDeque;

use super::Output;

/// A commit whose rev is older than this is history: it is read for what happened, not for when.
pub(super) const HISTORY_MICROS: u64 = 10_000_000;
/// How long the queue waits for one commit's key. A directory answers within a second, or is down.
const PATIENCE_MICROS: u64 = 2_000_000;
/// Places in the queue; beyond it the first is passed over: as much history as arrives during a look-up.
const MAX_PLACES: usize = 4096;

/// Bytes of the records in the queue; beyond it the first is passed over, too: what a stream of large records
/// brings in such a time would else be the bound.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// A commit's place in the queue.
pub(super) type Ticket = u64;

#[derive(Debug)]
struct Place {
    /// When it is passed over, in microseconds.
    until: u64,
    done: bool,
    outputs: Vec<Output>,
    /// Of their records.
    bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Order {
    /// The ticket of the first place.
    first: Ticket,
    places: VecDeque<Place>,
    /// Of all of them.
    bytes: usize,
    /// What is ready to go out.
    ready: VecDeque<Output>,
}

impl Order {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether this place is still in the queue.
    pub(super) fn waits(&self, ticket: Ticket) -> bool {
        ticket >= self.first
    }

    /// A place at the end of the queue.
    pub(super) fn take_place(&mut self, now: u64) -> Ticket {
        let until = now.saturating_add(PATIENCE_MICROS);
        self.places.push_back(Place {
            until,
            done: false,
            outputs: Vec::new(),
            bytes: 0,
        });
        let ticket = self.first + (self.places.len() as u64 - 1);
        while self.places.len() > MAX_PLACES {
            self.pass_first();
        }
        ticket
    }

    /// What a commit has for the subscriber; at once, if its place was passed over or it has none.
    pub(super) fn put(&mut self, ticket: Option<Ticket>, output: Output) {
        match ticket.and_then(|ticket| self.place(ticket)) {
            Some(place) => {
                let bytes = bytes(&output);
                place.bytes += bytes;
                place.outputs.push(output);
                self.bytes += bytes;
                while self.bytes > MAX_BYTES {
                    self.pass_first();
                }
            }
            None => self.ready.push_back(output),
        }
    }

    /// Says that nothing more comes for this place.
    pub(super) fn done(&mut self, ticket: Option<Ticket>) {
        if let Some(place) = ticket.and_then(|ticket| self.place(ticket)) {
            place.done = true;
            self.advance();
        }
    }

    /// Passes over places that were waited for long enough.
    pub(super) fn expire(&mut self, now: u64) {
        while self.places.front().is_some_and(|place| place.until <= now) {
            self.pass_first();
        }
    }

    /// When [`Order::expire`] has something to do, in microseconds.
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.places.front().map(|place| place.until)
    }

    /// Whether anything is ready.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is ready, in order.
    pub(super) fn pop(&mut self) -> Option<Output> {
        self.ready.pop_front()
    }

    fn place(&mut self, ticket: Ticket) -> Option<&mut Place> {
        let index = usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        self.places.get_mut(index)
    }

    fn pass_first(&mut self) {
        self.release_first();
        self.advance();
    }

    fn release_first(&mut self) {
        if let Some(place) = self.places.pop_front() {
            self.first += 1;
            self.bytes -= place.bytes;
            self.ready.extend(place.outputs);
        }
    }

    fn advance(&mut self) {
        while self.places.front().is_some_and(|place| place.done) {
            self.release_first();
        }
    }
}

/// How much of somebody's record is kept for this.
fn bytes(output: &Output) -> usize {
    match output {
        Output::Deliver(delivery) => delivery.bytes().map_or(0, |bytes| bytes.len()),
        Output::Undecodable(undecodable) => undecodable.bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use atcomms_lexicon::Tid;
    use atcomms_repo::frame::Action;

    use super::*;
    use crate::delivery::Undecodable;

    fn stop(source: usize) -> Output {
        Output::Stop {
            source,
            error: String::new(),
        }
    }

    fn ready(order: &mut Order) -> Vec<usize> {
        let next = || match order.pop() {
            Some(Output::Stop { source, .. }) => Some(source),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_is_done_later_comes_first_if_it_arrived_first() {
        let mut order = Order::default();
        let (one, two) = (order.take_place(0), order.take_place(0));
        order.put(Some(two), stop(2));
        order.done(Some(two));
        assert!(ready(&mut order).is_empty(), "the first is not done");
        order.put(None, stop(3));
        order.put(Some(one), stop(1));
        order.done(Some(one));
        assert_eq!(
            ready(&mut order),
            [3, 1, 2],
            "what has no place does not wait"
        );
        assert!(order.is_empty());
    }

    #[test]
    fn nobody_is_waited_for_beyond_the_patience() {
        let mut order = Order::default();
        let (slow, fast) = (order.take_place(0), order.take_place(10));
        order.put(Some(fast), stop(2));
        order.done(Some(fast));
        assert_eq!(order.wake_at(), Some(PATIENCE_MICROS));
        order.expire(PATIENCE_MICROS - 1);
        assert!(ready(&mut order).is_empty());
        order.expire(PATIENCE_MICROS);
        assert_eq!(ready(&mut order), [2]);
        assert!(!order.waits(slow));
        order.put(Some(slow), stop(1));
        order.done(Some(slow));
        assert_eq!(ready(&mut order), [1], "it comes when it can");
    }

    #[test]
    fn large_records_are_not_waited_for() {
        let mut order = Order::default();
        let slow = order.take_place(0);
        let undecodable = || {
            Output::Undecodable(Undecodable {
                uri: "at://did:web:a.example/a.b.c/d".parse().unwrap(),
                cid: None,
                action: Action::Create,
                rev: Tid::from_parts(1, 0),
                commit: None,
                author: "did:web:a.example".parse().unwrap(),
                reason: String::new(),
                bytes: vec![0; MAX_BYTES / 4].into(),
                source: "".into(),
                live: true,
                seq: 1,
            })
        };
        let mut out = 0;
        for _ in 0..100 {
            let ticket = order.take_place(0);
            order.put(Some(ticket), undecodable());
            order.done(Some(ticket));
            out += std::iter::from_fn(|| order.pop()).count();
            assert!(order.bytes <= MAX_BYTES);
        }
        assert!(!order.waits(slow), "the first was passed over");
        assert_eq!((out, order.bytes), (100, 0));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut order = Order::default();
        for place in 0..=MAX_PLACES {
            let ticket = order.take_place(0);
            order.put(Some(ticket), stop(place));
        }
        assert_eq!(order.places.len(), MAX_PLACES);
        assert_eq!(ready(&mut order), [0], "the first was passed over");
    }
}
