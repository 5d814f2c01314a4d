//! Of whom events were refused, and how many: a bounded table of those of whom most were.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use atcomms_lexicon::Did;

/// Authors, or hosts, that are remembered for each reason. When they are too many, the half of whom least was
/// refused is forgotten. More than anybody reads, and some 60 kB for each reason.
const REMEMBERED: usize = 512;

/// Why somebody's events were refused, however good they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The author is blocked.
    Blocked,
    /// Only contacts may write, and the author is none.
    NotAContact,
    /// The author has written too much.
    OverBudgetAuthor,
    /// The authors of this host have written too much together.
    OverBudgetHost,
}

impl Refusal {
    /// The word that stands in [`Summary::rejected`](crate::Summary).
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Blocked => "blocked",
            Refusal::NotAContact => "not_a_contact",
            Refusal::OverBudgetAuthor => "over_budget_author",
            Refusal::OverBudgetHost => "over_budget_host",
        }
    }
}

/// Whose events were refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// One author's.
    Author(Did),
    /// Those of a host's authors together; with its port, if it has one.
    Host(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Author(did) => write!(out, "{did}"),
            Origin::Host(host) => write!(out, "host {host}"),
        }
    }
}

/// How much was refused of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Of whom.
    pub who: Origin,
    /// Why.
    pub reason: Refusal,
    /// How many events, since then.
    pub count: u64,
    /// When the first of them came.
    pub since: SystemTime,
}

#[derive(Debug)]
struct Tally {
    count: u64,
    /// In microseconds since 1970.
    since: u64,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct RefusedMost(HashMap<Refusal, HashMap<Box<str>, Tally>>);

impl RefusedMost {
    /// So many events of this author or host were refused.
    pub(crate) fn add(&mut self, reason: Refusal, who: &str, events: u64, now: u64) {
        let table = self.0.entry(reason).or_default();
        if let Some(tally) = table.get_mut(who) {
            tally.count = tally.count.saturating_add(events);
            return;
        }
        if table.len() >= REMEMBERED {
            let mut counts: Vec<u64> = table.values().map(|tally| tally.count).collect();
            let (_, median, _) = counts.select_nth_unstable(REMEMBERED / 2);
            let median = *median;
            table.retain(|_, tally| tally.count > median);
        }
        let tally = Tally {
            count: events,
            since: now,
        };
        table.insert(who.into(), tally);
    }

    /// All that are remembered; of whom most was refused, first.
    pub(crate) fn list(&self) -> Vec<Refused> {
        let all = self.0.iter().flat_map(|(reason, table)| {
            table.iter().filter_map(|(who, tally)| {
                let who = match reason {
                    Refusal::OverBudgetHost => Origin::Host(who.to_string()),
                    _ => Origin::Author(who.parse().ok()?),
                };
                Some(Refused {
                    who,
                    reason: *reason,
                    count: tally.count,
                    since: SystemTime::UNIX_EPOCH + Duration::from_micros(tally.since),
                })
            })
        });
        let mut all: Vec<Refused> = all.collect();
        all.sort_by(|a, b| {
            let by_name = || (a.who.to_string(), a.reason).cmp(&(b.who.to_string(), b.reason));
            b.count.cmp(&a.count).then_with(by_name)
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_whom_most_was_refused_stays_however_many_there_are() {
        let mut refused = RefusedMost::default();
        refused.add(Refusal::Blocked, "did:web:blocked.example", 1, 7_000_000);
        for n in 0..10 * REMEMBERED {
            let did = format!("did:web:n{n}.example");
            refused.add(Refusal::OverBudgetAuthor, &did, 1, 1);
            refused.add(Refusal::OverBudgetAuthor, "did:web:flooder.example", 2, 1);
        }
        let list = refused.list();
        assert!(list.len() <= REMEMBERED + 1, "{}", list.len());
        assert_eq!(list[0].who.to_string(), "did:web:flooder.example");
        assert_eq!(list[0].count, 20 * REMEMBERED as u64);
        let blocked = list.iter().find(|one| one.reason == Refusal::Blocked);
        let blocked = blocked.expect("another reason pushes it out of nothing");
        assert_eq!(
            blocked.since,
            SystemTime::UNIX_EPOCH + Duration::from_secs(7)
        );
    }
}
