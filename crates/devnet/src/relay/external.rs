//! A host from outside: its stream over a WebSocket, made anew when it ends.

use std::sync::Arc;
use std::time::Duration;

use atcomms_repo::frame::{Frame, decode};
use axum::http::Uri;
use bytes::Bytes;
use futures::StreamExt;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::intake::Intake;
use crate::StartError;
use crate::firehose::{SUBSCRIBE_REPOS, Shown};
use crate::net::stopped;

/// A PDS or another relay whose stream is taken too, from the beginning of what it still has.
#[derive(Debug, Clone)]
pub(crate) struct ExternalHost {
    url: String,
    ws_url: String,
}

impl ExternalHost {
    /// A host by its address: ws or http, without a path.
    pub(crate) fn parse(text: &str) -> Result<Self, StartError> {
        let refuse = |reason: &str| StartError::RelayHost {
            url: text.to_owned(),
            reason: reason.to_owned(),
        };
        let uri: Uri = text.parse().map_err(|_| refuse("it is not a URL"))?;
        let host = uri.authority().ok_or_else(|| refuse("it has no host"))?;
        if !uri.path().trim_matches('/').is_empty() || uri.query().is_some() {
            return Err(refuse("it has a path"));
        }
        match uri.scheme_str() {
            Some("ws" | "http") => {}
            Some("wss" | "https") => return Err(refuse("a devnet's relay has no TLS")),
            _ => return Err(refuse("its scheme is neither ws nor http")),
        }
        Ok(Self {
            url: format!("http://{host}"),
            ws_url: format!("ws://{host}"),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Takes the host's events until the relay stops.
    pub(super) async fn follow(self, intake: Arc<Intake>) {
        let mut stop = intake.stream.stop.clone();
        tokio::select! {
            () = self.follow_for_ever(&intake) => {}
            () = stopped(&mut stop) => {}
        }
    }

    async fn follow_for_ever(&self, intake: &Intake) {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Err(error) = self.follow_once(intake, &mut pause).await {
                tracing::debug!(host = self.url, %error, "a host's stream ended");
            }
            intake.set_connected(&self.url, false);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn follow_once(&self, intake: &Intake, pause: &mut Duration) -> Result<(), WsError> {
        let cursor = intake.host_seq(&self.url);
        let url = format!("{}/xrpc/{SUBSCRIBE_REPOS}?cursor={cursor}", self.ws_url);
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let (mut socket, _) = connect_async_with_config(url, Some(config), true).await?;
        intake.set_connected(&self.url, true);
        while let Some(message) = socket.next().await {
            if let Message::Binary(frame) = message? {
                self.take(intake, frame);
                *pause = FIRST_PAUSE;
            }
        }
        Ok(())
    }

    fn take(&self, intake: &Intake, frame: Bytes) {
        let seq = match decode(&frame) {
            Ok(Frame::Info(_)) => return,
            Ok(Frame::Error(error)) => {
                if error.error == "FutureCursor" {
                    // It has begun anew, as a server without a disk does.
                    intake.forget_host_seq(&self.url);
                }
                return;
            }
            Ok(frame) => frame.seq(),
            Err(_) => None,
        };
        intake.take(&self.url, &[Shown { seq, frame }]);
    }
}

/// Pause before the first new attempt: a host on this machine is back at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Bytes of a frame: what Sync 1.1 allows, and some more.
const MAX_MESSAGE: usize = 6_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_url_without_a_path() {
        for text in ["ws://localhost:1", "http://localhost:1/"] {
            let host = ExternalHost::parse(text).unwrap();
            assert_eq!(host.url(), "http://localhost:1");
            assert_eq!(host.ws_url, "ws://localhost:1");
        }
        for wrong in ["localhost", "wss://a.example", "ws://a.example/xrpc/x", ""] {
            let error = ExternalHost::parse(wrong).unwrap_err();
            assert!(matches!(error, StartError::RelayHost { .. }), "{wrong}");
        }
    }
}
