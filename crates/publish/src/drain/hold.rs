//! Waiting: for how long, why, and what ends it early.

use std::time::Duration;

use atcomms_lexicon::Datetime;
use tokio::time::Instant;

use super::{Drain, POLL};
use crate::accepted::Pending;
use crate::budget::{Allowance, PUT_POINTS};
use crate::clock::{millis, now, until};

/// How long to wait before the next try where somebody has to do something first, such as log in.
const STUCK_PAUSE: Duration = Duration::from_secs(30);

/// The shortest wait for a rate limit: what a PDS says of its windows may be over by our own clock.
const LIMITED_PAUSE: Duration = Duration::from_secs(1);

/// Why nothing is sent for now.
pub(super) struct Hold {
    /// Until when (milliseconds since 1970).
    pub(super) until: i64,
    /// `None` if it is only about the time of some entry: what comes meanwhile goes at once.
    pub(super) reason: Option<String>,
    pub(super) stuck: bool,
}

impl Hold {
    /// Until an entry may be sent again.
    pub(super) fn until(until: i64) -> Self {
        Self {
            until,
            reason: None,
            stuck: false,
        }
    }
}

impl Drain {
    /// Waits, and tells everybody why, also who comes meanwhile. `asked` is what was asked for before
    /// the outbox was looked at.
    pub(super) async fn hold(&mut self, hold: Hold, mut asked: u64) {
        // By two clocks, whichever is first: one may be set back, and the other stands still while the
        // machine sleeps.
        let over = Instant::now() + until(hold.until);
        match &hold.reason {
            Some(reason) => self.waiters.explain(Pending {
                attempts: 0,
                reason: Some(reason.clone()),
                retry_at: Some(Datetime::from_unix_millis(hold.until)),
                stuck: hold.stuck,
            }),
            None => self.waiters.goes_on(),
        }
        loop {
            let left = over.saturating_duration_since(Instant::now());
            let left = left.min(until(hold.until));
            if left.is_zero() || self.is_stopping() {
                return;
            }
            self.serve(asked);
            self.woken_within(left.min(POLL)).await;
            if hold.reason.is_none() {
                // Something new may be there, put there by anyone.
                return;
            }
            asked = self.asked();
            let looked = self.look_now_and_then().await;
            let Ok(true) = looked else { continue };
            if hold.stuck && self.session.is_renewed_by_another().await {
                self.waiters.goes_on();
                return;
            }
        }
    }
}

/// The rate limit is used up.
pub(super) fn limited(what: &str, allowance: Allowance) -> Hold {
    let soonest = now().saturating_add(millis(LIMITED_PAUSE));
    let until = allowance
        .more_at
        .unwrap_or_else(|| now().saturating_add(millis(STUCK_PAUSE)))
        .max(soonest);
    Hold {
        until,
        reason: Some(format!(
            "the rate limit of {what} is used up ({} points left, and a record takes {PUT_POINTS}): it goes on at {}",
            allowance.points,
            Datetime::from_unix_millis(until)
        )),
        stuck: false,
    }
}

/// The PDS is out of order.
pub(super) fn wait(pause: Duration, reason: &str) -> Hold {
    Hold {
        until: now().saturating_add(millis(pause)),
        reason: Some(reason.to_owned()),
        stuck: false,
    }
}

/// Somebody has to do something first.
pub(super) fn stuck(reason: String) -> Hold {
    Hold {
        until: now().saturating_add(millis(STUCK_PAUSE)),
        reason: Some(reason),
        stuck: true,
    }
}
