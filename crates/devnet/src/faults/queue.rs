//! Faults that wait for their request, and how often each fired.

use std::collections::{HashMap, VecDeque};

use super::stream_fault::StreamQueue;
use super::{Fault, FaultCounts};

/// What is queued for each method, and what fired.
#[derive(Debug, Default)]
pub(super) struct Queue {
    by_method: HashMap<String, VecDeque<(Fault, u64)>>,
    /// Requests with a good access token that are still to be refused.
    pub(super) tokens_to_refuse: u64,
    /// What waits for events of the stream.
    pub(super) stream: StreamQueue,
    /// Subscriptions with a cursor that are still to be told that it is too old.
    pub(super) cursors_to_outdate: u64,
    pub(super) counts: FaultCounts,
    /// How often the queue was cleared: what was taken before that does not come back.
    clears: u64,
}

/// A fault that a request took, and that has not fired yet.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) fault: Fault,
    clears: u64,
}

impl Queue {
    pub(super) fn add(&mut self, method: &str, fault: Fault, times: u64) {
        if times > 0 {
            let queued = self.by_method.entry(method.to_owned()).or_default();
            queued.push_back((fault, times));
        }
    }

    /// Takes the next fault of a method.
    pub(super) fn take(&mut self, method: &str) -> Option<Taken> {
        let queued = self.by_method.get_mut(method)?;
        let (fault, times) = queued.front_mut()?;
        let fault = fault.clone();
        *times -= 1;
        if *times == 0 {
            queued.pop_front();
        }
        Some(Taken {
            fault,
            clears: self.clears,
        })
    }

    /// Puts back a fault whose request went away before it fired: the next one meets it.
    pub(super) fn put_back(&mut self, method: &str, taken: Taken) {
        if taken.clears == self.clears {
            let queued = self.by_method.entry(method.to_owned()).or_default();
            queued.push_front((taken.fault, 1));
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_method.clear();
        self.tokens_to_refuse = 0;
        self.stream.clear();
        self.cursors_to_outdate = 0;
        self.clears += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_taken_in_order_come_back_in_front_and_are_forgotten_when_cleared() {
        let mut queue = Queue::default();
        queue.add("one", Fault::AnswerLost, 2);
        queue.add("one", Fault::RequestLost, 1);
        queue.add("one", Fault::ExpiredToken, 0);
        assert!(queue.take("other").is_none());
        assert_eq!(queue.take("one").unwrap().fault, Fault::AnswerLost);
        let second = queue.take("one").unwrap();
        assert_eq!(second.fault, Fault::AnswerLost);
        queue.put_back("one", second);
        assert_eq!(queue.take("one").unwrap().fault, Fault::AnswerLost);
        let last = queue.take("one").unwrap();
        assert_eq!(last.fault, Fault::RequestLost);
        assert!(queue.take("one").is_none());
        queue.clear();
        queue.put_back("one", last);
        assert!(queue.take("one").is_none());
    }
}
