//! A subscription to the firehose, frame by frame.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use atcomms_repo::frame::{Frame, Kind, decode, peek};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::target::Target;

/// Longest wait for a frame that must come. The reference polls its log about once a second when
/// it is idle; the rest is for a busy machine.
const FRAME_TIMEOUT: Duration = Duration::from_secs(20);

/// An open subscription.
pub(crate) struct Subscription {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What a subscription brought.
#[derive(Debug)]
pub(crate) enum Arrival {
    Frame(Vec<u8>),
    /// Closed with that code.
    Closed(Option<u16>),
}

impl Subscription {
    pub(crate) async fn open(target: &Target, cursor: Option<&str>) -> Result<Self> {
        let cursor = cursor
            .map(|cursor| format!("?cursor={cursor}"))
            .unwrap_or_default();
        let url = format!("{}/xrpc/com.atproto.sync.subscribeRepos{cursor}", target.ws);
        let (socket, _) = connect_async(url).await.context("no subscription")?;
        Ok(Self { socket })
    }

    pub(crate) async fn next(&mut self) -> Result<Arrival> {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Binary(frame))) => return Ok(Arrival::Frame(frame.to_vec())),
                    Some(Ok(Message::Close(close))) => {
                        return Ok(Arrival::Closed(close.map(|close| close.code.into())));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => bail!("the subscription broke: {error}"),
                    None => return Ok(Arrival::Closed(None)),
                }
            }
        };
        tokio::time::timeout(FRAME_TIMEOUT, next)
            .await
            .context("no frame came")?
    }

    /// The next frame, whosesoever.
    pub(crate) async fn frame(&mut self) -> Result<Vec<u8>> {
        match self.next().await? {
            Arrival::Frame(frame) => Ok(frame),
            closed => bail!("the subscription was closed: {closed:?}"),
        }
    }

    /// The next frame of an account.
    pub(crate) async fn frame_of(&mut self, did: &str) -> Result<Vec<u8>> {
        loop {
            let frame = self.frame().await?;
            if peek(&frame)?.did() == Some(did) {
                return Ok(frame);
            }
        }
    }

    /// The next commit of an account.
    pub(crate) async fn commit_of(&mut self, did: &str) -> Result<Vec<u8>> {
        loop {
            let frame = self.frame_of(did).await?;
            if peek(&frame)?.kind() == Kind::Commit {
                return Ok(frame);
            }
        }
    }

    /// Sends a ping and waits for its pong.
    pub(crate) async fn ping(&mut self) -> Result<()> {
        self.socket
            .send(Message::Ping("are you there".into()))
            .await?;
        let pong = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Pong(payload))) => return Ok(payload),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => bail!("the subscription ended"),
                    Some(Ok(_)) => {}
                }
            }
        };
        let payload = tokio::time::timeout(FRAME_TIMEOUT, pong)
            .await
            .context("no pong")??;
        ensure!(
            &payload[..] == b"are you there",
            "another payload came back"
        );
        Ok(())
    }
}

/// The number of a frame.
pub(crate) fn seq(frame: &[u8]) -> Result<i64> {
    peek(frame)?.seq().context("a frame without seq")
}

/// What kind of frame it is, as the protocol calls it.
pub(crate) fn kind(frame: &[u8]) -> Result<&'static str> {
    Ok(match decode(frame)? {
        Frame::Commit(_) => "#commit",
        Frame::Sync(_) => "#sync",
        Frame::Identity(_) => "#identity",
        Frame::Account(_) => "#account",
        Frame::Info(_) => "#info",
        Frame::Error(_) => "error",
        _ => "unknown",
    })
}
