//! One file for each command.

mod admission;
pub(crate) mod budget;
pub(crate) mod devnet;
pub(crate) mod doctor;
pub(crate) mod inbox;
pub(crate) mod login;
pub(crate) mod outbox;
pub(crate) mod prove;
pub(crate) mod prune;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod verify;
pub(crate) mod watch;
pub(crate) mod watch_durable;
pub(crate) mod whoami;

/// Waits for Ctrl-C, or for the signal with which services are stopped.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                // Without a handler there is nothing to wait for: then the program ends as by default.
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
