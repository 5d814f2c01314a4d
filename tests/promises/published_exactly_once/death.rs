//! Where a process dies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use atcomms::store::CrashPlan;

use super::dice::Dice;

/// Every point at which the way out can die. What is done by hand (`give_up`, `send_again`, `forget`) is
/// part of it.
pub(crate) const POINTS: [&str; 31] = [
    "accept.before_commit",
    "accept.after_commit",
    "sent.before_commit",
    "sent.after_commit",
    "write.before",
    "write.after",
    "settle.before_commit",
    "settle.after_commit",
    "upload.before",
    "upload.after",
    "uploaded.before_commit",
    "uploaded.after_commit",
    "fix.before_commit",
    "fix.after_commit",
    "let_go.before_commit",
    "let_go.after_commit",
    "budget.before_commit",
    "budget.after_commit",
    "server.before_commit",
    "server.after_commit",
    "login.before_commit",
    "login.after_commit",
    "tokens.before_commit",
    "tokens.after_commit",
    "send_again.before_commit",
    "send_again.after_commit",
    "give_up.before_commit",
    "give_up.after_commit",
    "forget.before_commit",
    "forget.after_commit",
    "transaction.begin",
];

/// The deaths of one run: each process but the last dies when it reaches its point for the n-th time.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    point: &'static str,
    count: usize,
}

impl Death {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        Death {
            point: dice.pick(&POINTS),
            count: 1 + dice.below(3),
        }
    }

    pub(crate) fn plan(self, tally: &Tally) -> CrashPlan {
        let (tally, reached) = (tally.clone(), AtomicUsize::new(0));
        CrashPlan::new(move |point| {
            let here = point == self.point;
            let dies = here && reached.fetch_add(1, Ordering::Relaxed) + 1 == self.count;
            tally.reached(point, dies);
            dies
        })
    }
}

/// How often each point was reached, and how often a process died there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<String, Count>>>);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) reached: u64,
    pub(crate) died: u64,
}

impl Tally {
    fn reached(&self, point: &str, dies: bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(point.to_owned()).or_default();
        count.reached += 1;
        count.died += u64::from(dies);
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, Count> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
