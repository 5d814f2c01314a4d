//! The WebSocket of one host's `com.atproto.sync.subscribeRepos`: connect, read, ping, reconnect.
//! It does not look into a frame: the driver tells it how far the engine has come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use atcomms_identity::tls;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt, stream};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};
use url::Url;

use super::{From, Source, SourceEvent};

/// A frame of the protocol is at most 5 MB; what is a little larger is read, counted and skipped
/// rather than met again on every reconnect.
const MAX_MESSAGE: usize = 6_000_000;
/// A host that does not answer a handshake in this time is tried again later.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Servers send no heartbeat of their own, so we ask; shorter than the idle limits of common proxies (60 s).
const PING_EVERY: Duration = Duration::from_secs(20);
/// Two pings without any answer: the connection is dead, however quiet the stream may be.
const SILENCE: Duration = Duration::from_secs(45);
/// Reconnecting starts here and doubles, with jitter, up to `MAX_BACKOFF`.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
/// An operator who brings a host back should not wait longer than this.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How far a reconnect goes back: hosts differ on whether a cursor names the last event seen or the
/// first one wanted, and some send neighbouring events out of order. What was seen drops out.
const REWIND: i64 = 32;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The last sequence number that the engine has taken in; a reconnect goes on from there.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<AtomicI64>);

impl Progress {
    pub(crate) fn new() -> Self {
        Progress(Arc::new(AtomicI64::new(-1)))
    }

    pub(crate) fn set(&self, seq: i64) {
        self.0.store(seq, Relaxed);
    }

    fn get(&self) -> Option<i64> {
        Some(self.0.load(Relaxed)).filter(|seq| *seq >= 0)
    }
}

/// All that happens at one host, for ever: connections, frames, disconnections.
pub(crate) fn events(
    source: &Source,
    from: From,
    progress: Progress,
) -> Pin<Box<dyn Stream<Item = SourceEvent> + Send>> {
    let firehose = Firehose {
        url: source.url.clone(),
        from,
        progress,
        state: State::Waiting(Duration::ZERO),
        backoff: backoff(),
    };
    Box::pin(stream::unfold(firehose, |mut firehose| async move {
        Some((firehose.next().await, firehose))
    }))
}

struct Firehose {
    url: Url,
    from: From,
    progress: Progress,
    state: State,
    backoff: ExponentialBackoff,
}

enum State {
    Waiting(Duration),
    Open {
        socket: Box<Socket>,
        ping: Interval,
        last_heard: Instant,
        proven: bool,
    },
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(MIN_BACKOFF)
        .with_max_delay(MAX_BACKOFF)
        .with_jitter()
        .without_max_times()
        .build()
}

impl Firehose {
    async fn next(&mut self) -> SourceEvent {
        match &mut self.state {
            State::Waiting(delay) => {
                sleep(*delay).await;
                match self.connect().await {
                    Ok(socket) => {
                        let now = Instant::now();
                        let mut ping = interval_at(now + PING_EVERY, PING_EVERY);
                        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
                        self.state = State::Open {
                            socket: Box::new(socket),
                            ping,
                            last_heard: now,
                            proven: false,
                        };
                        SourceEvent::Connected
                    }
                    Err(why) => self.disconnected(why),
                }
            }
            State::Open {
                socket,
                ping,
                last_heard,
                proven,
            } => match read(socket, ping, last_heard).await {
                Ok(bytes) => {
                    // A host that accepts and hangs up at once must not be hammered: only a frame counts.
                    if !std::mem::replace(proven, true) {
                        self.backoff = backoff();
                    }
                    SourceEvent::Frame(bytes)
                }
                Err(why) => self.disconnected(why),
            },
        }
    }

    fn disconnected(&mut self, why: String) -> SourceEvent {
        self.state = State::Waiting(self.backoff.next().unwrap_or(MAX_BACKOFF));
        SourceEvent::Disconnected(why)
    }

    async fn connect(&self) -> Result<Socket, String> {
        let mut url = self.url.clone();
        url.set_path("/xrpc/com.atproto.sync.subscribeRepos");
        let cursor = match (self.progress.get(), self.from) {
            (Some(seq), _) => Some((seq - REWIND).max(0)),
            (None, From::Live) => None,
            (None, From::Start) => Some(0),
            (None, From::Seq(seq)) => Some(seq),
        };
        if let Some(cursor) = cursor {
            url.query_pairs_mut()
                .append_pair("cursor", &cursor.to_string());
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let connector = Connector::Rustls(tls::client_config());
        let connecting =
            connect_async_tls_with_config(url.as_str(), Some(config), true, Some(connector));
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(describe(&error)),
            Err(_) => Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
        }
    }
}

/// The next binary frame; answers pings, sends our own, and notices a connection that died silently.
async fn read(
    socket: &mut Socket,
    ping: &mut Interval,
    last_heard: &mut Instant,
) -> Result<Bytes, String> {
    loop {
        tokio::select! {
            biased;
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
                Some(Ok(Message::Close(frame))) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).filter(|reason| !reason.is_empty());
                    return Err(reason.unwrap_or_else(|| "the host closed the connection".to_owned()));
                }
                Some(Ok(_)) => *last_heard = Instant::now(),
                Some(Err(error)) => return Err(describe(&error)),
                None => return Err("the host closed the connection".to_owned()),
            },
            now = ping.tick() => {
                // A full socket is read before this branch is: to get here, nothing was waiting.
                if now.duration_since(*last_heard) > SILENCE {
                    return Err(format!("nothing was heard for {} s", SILENCE.as_secs()));
                }
                socket.send(Message::Ping(Bytes::new())).await.map_err(|error| describe(&error))?;
            }
        }
    }
}

fn describe(error: &WsError) -> String {
    match error {
        WsError::Http(response) => {
            format!("the host answered with HTTP {}", response.status().as_u16())
        }
        WsError::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}
