//! Which commits are not settled yet: no cursor may pass them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::SourceIndex;

/// A commit's place: its source, and its sequence number there.
pub(super) type At = (SourceIndex, i64);

/// Counted, for after a reconnect a commit that waits for its key comes a second time: the first is still
/// not settled when nothing more is heard of the second.
#[derive(Debug, Default)]
pub(super) struct Unsettled(BTreeMap<At, u32>);

impl Unsettled {
    pub(super) fn add(&mut self, at: At) {
        *self.0.entry(at).or_default() += 1;
    }

    pub(super) fn remove(&mut self, at: At) {
        if let Entry::Occupied(mut count) = self.0.entry(at) {
            match count.get() {
                0 | 1 => drop(count.remove()),
                _ => *count.get_mut() -= 1,
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first of a source, by its sequence number.
    pub(super) fn first(&self, source: SourceIndex) -> Option<i64> {
        let mut of_source = self.0.range((source, i64::MIN)..=(source, i64::MAX));
        of_source.next().map(|((_, seq), _)| *seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_came_twice_is_settled_when_both_are() {
        let mut unsettled = Unsettled::default();
        for at in [(0, 7), (0, 9), (0, 7), (1, 3)] {
            unsettled.add(at);
        }
        unsettled.remove((0, 7));
        assert_eq!(unsettled.first(0), Some(7), "the other one still waits");
        unsettled.remove((0, 7));
        assert_eq!(unsettled.first(0), Some(9));
        unsettled.remove((0, 9));
        assert_eq!((unsettled.first(0), unsettled.first(1)), (None, Some(3)));
    }
}
