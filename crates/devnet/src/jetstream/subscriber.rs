//! One subscriber's WebSocket.

use std::sync::Arc;
use std::time::SystemTime;

use futures::{FutureExt, StreamExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::event::render;
use super::options::Options;
use crate::faults::resumed;
use crate::firehose::{FAREWELL, Start, Stream, Unsent, finish, send};
use crate::net::{WebSocket, stopped};

/// A subscriber, and what it wants.
pub(super) struct Subscriber {
    stream: Arc<Stream>,
    options: Options,
    /// The time of the first event to be replayed.
    cursor: Option<i64>,
    /// Nothing is sent before its first options update.
    awaits_hello: bool,
}

/// Why a subscription ends.
enum End {
    /// With a close frame.
    Close(CloseCode, String),
    /// The subscriber closes.
    Closed,
    /// The connection is gone, or is to be cut without a word, as that of a slow subscriber is.
    Gone,
}

impl Subscriber {
    pub(super) fn new(
        stream: Arc<Stream>,
        options: Options,
        cursor: Option<i64>,
        awaits_hello: bool,
    ) -> Self {
        Self {
            stream,
            options,
            cursor,
            awaits_hello,
        }
    }

    pub(super) async fn serve(mut self, mut socket: WebSocket) {
        let end = match self.events(&mut socket).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let close = async {
            match end {
                End::Close(code, reason) => {
                    let reason = CloseFrame {
                        code,
                        reason: reason.into(),
                    };
                    finish(&mut socket, reason).await;
                }
                End::Closed => while let Some(Ok(_)) = socket.next().await {},
                End::Gone => {}
            }
        };
        if tokio::time::timeout(FAREWELL, close).await.is_err() {
            tracing::debug!("a subscriber did not take its close frame");
        }
    }

    async fn events(&mut self, socket: &mut WebSocket) -> Result<Never, End> {
        let stream = self.stream.clone();
        let mut length = stream.log.length();
        let mut cut = stream.faults.streams();
        let mut stall = stream.faults.stalls();
        let mut stop = stream.stop.clone();
        while self.awaits_hello {
            tokio::select! {
                incoming = socket.next() => self.hear(incoming)?,
                _ = cut.changed() => return Err(End::Gone),
                () = stopped(&mut stop) => return Err(stopping()),
            }
        }
        // The log's cursor is the last event that was seen, and this one the first that was not.
        let cursor = self.cursor.map(|cursor| cursor.saturating_sub(1));
        let start = if cursor.is_some() && stream.faults.on_cursor() {
            Start::Future
        } else {
            stream
                .log
                .start(cursor, SystemTime::now(), stream.limits.backfill)
        };
        let (mut position, cursor) = match start {
            Start::At(position) | Start::Outdated(position) => (position, cursor),
            Start::Future => (*length.borrow(), None),
        };
        let from = cursor.and(self.cursor);
        let mut live = false;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                // First: a stop, too, lets a stream send what is logged, unless it is silenced.
                biased;
                () = resumed(&mut stall) => {}
                _ = cut.changed() => return Err(End::Gone),
                () = stopped(&mut stop) => return Err(stopping()),
            }
            length.mark_unchanged();
            let next = stream.log.read(position, cursor, BATCH_BYTES, &mut batch);
            let read_any = next > position;
            position = next;
            let mut texts = Vec::new();
            for event in batch.drain(..) {
                let time = event.seq.unwrap_or(0);
                render(&event.frame, time, from, &self.options, &mut texts);
            }
            if texts.is_empty() {
                // A long replay of what this one does not want must not keep the thread.
                tokio::task::yield_now().await;
            } else {
                let behind = live.then_some((position, stream.limits.lag));
                let messages = texts.into_iter().map(Message::text);
                let sent = tokio::select! {
                    sent = send(socket, messages, &mut length, behind) => sent,
                    _ = cut.changed() => Err(Unsent::Gone),
                };
                // A slow one hears nothing of it, as there: its socket takes nothing anyway.
                sent.map_err(|_| End::Gone)?;
            }
            if read_any {
                while let Some(incoming) = socket.next().now_or_never() {
                    self.hear(incoming)?;
                }
                continue;
            }
            live = true;
            tokio::select! {
                changed = length.changed() => changed.map_err(|_| End::Gone)?,
                incoming = socket.next() => self.hear(incoming)?,
                _ = cut.changed() => return Err(End::Gone),
                _ = stall.changed() => {}
                () = stopped(&mut stop) => return Err(stopping()),
            }
        }
    }

    fn hear(&mut self, incoming: Option<Result<Message, WsError>>) -> Result<(), End> {
        match incoming {
            Some(Ok(Message::Text(text))) => match Options::from_message(&text) {
                Ok(Some(options)) => {
                    self.options = options;
                    self.awaits_hello = false;
                }
                Ok(None) => {}
                Err(why) => return Err(End::Close(CloseCode::Normal, shortened(why))),
            },
            Some(Ok(Message::Close(_))) => return Err(End::Closed),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(End::Gone),
        }
        Ok(())
    }
}

/// What an endless loop gives.
enum Never {}

fn stopping() -> End {
    End::Close(CloseCode::Away, "the server stops".to_owned())
}

/// A close frame's reason has at most 123 bytes (RFC 6455, section 5.5).
fn shortened(mut reason: String) -> String {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

/// Bytes of frames read from the log at once.
const BATCH_BYTES: usize = 256 * 1024;
