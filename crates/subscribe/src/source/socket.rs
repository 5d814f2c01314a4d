//! The WebSocket of a host, whatever it streams: connect, read, ping, reconnect. What is asked of the host,
//! and what its messages are, an [`Endpoint`] says.

use std::pin::Pin;
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

use super::SourceEvent;
use super::progress::Progress;

/// A frame of the protocol is at most 5 MB; what is a little larger is read, counted and skipped. What
/// is larger still ends the connection, and the next one begins behind it.
pub(super) const MAX_MESSAGE: usize = 6_000_000;
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

/// What is streamed at a host.
pub(super) trait Endpoint: Send + Sync + 'static {
    /// Where to connect next, to go on from `seq`, the last that was taken in; `oversized` messages in a
    /// row were too large to be read since.
    fn url(&self, seq: Option<i64>, oversized: u32) -> Url;

    /// What is said first on a connection.
    fn hello(&self, _oversized: u32) -> Option<Message> {
        None
    }

    /// What a message is; `None` if it is nothing.
    fn event(&self, message: Message) -> Option<SourceEvent>;

    /// Whether this shows that the host streams: one that accepts and hangs up at once must not be hammered,
    /// nor one that only says why it refuses.
    fn shows_life(&self, event: &SourceEvent) -> bool;
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// All that happens at an endpoint, for ever: connections, messages, disconnections. `guard` says where the
/// host may be, if it was not the caller's own choice.
pub(super) fn events(
    endpoint: impl Endpoint,
    guard: Option<Guard>,
    progress: Progress,
) -> Pin<Box<dyn Stream<Item = SourceEvent> + Send>> {
    let connection = Connection {
        endpoint,
        guard,
        progress,
        oversized: 0,
        state: State::Waiting(Duration::ZERO),
        backoff: backoff(),
    };
    Box::pin(Events::Here(Some(Box::new(connection))))
}

/// All that happens at a host. What has arrived is taken out of the socket here; only what has to be waited
/// for is a future of its own: a firehose brings a million messages while it is read back.
enum Events<E> {
    /// None once it was stopped.
    Here(Option<Box<Connection<E>>>),
    Next(Next<E>),
}

type Next<E> = Pin<Box<dyn Future<Output = (SourceEvent, Box<Connection<E>>)> + Send>>;

impl<E: Endpoint> Stream for Events<E> {
    type Item = SourceEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SourceEvent>> {
        let events = &mut *self;
        if let Events::Here(here) = events {
            let Some(mut connection) = here.take() else {
                return Poll::Ready(None);
            };
            if connection.progress.is_stopped() {
                return Poll::Ready(None);
            }
            if let Some(event) = connection.arrived(context) {
                *here = Some(connection);
                return Poll::Ready(Some(event));
            }
            *events = Events::Next(Box::pin(async move {
                let event = connection.next().await;
                (event, connection)
            }));
        }
        let Events::Next(next) = events else {
            return Poll::Ready(None);
        };
        let (event, connection) = ready!(next.as_mut().poll(context));
        *events = Events::Here(Some(connection));
        Poll::Ready(Some(event))
    }
}

struct Connection<E> {
    endpoint: E,
    guard: Option<Guard>,
    progress: Progress,
    /// Messages in a row that were too large to be read.
    oversized: u32,
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
        /// Whether the host has shown that it streams.
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

impl<E: Endpoint> Connection<E> {
    async fn next(&mut self) -> SourceEvent {
        loop {
            match &mut self.state {
                State::Waiting(delay) => {
                    sleep(*delay).await;
                    return match self.connect().await {
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
                    };
                }
                State::Open {
                    socket,
                    ping,
                    unanswered,
                    ..
                } => {
                    let read = read(socket, ping, unanswered).await;
                    if let Some(event) = self.event(read) {
                        return event;
                    }
                }
            }
        }
    }

    /// A message that has arrived already, or the end behind the last one. Whoever waits for more is not told.
    fn arrived(&mut self, context: &mut Context<'_>) -> Option<SourceEvent> {
        loop {
            let State::Open {
                socket, unanswered, ..
            } = &mut self.state
            else {
                return None;
            };
            let Poll::Ready(read) = socket.poll_next_unpin(context) else {
                return None;
            };
            *unanswered = 0;
            if let Some(event) = self.event(message(read)) {
                return Some(event);
            }
        }
    }

    /// What was read, and what follows from it for the connection.
    fn event(&mut self, read: Result<Message, End>) -> Option<SourceEvent> {
        match read {
            Ok(message) => {
                let event = self.endpoint.event(message)?;
                if let State::Open { proven, .. } = &mut self.state
                    && !*proven
                    && self.endpoint.shows_life(&event)
                {
                    *proven = true;
                    self.backoff = backoff();
                    self.oversized = 0;
                }
                Some(event)
            }
            Err(End::TooLarge) => {
                self.oversized = self.oversized.saturating_add(1);
                self.state = State::Waiting(MIN_BACKOFF);
                Some(SourceEvent::TooLarge)
            }
            Err(End::Closed(why)) => Some(self.disconnected(why)),
        }
    }

    fn disconnected(&mut self, why: String) -> SourceEvent {
        self.state = State::Waiting(self.backoff.next().unwrap_or(MAX_BACKOFF));
        SourceEvent::Disconnected(why)
    }

    async fn connect(&self) -> Result<Socket, String> {
        let url = self.endpoint.url(self.progress.get(), self.oversized);
        let opened = async {
            let mut socket = open(&url, self.guard).await?;
            if let Some(hello) = self.endpoint.hello(self.oversized) {
                let sent = socket.send(hello).await;
                sent.map_err(|error| describe(&error))?;
            }
            Ok(socket)
        };
        match timeout(CONNECT_TIMEOUT, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
        }
    }
}

/// Opens the socket: where the host was a stranger's choice, only to where its guard lets us.
async fn open(url: &Url, guard: Option<Guard>) -> Result<Socket, String> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let tls = Some(Connector::Rustls(tls::client_config()));
    let opened = match guard {
        None => connect_async_tls_with_config(url.as_str(), Some(config), true, tls).await,
        Some(guard) => {
            let stream = guard
                .connect(&http_url(url))
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

/// Why a connection gives nothing more.
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

/// What the socket gave: a message, or the end.
fn message(read: Option<Result<Message, WsError>>) -> Result<Message, End> {
    let closed = || End::Closed("the host closed the connection".to_owned());
    match read.ok_or_else(closed)?? {
        Message::Close(frame) => {
            let reason = frame.map(|frame| frame.reason.to_string());
            let reason = reason.filter(|reason| !reason.is_empty());
            Err(reason.map_or_else(closed, End::Closed))
        }
        message => Ok(message),
    }
}

/// The next message; answers pings, sends our own, and notices a connection that died silently.
async fn read(
    socket: &mut Socket,
    ping: &mut Interval,
    unanswered: &mut u32,
) -> Result<Message, End> {
    loop {
        tokio::select! {
            biased;
            read = socket.next() => {
                *unanswered = 0;
                return message(read);
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
