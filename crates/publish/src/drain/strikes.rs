//! Entries that the PDS has trouble with: each is set aside for a while, so that others pass it.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::{millis, now};

/// The first pause of an entry; it doubles.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause after the PDS has failed on an entry.
const LONGEST: Duration = Duration::from_secs(300);

/// The longest pause of an entry whose answer was lost: that is rarely about the entry.
const LONGEST_UNANSWERED: Duration = Duration::from_secs(60);

/// So often the PDS may fail on an entry that is sent alone, while it writes others. With the pauses
/// between, about an hour.
const MAX_FAILURES: u32 = 16;

/// How often the attachments of one entry are uploaded again because the PDS has lost them.
const MAX_UPLOADS: u32 = 3;

/// What went wrong with which entry, by its number. Forgotten with the process: then it begins anew.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    entries: HashMap<i64, Strike>,
    /// How many requests the PDS has carried out.
    carried_out: u64,
}

#[derive(Debug, Default)]
struct Strike {
    unanswered: u32,
    failures: u32,
    uploads: u32,
    /// What had been carried out at the first failure.
    carried_out: u64,
}

impl Strikes {
    /// The PDS has failed on an entry: until when it is set aside (milliseconds since 1970).
    pub(super) fn failed(&mut self, id: i64) -> i64 {
        let carried_out = self.carried_out;
        let strike = self.entries.entry(id).or_default();
        if strike.failures == 0 {
            strike.carried_out = carried_out;
        }
        strike.failures = strike.failures.saturating_add(1);
        aside(strike.failures, LONGEST)
    }

    /// Nobody knows what the PDS did with an entry: until when it is set aside (milliseconds since
    /// 1970), where all wait for `pause`. Not after the first time, which may happen to any; then for
    /// longer than the others, so that they come first.
    pub(super) fn unanswered(&mut self, id: i64, pause: Duration) -> i64 {
        let strike = self.entries.entry(id).or_default();
        strike.unanswered = strike.unanswered.saturating_add(1);
        let others_first = now().saturating_add(millis(pause.saturating_add(FIRST)));
        match strike.unanswered {
            1 => 0,
            times => aside(times - 1, LONGEST_UNANSWERED).max(others_first),
        }
    }

    /// The PDS has lost the attachments of an entry: whether they are uploaded again.
    pub(super) fn may_upload_again(&mut self, id: i64) -> bool {
        let strike = self.entries.entry(id).or_default();
        strike.uploads = strike.uploads.saturating_add(1);
        strike.uploads <= MAX_UPLOADS
    }

    /// How often the PDS has failed on an entry, if that is too often. A PDS that writes nothing else
    /// either is out of order, and is waited for.
    pub(super) fn too_many(&self, id: i64) -> Option<u32> {
        let strike = self.entries.get(&id)?;
        let writes_others = self.carried_out > strike.carried_out;
        (strike.failures >= MAX_FAILURES && writes_others).then_some(strike.failures)
    }

    /// The PDS has carried out a request.
    pub(super) fn carried_out(&mut self) {
        self.carried_out = self.carried_out.saturating_add(1);
    }

    /// An entry is settled.
    pub(super) fn forget(&mut self, id: i64) {
        self.entries.remove(&id);
    }

    /// All are.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

fn aside(times: u32, longest: Duration) -> i64 {
    let factor = 2u32.saturating_pow(times.saturating_sub(1));
    now().saturating_add(millis(FIRST.saturating_mul(factor).min(longest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_given_up_only_while_others_are_written() {
        let mut strikes = Strikes::default();
        for _ in 0..3 * MAX_FAILURES {
            assert_eq!(strikes.too_many(1), None, "the PDS writes nothing else");
            strikes.failed(1);
        }
        strikes.carried_out();
        assert_eq!(strikes.too_many(1), Some(3 * MAX_FAILURES));
        strikes.failed(2);
        assert_eq!(strikes.too_many(2), None);
        strikes.forget(1);
        assert_eq!(strikes.too_many(1), None);
    }

    #[test]
    fn lost_answers_and_lost_attachments_are_no_failures() {
        let mut strikes = Strikes::default();
        for _ in 0..3 * MAX_FAILURES {
            strikes.unanswered(1, Duration::ZERO);
        }
        strikes.carried_out();
        assert_eq!(strikes.too_many(1), None);
        for _ in 0..MAX_UPLOADS {
            assert!(strikes.may_upload_again(1));
        }
        assert!(!strikes.may_upload_again(1));
    }

    #[test]
    fn the_pauses_double_up_to_a_bound() {
        let mut strikes = Strikes::default();
        let left = |at: i64| at.saturating_sub(now());
        let at_once = Duration::ZERO;
        assert_eq!(strikes.unanswered(1, at_once), 0);
        assert!((1..=1_000).contains(&left(strikes.unanswered(1, at_once))));
        assert!((1_001..=2_000).contains(&left(strikes.unanswered(1, at_once))));
        assert!((1..=1_000).contains(&left(strikes.failed(2))));
        let minute = Duration::from_secs(60);
        assert!(
            left(strikes.unanswered(1, minute)) > 60_000,
            "the others come first"
        );
        for _ in 0..100 {
            strikes.failed(2);
            strikes.unanswered(1, at_once);
        }
        assert!((290_000..=300_000).contains(&left(strikes.failed(2))));
        assert!((50_000..=60_000).contains(&left(strikes.unanswered(1, at_once))));
    }
}
