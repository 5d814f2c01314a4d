//! Streams that stop without ending.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Until when nothing is sent and nothing is read, if so.
pub(crate) type StalledUntil = Option<Instant>;

/// Waits until a stream may go on.
pub(crate) async fn resumed(stall: &mut watch::Receiver<StalledUntil>) {
    loop {
        let until = *stall.borrow_and_update();
        match until {
            Some(until) if until > Instant::now() => tokio::select! {
                () = sleep_until(until) => {}
                changed = stall.changed() => if changed.is_err() { return },
            },
            _ => return,
        }
    }
}
