//! The WebSocket of one host's `com.atproto.sync.subscribeRepos`: connect, read, ping, reconnect.
//! It does not look into a frame: the driver tells it how far the engine has come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use atcomms_identity::{Guard, tls};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt, ready};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    connect_async_tls_with_config,
};
use url::Url;

use super::{From, SourceEvent};

/// A frame of the protocol is at most 5 MB; what is a little larger is read, counted and skipped. What
/// is larger still ends the connection, and the next one begins behind it.
const MAX_MESSAGE: usize = 6_000_000;
/// A host that does not answer a handshake in this time is tried again later.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Servers send no heartbeat of their own, so we ask; shorter than the idle limits of common proxies (60 s).
const PING_EVERY: Duration = Duration::from_secs(20);
/// Pings without an answer, or anything else, after which the connection is dead. A quiet stream has
/// its pongs.
const MAX_UNANSWERED: u32 = 2;
/// Reconnecting starts here and doubles, with jitter, up to `MAX_BACKOFF`.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
/// An operator who brings a host back should not wait longer than this.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How far a reconnect goes back: hosts differ on whether a cursor names the last event seen or the
/// first one wanted, and some send neighbouring events out of order. What was seen drops out.
const REWIND: i64 = 32;

/// How an error frame begins: a map of one entry, `op`, which is -1.
const ERROR_HEADER: &[u8] = b"\xa1bop\x20";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The last sequence number that the engine has taken in; a reconnect goes on from there.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seq: AtomicI64,
    stopped: AtomicBool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress(Arc::new(Shared {
            seq: AtomicI64::new(-1),
            stopped: AtomicBool::new(false),
        }))
    }

    pub(crate) fn set(&self, seq: i64) {
        // Neighbouring events may come out of order; a reconnect must not go back for that.
        self.0.seq.fetch_max(seq, Relaxed);
    }

    /// Ends the source: it is not connected to again.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Relaxed);
    }

    pub(crate) fn get(&self) -> Option<i64> {
        Some(self.0.seq.load(Relaxed)).filter(|seq| *seq >= 0)
    }
}

pub(super) struct Firehose {
    url: Url,
    guard: Option<Guard>,
    from: From,
    progress: Progress,
    /// Messages in a row that were too large to be read, for which the cursor goes on.
    oversized: i64,
    state: State,
    backoff: ExponentialBackoff,
}

enum State {
    Waiting(Duration),
    Open {
        socket: Box<Socket>,
        ping: Interval,
        /// Pings sent since anything was heard.
        unanswered: u32,
        /// Whether a frame came at all.
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

/// The URL of a WebSocket's host for requests over HTTP.
pub(super) fn http_url(url: &Url) -> Url {
    let mut http = url.clone();
    let scheme = if url.scheme() == "wss" {
        "https"
    } else {
        "http"
    };
    // Between the schemes that have hosts, a change is always allowed.
    let _ = http.set_scheme(scheme);
    http
}

impl Firehose {
    pub(super) fn new(url: Url, guard: Option<Guard>, from: From, progress: Progress) -> Self {
        Self {
            url,
            guard,
            from,
            progress,
            oversized: 0,
            state: State::Waiting(Duration::ZERO),
            backoff: backoff(),
        }
    }

    /// All that happens at the host, for ever: connections, frames, disconnections.
    pub(super) fn events(self) -> Pin<Box<dyn Stream<Item = SourceEvent> + Send>> {
        Box::pin(Events::Here(Some(Box::new(self))))
    }

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
                            unanswered: 0,
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
                unanswered,
                ..
            } => {
                let read = read(socket, ping, unanswered).await;
                self.event(read)
            }
        }
    }

    /// A frame that has arrived already, or the end behind the last one. Whoever waits for more is not told.
    fn arrived(&mut self, context: &mut Context<'_>) -> Option<SourceEvent> {
        let State::Open {
            socket, unanswered, ..
        } = &mut self.state
        else {
            return None;
        };
        loop {
            let Poll::Ready(message) = socket.poll_next_unpin(context) else {
                return None;
            };
            *unanswered = 0;
            let frame = frame(message).transpose();
            if let Some(read) = frame {
                return Some(self.event(read));
            }
        }
    }

    /// What was read, and what follows from it for the connection.
    fn event(&mut self, read: Result<Bytes, End>) -> SourceEvent {
        match read {
            Ok(bytes) => {
                // A host that accepts and hangs up at once must not be hammered, nor one that only says
                // why it refuses.
                if let State::Open { proven, .. } = &mut self.state
                    && !*proven
                    && !bytes.starts_with(ERROR_HEADER)
                {
                    *proven = true;
                    self.backoff = backoff();
                    self.oversized = 0;
                }
                SourceEvent::Frame(bytes)
            }
            Err(End::TooLarge) => {
                self.oversized += 1;
                self.state = State::Waiting(MIN_BACKOFF);
                SourceEvent::TooLarge
            }
            Err(End::Closed(why)) => self.disconnected(why),
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
            (Some(seq), _) if self.oversized > 0 => Some(seq.saturating_add(self.oversized)),
            (Some(seq), _) => Some((seq - REWIND).max(0)),
            (None, From::Live) => None,
            (None, From::Start) => Some(self.oversized),
            (None, From::Seq(seq)) => Some(seq.saturating_add(self.oversized)),
        };
        if let Some(cursor) = cursor {
            url.query_pairs_mut()
                .append_pair("cursor", &cursor.to_string());
        }
        match timeout(CONNECT_TIMEOUT, self.open(&url)).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
        }
    }

    /// Opens the socket: where the host was a stranger's choice, only to where its guard lets us.
    async fn open(&self, url: &Url) -> Result<Socket, String> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let tls = Some(Connector::Rustls(tls::client_config()));
        let opened = match self.guard {
            None => connect_async_tls_with_config(url.as_str(), Some(config), true, tls).await,
            Some(guard) => {
                let stream = guard
                    .connect(&http_url(&self.url))
                    .await
                    .map_err(|error| error.to_string())?;
                // Frames are waited for, not collected: a small one must not wait for more.
                stream
                    .set_nodelay(true)
                    .map_err(|error| error.to_string())?;
                client_async_tls_with_config(url.as_str(), stream, Some(config), tls).await
            }
        };
        opened
            .map(|(socket, _)| socket)
            .map_err(|error| describe(&error))
    }
}

/// All that happens at a host. What has arrived is taken out of the socket here; only what has to be waited
/// for is a future of its own.
enum Events {
    /// None once it was stopped.
    Here(Option<Box<Firehose>>),
    Next(Pin<Box<dyn Future<Output = (SourceEvent, Box<Firehose>)> + Send>>),
}

impl Stream for Events {
    type Item = SourceEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SourceEvent>> {
        let events = &mut *self;
        if let Events::Here(here) = events {
            let Some(mut firehose) = here.take() else {
                return Poll::Ready(None);
            };
            if firehose.progress.0.stopped.load(Relaxed) {
                return Poll::Ready(None);
            }
            if let Some(event) = firehose.arrived(context) {
                *here = Some(firehose);
                return Poll::Ready(Some(event));
            }
            *events = Events::Next(Box::pin(async move {
                let event = firehose.next().await;
                (event, firehose)
            }));
        }
        let Events::Next(next) = events else {
            return Poll::Ready(None);
        };
        let (event, firehose) = ready!(next.as_mut().poll(context));
        *events = Events::Here(Some(firehose));
        Poll::Ready(Some(event))
    }
}

/// Why a connection gives no more frames.
enum End {
    /// A message is larger than we read. What comes behind it cannot be reached on this connection.
    TooLarge,
    Closed(String),
}

impl std::convert::From<WsError> for End {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Capacity(_) => End::TooLarge,
            error => End::Closed(describe(&error)),
        }
    }
}

/// The frame of a message, if it is a binary one; or the end.
fn frame(message: Option<Result<Message, WsError>>) -> Result<Option<Bytes>, End> {
    let closed = || End::Closed("the host closed the connection".to_owned());
    match message.ok_or_else(closed)?? {
        Message::Binary(bytes) => Ok(Some(bytes)),
        Message::Close(frame) => {
            let reason = frame.map(|frame| frame.reason.to_string());
            let reason = reason.filter(|reason| !reason.is_empty());
            Err(reason.map_or_else(closed, End::Closed))
        }
        _ => Ok(None),
    }
}

/// The next binary frame; answers pings, sends our own, and notices a connection that died silently.
async fn read(
    socket: &mut Socket,
    ping: &mut Interval,
    unanswered: &mut u32,
) -> Result<Bytes, End> {
    loop {
        tokio::select! {
            biased;
            message = socket.next() => {
                *unanswered = 0;
                if let Some(bytes) = frame(message)? {
                    return Ok(bytes);
                }
            }
            // What is waiting in the socket was read before this branch is reached.
            _ = ping.tick() => {
                if *unanswered >= MAX_UNANSWERED {
                    return Err(End::Closed("it does not answer pings".to_owned()));
                }
                *unanswered += 1;
                socket.send(Message::Ping(Bytes::new())).await?;
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
