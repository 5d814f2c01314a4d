//! `com.atproto.sync.subscribeRepos`: one subscriber's WebSocket over a log.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{EventLog, Position, Shown, Start};
use crate::event::{error_frame, info_frame};
use crate::faults::{Faults, resumed};
use crate::net::{Tasks, WebSocket, stopped, upgrade};
use crate::params::Params;
use crate::xrpc::XrpcError;

/// What every subscription of one server shares.
pub(crate) struct Stream {
    pub(crate) log: Arc<EventLog>,
    pub(crate) limits: StreamLimits,
    pub(crate) faults: Arc<Faults>,
    pub(crate) tasks: Tasks,
    pub(crate) stop: watch::Receiver<bool>,
}

/// What a stream gives, and how long it bears a slow reader.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamLimits {
    /// Events older than this are no longer replayed.
    pub(crate) backfill: Duration,
    /// Events that may wait for a subscriber that takes nothing, once it was live.
    pub(crate) lag: usize,
}

impl Default for StreamLimits {
    /// Those of the reference PDS.
    fn default() -> Self {
        Self {
            backfill: Duration::from_secs(86_400),
            lag: 500,
        }
    }
}

/// Method name, as errors give it.
pub(crate) const SUBSCRIBE_REPOS: &str = "com.atproto.sync.subscribeRepos";

/// Answers a request for the stream: the handshake now, the frames in a task of their own.
pub(crate) fn subscribe(stream: &Arc<Stream>, mut request: Request) -> Response {
    let params = Params::new(SUBSCRIBE_REPOS, request.uri());
    let cursor = params.integer("cursor");
    match upgrade(&mut request) {
        Ok(Some((response, upgrade))) => {
            let stream = stream.clone();
            stream.clone().tasks.spawn(async move {
                if let Some(socket) = upgrade.websocket(MAX_CLIENT_MESSAGE).await {
                    stream.serve(socket, cursor).await;
                }
            });
            response
        }
        Ok(None) => XrpcError::invalid(format!("No service configured for {SUBSCRIBE_REPOS}"))
            .into_response(),
        Err(error) => error.into_response(),
    }
}

/// Why a stream ends, other than by its own connection.
enum End {
    /// With an error frame and close code 1008.
    Error(&'static str, String),
    /// The server stops.
    Stop,
    /// The subscriber closes.
    Closed,
    /// The connection is gone, or is to be cut without a word.
    Gone,
}

impl Stream {
    async fn serve(&self, mut socket: WebSocket, cursor: Result<Option<i64>, XrpcError>) {
        let end = match cursor {
            Ok(cursor) => self.frames(&mut socket, cursor).await,
            Err(error) => End::Error(error.error, error.message),
        };
        let close = async {
            match end {
                End::Error(name, message) => {
                    let frame = error_frame(name, &message);
                    let reason = CloseFrame {
                        code: CloseCode::Policy,
                        reason: name.into(),
                    };
                    if socket.send(Message::Binary(frame)).await.is_ok() {
                        finish(&mut socket, reason).await;
                    }
                }
                End::Stop => {
                    let reason = CloseFrame {
                        code: CloseCode::Away,
                        reason: "the server stops".into(),
                    };
                    finish(&mut socket, reason).await;
                }
                // The answer to its close goes out while we wait for the end.
                End::Closed => while let Some(Ok(_)) = socket.next().await {},
                End::Gone => {}
            }
        };
        if tokio::time::timeout(FAREWELL, close).await.is_err() {
            tracing::debug!("a subscriber did not take its last frame");
        }
    }

    async fn frames(&self, socket: &mut WebSocket, cursor: Option<i64>) -> End {
        let mut length = self.log.length();
        let mut cut = self.faults.streams();
        let mut stall = self.faults.stalls();
        let mut stop = self.stop.clone();
        let mut batch = Vec::new();
        let start = if cursor.is_some() && self.faults.on_cursor() {
            Start::Outdated(*length.borrow())
        } else {
            self.log
                .start(cursor, SystemTime::now(), self.limits.backfill)
        };
        let mut position = match start {
            Start::At(position) => position,
            Start::Outdated(position) => {
                batch.push(Shown {
                    seq: None,
                    frame: outdated_cursor(),
                });
                position
            }
            Start::Future => {
                return End::Error("FutureCursor", "Cursor in the future.".to_owned());
            }
        };
        let mut live = false;
        loop {
            tokio::select! {
                // First: a stop, too, lets a stream send what is logged, unless it is silenced.
                biased;
                () = resumed(&mut stall) => {}
                _ = cut.changed() => return End::Gone,
                () = stopped(&mut stop) => return End::Stop,
            }
            length.mark_unchanged();
            position = self.log.read(position, cursor, BATCH_BYTES, &mut batch);
            if !batch.is_empty() {
                let behind = live.then_some((position, self.limits.lag));
                let frames = batch.drain(..).map(|event| Message::Binary(event.frame));
                let sent = tokio::select! {
                    sent = send(socket, frames, &mut length, behind) => sent,
                    _ = cut.changed() => Err(Unsent::Gone),
                };
                match sent {
                    Ok(()) => {}
                    Err(Unsent::Gone) => return End::Gone,
                    Err(Unsent::TooSlow) => {
                        let message = "Stream consumer too slow".to_owned();
                        return End::Error("ConsumerTooSlow", message);
                    }
                }
                while let Some(incoming) = socket.next().now_or_never() {
                    if let Err(end) = heard(incoming) {
                        return end;
                    }
                }
                continue;
            }
            if position < *length.borrow() {
                // Everything that was read lies before the cursor.
                continue;
            }
            live = true;
            tokio::select! {
                changed = length.changed() => if changed.is_err() { return End::Gone },
                incoming = socket.next() => if let Err(end) = heard(incoming) { return end },
                _ = cut.changed() => return End::Gone,
                _ = stall.changed() => {}
                () = stopped(&mut stop) => return End::Stop,
            }
        }
    }
}

/// Why a batch was not sent whole.
pub(crate) enum Unsent {
    /// The connection is gone.
    Gone,
    /// The subscriber takes nothing, and too much waits for it.
    TooSlow,
}

/// Sends a batch. `behind` is the position after it and how far the log may get ahead of that while the
/// subscriber takes nothing.
pub(crate) async fn send(
    socket: &mut WebSocket,
    batch: impl Iterator<Item = Message>,
    length: &mut watch::Receiver<Position>,
    behind: Option<(Position, usize)>,
) -> Result<(), Unsent> {
    let mut sending = pin!(async {
        for message in batch {
            socket.feed(message).await?;
        }
        socket.flush().await
    });
    let Some((position, lag)) = behind else {
        return sending.await.map_err(|_: WsError| Unsent::Gone);
    };
    let too_slow = length.wait_for(|length| length.saturating_sub(position) > lag);
    tokio::select! {
        // In this order: only a socket that takes nothing more right now makes its reader a slow one.
        biased;
        sent = sending.as_mut() => return sent.map_err(|_| Unsent::Gone),
        Ok(_) = too_slow => {}
    }
    Err(Unsent::TooSlow)
}

/// Whether the subscriber is still there after what came from it. Pings are answered by the WebSocket
/// itself, and everything else that a subscriber says is ignored.
fn heard(incoming: Option<Result<Message, WsError>>) -> Result<(), End> {
    match incoming {
        Some(Ok(Message::Close(_))) => Err(End::Closed),
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) | None => Err(End::Gone),
    }
}

/// Closes, and waits for the peer's close: what was sent before it would be lost to a reset otherwise.
pub(crate) async fn finish(socket: &mut WebSocket, reason: CloseFrame) {
    if socket.close(Some(reason)).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

fn outdated_cursor() -> Bytes {
    info_frame(
        "OutdatedCursor",
        "Requested cursor exceeded limit. Possibly missing events",
    )
}

/// Bytes read from the log at once: enough that a replay costs few locks and few system calls, little
/// enough that pings are answered in between.
const BATCH_BYTES: usize = 256 * 1024;

/// How long a subscriber may take for its error or close frame: as in the reference PDS, so that a slow one
/// that reads on learns why it was cut off.
pub(crate) const FAREWELL: Duration = Duration::from_secs(30);

/// Bytes: a subscriber sends only control frames, of at most 125 bytes each.
const MAX_CLIENT_MESSAGE: usize = 4096;
