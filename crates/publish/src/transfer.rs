//! A blob's bytes as they pass: read a piece at a time, hashed, counted, and watched for standing
//! still.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use crate::attachment::Opened;
use crate::error::XrpcError;

/// How much of a blob is in memory at a time, in bytes: enough to fill a connection.
const CHUNK: usize = 64 << 10;

/// What is known of a blob while it is read.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) hash: Sha256,
    pub(crate) read: u64,
    /// Nothing more will be sent: the source is at its end, or beyond what was announced.
    pub(crate) ended: bool,
    pub(crate) failure: Option<std::io::Error>,
}

/// Progress that the one who reads and the one who waits both see.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Progress>>);

impl Shared {
    /// What came of it, once nobody reads any more.
    pub(crate) fn take(&self) -> Progress {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The source's bytes, hashed as they pass. Each piece is held back until the next one is there:
/// once the announced number of bytes is sent, nobody asks for more, and a source that has grown
/// would go unnoticed.
pub(crate) fn hashed(
    opened: Opened,
    progress: Shared,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let announced = opened.size.unwrap_or(u64::MAX);
    let chunks = ReaderStream::with_capacity(opened.reader, CHUNK);
    let state = (chunks, None::<Bytes>, progress);
    futures::stream::unfold(state, move |(mut chunks, mut held, progress)| async move {
        loop {
            let chunk = chunks.next().await;
            let ready = progress.lock().take(chunk, &mut held, announced)?;
            if let Some(item) = ready {
                return Some((item, (chunks, held, progress)));
            }
        }
    })
}

impl Progress {
    /// Takes in what the source gave next, and says what is to be sent now: `None` when all is
    /// sent, `Some(None)` when it is to be read further first.
    fn take(
        &mut self,
        chunk: Option<std::io::Result<Bytes>>,
        held: &mut Option<Bytes>,
        announced: u64,
    ) -> Option<Option<std::io::Result<Bytes>>> {
        match chunk {
            None => {
                self.ended = true;
                held.take().map(|last| Some(Ok(last)))
            }
            Some(Err(error)) => {
                self.failure = Some(std::io::Error::new(error.kind(), error.to_string()));
                Some(Some(Err(error)))
            }
            Some(Ok(chunk)) => {
                self.hash.update(&chunk);
                self.read += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                self.ended = self.read > announced;
                match self.ended {
                    true => Some(Some(Err(std::io::Error::other(
                        "it grew while it was sent",
                    )))),
                    false => Some(held.replace(chunk).map(Ok)),
                }
            }
        }
    }
}

/// Waits for an exchange as long as it moves: a transfer has no fixed time, but one that stands
/// still for `patience` has failed.
pub(crate) async fn while_moving<T>(
    exchange: impl Future<Output = Result<T, XrpcError>>,
    progress: &Shared,
    patience: Duration,
    stalled: impl FnOnce() -> XrpcError,
) -> Result<T, XrpcError> {
    tokio::pin!(exchange);
    let mut seen = None;
    loop {
        match tokio::time::timeout(patience, &mut exchange).await {
            Ok(outcome) => return outcome,
            Err(_) => {
                let read = Some(progress.lock().read);
                if read == seen {
                    return Err(stalled());
                }
                seen = read;
            }
        }
    }
}
