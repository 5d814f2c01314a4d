//! Servers that speak bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

use crate::pds::Pds;

/// A server that speaks bytes, for what an HTTP library would not send.
pub(crate) struct Raw {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Raw {
    /// Serves each connection with `serve`, which gets it after the request's head was read.
    pub(crate) async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        Self::routed(move |_, stream| serve(stream)).await
    }

    /// Passes everything on to a PDS, but answers a method with these bytes, and then says no more
    /// without hanging up.
    pub(crate) async fn before(pds: &Pds, method: &'static str, answer: Cut) -> Self {
        let target = *pds.server.address();
        Self::routed(move |head, stream| {
            let answer = answer.clone();
            async move {
                let cut = head
                    .lines()
                    .next()
                    .is_some_and(|line| line.contains(method));
                match cut && !answer.mended.load(Ordering::SeqCst) {
                    true => answer.speak(stream).await,
                    false => pass_on(&head, stream, target).await,
                }
            }
        })
        .await
    }

    async fn routed<F>(serve: impl Fn(String, TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                serving.spawn(serve(head, stream));
            }
        });
        Self { address, task }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends `chunk` for ever, or until nobody reads any more.
pub(crate) async fn for_ever(
    mut stream: TcpStream,
    head: &str,
    chunk: &[u8],
) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(chunk).await?;
    }
}

/// An answer without an end, until it is mended.
#[derive(Clone)]
pub(crate) struct Cut {
    status: u16,
    for_ever: bool,
    spoken: Arc<AtomicUsize>,
    mended: Arc<AtomicBool>,
}

impl Cut {
    /// A body that begins, and does not go on.
    pub(crate) fn silent(status: u16) -> Self {
        Self {
            status,
            for_ever: false,
            spoken: Arc::default(),
            mended: Arc::default(),
        }
    }

    /// A body that goes on for ever.
    pub(crate) fn endless(status: u16) -> Self {
        Self {
            for_ever: true,
            ..Self::silent(status)
        }
    }

    pub(crate) fn mend(&self) {
        self.mended.store(true, Ordering::SeqCst);
    }

    /// How many requests it has answered so.
    pub(crate) fn spoken(&self) -> usize {
        self.spoken.load(Ordering::SeqCst)
    }

    async fn speak(&self, mut stream: TcpStream) -> std::io::Result<()> {
        self.spoken.fetch_add(1, Ordering::SeqCst);
        let head = format!(
            "HTTP/1.1 {} So\r\ncontent-type: application/json\r\n\r\n",
            self.status
        );
        if self.for_ever {
            return for_ever(stream, &head, &[b' '; 65_536]).await;
        }
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(b" ").await?;
        // Until the other side hangs up.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.map(drop)
    }
}

/// One request and its answer: the next one comes on another connection.
async fn pass_on(head: &str, mut stream: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut pds = TcpStream::connect(target).await?;
    let (line, headers) = head.split_once("\r\n").unwrap();
    let head = format!("{line}\r\nconnection: close\r\n{headers}");
    pds.write_all(head.as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut pds)
        .await
        .map(drop)
}
