//! How long to wait after a failure of the PDS.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first pause; it doubles, with jitter, so that many agents do not come back at once.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause: a PDS that is back is used again within a minute.
const LONGEST: Duration = Duration::from_secs(60);

/// So many failures in a row that were about one entry each are the PDS's own.
const IN_A_ROW: u32 = 3;

#[derive(Debug, Default)]
pub(crate) struct Pace {
    backoff: Option<ExponentialBackoff>,
    in_a_row: u32,
}

impl Pace {
    /// The PDS did what it was asked to.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The PDS is out of order: how long to wait.
    pub(crate) fn failed(&mut self) -> Duration {
        let backoff = self.backoff.get_or_insert_with(|| {
            ExponentialBuilder::default()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST)
                .with_jitter()
                .without_max_times()
                .build()
        });
        backoff.next().unwrap_or(LONGEST)
    }

    /// The PDS failed on one request: how long to wait, if it seems to be out of order.
    pub(crate) fn stumbled(&mut self) -> Option<Duration> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        (self.in_a_row >= IN_A_ROW).then(|| self.failed())
    }
}
