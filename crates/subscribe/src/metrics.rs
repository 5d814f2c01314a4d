//! What a subscription tells to whoever collects metrics, by the `metrics` crate's facade: once a second and at
//! its end, so that a frame costs nothing more. Without a recorder it is told to nobody.

use std::time::Duration;

use metrics::{counter, gauge};

use crate::counters::Summary;
use crate::engine::Waiting;

/// How often it is told.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// Tells where a subscription stands.
pub(crate) fn tell(
    name: &str,
    summary: &Summary,
    bytes: u64,
    waiting: Waiting,
    lag: Option<Duration>,
) {
    let name = || ("subscription", name.to_owned());
    counter!("atcomms_subscribe_frames_total", &[name()]).absolute(summary.frames);
    counter!("atcomms_subscribe_bytes_total", &[name()]).absolute(bytes);
    counter!("atcomms_subscribe_in_scope_total", &[name()]).absolute(waiting.in_scope);
    counter!("atcomms_subscribe_delivered_total", &[name()]).absolute(summary.delivered);
    counter!("atcomms_subscribe_duplicates_total", &[name()]).absolute(summary.duplicates);
    counter!("atcomms_subscribe_resyncs_total", &[name()]).absolute(summary.resyncs);
    for (reason, count) in &summary.rejected {
        let reason = ("reason", (*reason).to_owned());
        counter!("atcomms_subscribe_rejected_total", &[name(), reason]).absolute(*count);
    }
    gauge!("atcomms_subscribe_held_commits", &[name()]).set(waiting.held as f64);
    gauge!("atcomms_subscribe_held_bytes", &[name()]).set(waiting.held_bytes as f64);
    gauge!("atcomms_subscribe_to_fetch", &[name()]).set(waiting.to_fetch as f64);
    if let Some(lag) = lag {
        gauge!("atcomms_subscribe_lag_seconds", &[name()]).set(lag.as_secs_f64());
    }
}
