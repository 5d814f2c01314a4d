//! A way to the PDS that counts what it refuses for its rate limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// How every answer of this kind begins.
const REFUSED: &[u8] = b"HTTP/1.1 429 ";

/// A proxy that counts answers.
pub(crate) struct Counting {
    url: Url,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    answers: AtomicUsize,
    refused: AtomicUsize,
}

impl Counting {
    pub(crate) async fn before(pds: &Url) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = format!("127.0.0.1:{}", pds.port().unwrap());
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, target.clone(), shared.clone()));
            }
        });
        Self {
            url: url.parse().unwrap(),
            counts,
            task,
        }
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    /// How many answers there were, and how many of them were refusals.
    pub(crate) fn answers(&self) -> (usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (read(&self.counts.answers), read(&self.counts.refused))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes both directions on. Requests on one connection do not overlap, so that the first bytes after a
/// request are the head of its answer.
async fn serve(client: TcpStream, target: String, counts: Arc<Counts>) -> Option<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_pds, mut to_pds) = TcpStream::connect(target).await.ok()?.into_split();
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut asked = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => {
                asked = true;
                to_pds.write_all(up.get(..read.ok().filter(|n| *n > 0)?)?).await.ok()?;
            }
            read = from_pds.read(&mut down) => {
                let answer = down.get(..read.ok().filter(|n| *n > 0)?)?;
                if std::mem::take(&mut asked) {
                    counts.answers.fetch_add(1, Ordering::SeqCst);
                    let refused = usize::from(answer.starts_with(REFUSED));
                    counts.refused.fetch_add(refused, Ordering::SeqCst);
                }
                to_client.write_all(answer).await.ok()?;
            }
        }
    }
}
