//! TIDs that only grow.

use atcomms_lexicon::Tid;

/// Makes TIDs that only grow, whatever the clock does. The time is passed in.
///
/// One clock serves everything that one process names; the clock id keeps two processes apart.
///
/// ```
/// use atcomms_repo::TidClock;
///
/// let mut clock = TidClock::new(7);
/// let first = clock.next(1_700_000_000_000_000);
/// let second = clock.next(1_600_000_000_000_000);
/// assert!(first < second, "although the clock was set back");
/// ```
#[derive(Debug, Clone)]
pub struct TidClock {
    clock_id: u16,
    last_micros: u64,
}

impl TidClock {
    /// A clock with an id, of which the low 10 bits count.
    #[must_use]
    pub fn new(clock_id: u16) -> Self {
        Self {
            clock_id,
            last_micros: 0,
        }
    }

    /// Makes every TID from now on greater than one that was made before, by whichever clock.
    pub fn advance_past(&mut self, tid: Tid) {
        self.last_micros = self.last_micros.max(tid.micros());
    }

    /// The next TID: of `now_micros` (microseconds since 1970), or one microsecond after the last.
    pub fn next(&mut self, now_micros: u64) -> Tid {
        self.last_micros = now_micros.max(self.last_micros.saturating_add(1));
        Tid::from_parts(self.last_micros, self.clock_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tids_grow_while_the_clock_stands_still_or_runs_back() {
        let mut clock = TidClock::new(1023);
        let mut last = Tid::from_parts(0, 0);
        for now in [5, 5, 5, 3, 0, 6, 7, 100, 50] {
            let tid = clock.next(now);
            assert!(tid > last, "{tid} after {last} at {now}");
            assert!(tid.micros() >= now);
            last = tid;
        }
        clock.advance_past(Tid::from_parts(1_000, 1023));
        assert_eq!(clock.next(0), Tid::from_parts(1_001, 1023));
    }
}
