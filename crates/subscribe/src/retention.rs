//! How long a durable consumer keeps what nobody takes, and what is dead.

use std::time::Duration;

use atcomms_store::{Consumer, Store};
use tokio::time::sleep;

use crate::clock::millis;

/// How often it is looked for what is not kept any longer: a minute more or less is no matter.
const RETAIN_EVERY: Duration = Duration::from_secs(60);

/// What a durable consumer keeps. What is acknowledged is gone at once; what waits, and the records of what is
/// dead, are kept for ever unless this says otherwise. Retention removes records, and never what is known of
/// repositories: nothing comes again for it. An event stays listed with its reason when its record is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "it counts once a consumer has it"]
pub struct Retention(atcomms_store::Retention);

impl Retention {
    /// All of it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lays an event among the dead that was not acknowledged within this time. One that is out is left until
    /// it comes back.
    pub fn waiting_for(mut self, time: Duration) -> Self {
        self.0.waiting_for = Some(milliseconds(time));
        self
    }

    /// Removes the record of an event that is dead for this long.
    pub fn dead_for(mut self, time: Duration) -> Self {
        self.0.dead_for = Some(milliseconds(time));
        self
    }

    /// Keeps the records of so many dead events, the newest.
    pub fn dead_count(mut self, events: u64) -> Self {
        self.0.dead_count = Some(events);
        self
    }

    /// Keeps the records of the newest dead events up to so many bytes together.
    pub fn dead_bytes(mut self, bytes: u64) -> Self {
        self.0.dead_bytes = Some(bytes);
        self
    }

    /// Has it so, for as long as it is polled. Cancel safe.
    pub(crate) async fn keep(self, store: Store, consumer: Consumer) {
        if self == Self::default() {
            return std::future::pending().await;
        }
        loop {
            match store.retain(&consumer, self.0, millis()).await {
                Ok(retained) if retained.laid_aside > 0 => {
                    let laid_aside = retained.laid_aside;
                    tracing::warn!(
                        consumer = consumer.name,
                        laid_aside,
                        "events waited for too long and are laid aside"
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(consumer = consumer.name, %error, "old events are kept for now");
                }
            }
            sleep(RETAIN_EVERY).await;
        }
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
