//! How much of somebody is taken in: a token bucket for each, in a bounded table. No clock: time is passed in.

use std::collections::HashMap;
use std::time::Duration;

/// Authors, or hosts, of whom it is known what they spent. Who has spent nothing lately is not in the table.
/// When it is full, the half that has spent least is forgotten and begins anew: a flooder is never in that
/// half, and nobody has less for it. At some 120 bytes each, 8 MB.
const SPENDERS: usize = 65_536;

/// So many events in such a time: at once if they come at once, and then as many as have been won back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    events: u64,
    per: Duration,
}

impl Budget {
    /// No limit.
    pub const UNLIMITED: Self = Self::new(u64::MAX, Duration::ZERO);

    /// So many events in such a time. None of them lets nothing in.
    pub const fn new(events: u64, per: Duration) -> Self {
        Self { events, per }
    }

    /// How many events.
    pub const fn events(self) -> u64 {
        self.events
    }

    /// In which time.
    pub const fn per(self) -> Duration {
        self.per
    }

    fn window(self) -> u64 {
        u64::try_from(self.per.as_micros()).unwrap_or(u64::MAX)
    }

    /// How long it takes to win so many events back, in microseconds.
    fn cost(self, events: u64) -> u64 {
        let time = u128::from(self.window()) * u128::from(events);
        match time.checked_div(u128::from(self.events)) {
            Some(cost) => u64::try_from(cost).unwrap_or(u64::MAX),
            None => u64::MAX,
        }
    }
}

/// What authors, or hosts, have spent of a budget that each of them has.
#[derive(Debug)]
pub(crate) struct Spending {
    budget: Budget,
    /// When each has won everything back, in microseconds.
    full_at: HashMap<Box<str>, u64>,
}

impl Spending {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            full_at: HashMap::new(),
        }
    }

    /// Whether there is anything left.
    pub(crate) fn affords(&self, who: &str, now: u64) -> bool {
        let full_at = self.full_at.get(who).copied().unwrap_or(now).max(now);
        full_at.saturating_add(self.budget.cost(1)) <= now.saturating_add(self.budget.window())
    }

    /// Takes so many off, also more than there are.
    pub(crate) fn spend(&mut self, who: &str, events: u64, now: u64) {
        let cost = self.budget.cost(events);
        if cost == 0 {
            return;
        }
        if let Some(full_at) = self.full_at.get_mut(who) {
            *full_at = now.max(*full_at).saturating_add(cost);
            return;
        }
        if self.full_at.len() >= SPENDERS {
            self.forget(now);
        }
        self.full_at.insert(who.into(), now.saturating_add(cost));
    }

    /// Forgets who has won everything back, and if that is not enough, the half that has spent least.
    fn forget(&mut self, now: u64) {
        self.full_at.retain(|_, full_at| *full_at > now);
        let mut all: Vec<u64> = self.full_at.values().copied().collect();
        if all.len() > SPENDERS / 2 {
            let (_, median, _) = all.select_nth_unstable(SPENDERS / 2);
            let median = *median;
            self.full_at.retain(|_, full_at| *full_at > median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 1_700_000_000 * SECOND;

    fn ten_a_minute() -> Spending {
        Spending::new(Budget::new(10, Duration::from_secs(60)))
    }

    #[test]
    fn all_at_once_and_then_as_they_are_won_back() {
        let mut spending = ten_a_minute();
        let mut admitted = |now, tries: u64| {
            let admit = |_: &u64| {
                let affords = spending.affords("a", now);
                if affords {
                    spending.spend("a", 1, now);
                }
                affords
            };
            (0..tries).filter(admit).count()
        };
        assert_eq!(admitted(NOW, 50), 10);
        assert_eq!(admitted(NOW + 5 * SECOND, 50), 0, "one is won in 6 seconds");
        assert_eq!(admitted(NOW + 6 * SECOND, 50), 1);
        assert_eq!(
            admitted(NOW + 3600 * SECOND, 50),
            10,
            "and never more than all"
        );
    }

    #[test]
    fn one_with_many_events_is_let_in_and_paid_for_later() {
        let mut spending = ten_a_minute();
        spending.spend("a", 9, NOW);
        assert!(spending.affords("a", NOW));
        spending.spend("a", 20, NOW);
        assert!(!spending.affords("a", NOW + 110 * SECOND));
        assert!(spending.affords("a", NOW + 120 * SECOND));
        assert!(spending.affords("b", NOW), "that was another's");
    }

    #[test]
    fn no_limit_and_nothing_at_all() {
        let mut unlimited = Spending::new(Budget::UNLIMITED);
        unlimited.spend("a", u64::MAX, NOW);
        assert!(unlimited.affords("a", NOW));
        assert!(unlimited.full_at.is_empty(), "it needs no memory");
        let nothing = Spending::new(Budget::new(0, Duration::from_secs(60)));
        assert!(!nothing.affords("a", NOW));
    }

    #[test]
    fn the_table_is_bounded_and_a_flooder_is_not_forgotten() {
        let mut spending = ten_a_minute();
        spending.spend("flooder", 10, NOW);
        for n in 0..3 * SPENDERS {
            spending.spend(&format!("n{n}"), 1 + n as u64 % 3, NOW);
        }
        assert!(spending.full_at.len() <= SPENDERS);
        assert!(!spending.affords("flooder", NOW));
        assert!(spending.affords("n1", NOW), "nobody has less for it");
    }
}
