//! What goes wrong on the way to the PDS, and within it.

use std::collections::BTreeMap;
use std::time::Duration;

use atcomms_devnet::{Fault, FaultCounts, Faults};

use super::dice::Dice;
use super::script::Op;

/// How long a caller waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

const PUT: &str = "com.atproto.repo.putRecord";
const APPLY: &str = "com.atproto.repo.applyWrites";
const DELETE: &str = "com.atproto.repo.deleteRecord";
const UPLOAD: &str = "com.atproto.repo.uploadBlob";
const GET: &str = "com.atproto.repo.getRecord";
const REFRESH: &str = "com.atproto.server.refreshSession";

/// A fault that the next requests to a method meet.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    method: &'static str,
    fault: Fault,
    times: u64,
}

impl Trouble {
    pub(crate) fn random(before: &[Op], dice: &mut Dice) -> Option<Self> {
        let method = dice.pick(&[
            PUT, PUT, PUT, APPLY, APPLY, DELETE, UPLOAD, UPLOAD, GET, REFRESH,
        ]);
        let status = dice.pick(&[500, 500, 502, 503]);
        let fault = match dice.below(12) {
            0..3 => Fault::AnswerLost,
            3 => Fault::RequestLost,
            4 => Fault::FailBefore(status),
            5 => Fault::FailAfter(status),
            6 => Fault::RateLimited {
                retry_after: dice.pick(&[None, Some(1)]),
            },
            7 => Fault::Slow(Duration::from_millis(100)),
            8 if dice.one_in(3) => Fault::Slow(PATIENCE + Duration::from_millis(200)),
            8 | 9 => Fault::CutUpload { after: 100 },
            10 => Fault::ExpiredToken,
            _ => Fault::RevokedToken,
        };
        let trouble = Trouble {
            method,
            fault,
            times: 1 + u64::from(dice.one_in(4)),
        };
        if !trouble.refuses_token() {
            return Some(trouble);
        }
        // A refresh token that is refused is the end of the session, and a new access token that is
        // refused at once waits for a person: no caller can do anything about that.
        let refused_before = before.iter().any(
            |op| matches!(op, Op::Trouble(other) if other.refuses_token() && other.method == method),
        );
        let hopeless = method == REFRESH || refused_before;
        (!hopeless).then_some(Trouble {
            times: 1,
            ..trouble
        })
    }

    pub(crate) fn begin(&self, faults: &Faults) {
        faults.inject(self.method, self.fault.clone(), self.times);
    }

    fn refuses_token(&self) -> bool {
        matches!(self.fault, Fault::ExpiredToken | Fault::RevokedToken)
    }

    /// Whether one write that meets it is set aside, so that others pass it.
    pub(crate) fn sets_aside(&self) -> bool {
        let failed = matches!(self.fault, Fault::FailBefore(_) | Fault::FailAfter(_));
        failed || self.method == UPLOAD
    }

    /// How many writes it leaves without an answer.
    pub(crate) fn unanswered(&self) -> u64 {
        let lost = match self.fault {
            Fault::AnswerLost | Fault::RequestLost => true,
            Fault::Slow(time) => time > PATIENCE,
            _ => false,
        };
        match lost && [PUT, APPLY, DELETE].contains(&self.method) {
            true => self.times,
            false => 0,
        }
    }
}

/// How often each kind fired, by its name.
pub(crate) fn fired(counts: &FaultCounts) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("an answer lost", counts.answers_lost),
        ("a request lost", counts.requests_lost),
        ("a failure before the write", counts.failed_before),
        ("a failure after the write", counts.failed_after),
        ("a rate limit", counts.rate_limited),
        ("a slow answer", counts.slowed),
        ("a body that is cut", counts.uploads_cut),
        ("an expired token", counts.tokens_refused),
        ("a revoked token", counts.tokens_revoked),
    ])
}
