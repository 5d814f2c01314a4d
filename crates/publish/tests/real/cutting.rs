//! A way to the PDS that breaks at the worst moment: after the request has arrived, before the
//! answer has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// A proxy that loses answers.
pub(crate) struct Cutting {
    url: Url,
    lost: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Cutting {
    /// Passes everything on, but loses the answers to the first `how_many` requests in whose head
    /// `method` stands. The PDS has answered by then: what was asked was done.
    pub(crate) async fn before(pds: &Url, method: &'static str, how_many: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let target = format!("127.0.0.1:{}", pds.port().unwrap());
        let lost = Arc::new(AtomicUsize::new(0));
        let counter = lost.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(
                    client,
                    target.clone(),
                    method,
                    how_many,
                    counter.clone(),
                ));
            }
        });
        Self { url, lost, task }
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Cutting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes both directions on. Requests of these tests on one connection do not overlap, so an
/// answer belongs to the request whose head was seen last.
async fn serve(
    client: TcpStream,
    target: String,
    method: &'static str,
    how_many: usize,
    lost: Arc<AtomicUsize>,
) -> Option<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_pds, mut to_pds) = TcpStream::connect(target).await.ok()?.into_split();
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut cut_next = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => {
                let sent = up.get(..read.ok().filter(|n| *n > 0)?)?;
                let head = String::from_utf8_lossy(sent);
                if head.starts_with("POST ") || head.starts_with("GET ") {
                    cut_next = head.lines().next()?.contains(method)
                        && lost.load(Ordering::SeqCst) < how_many;
                }
                to_pds.write_all(sent).await.ok()?;
            }
            read = from_pds.read(&mut down) => {
                let answer = down.get(..read.ok().filter(|n| *n > 0)?)?;
                if cut_next {
                    lost.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
                to_client.write_all(answer).await.ok()?;
            }
        }
    }
}
