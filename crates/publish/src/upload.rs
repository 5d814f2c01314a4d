//! Blobs on their way to the PDS: streamed, hashed on the way, compared with what the PDS says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atcomms_lexicon::cid::{CODEC_RAW, from_digest};
use atcomms_lexicon::{BlobRef, Cid};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderValue, Method, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use crate::answer;
use crate::attachment::{Attachment, Opened};
use crate::error::XrpcError;
use crate::error_kind::ErrorKind;
use crate::rate_limit::RateLimit;
use crate::session::Session;
use crate::token::Tokens;

const UPLOAD_BLOB: &str = "com.atproto.repo.uploadBlob";

/// How much of a blob is in memory at a time, in bytes: enough to fill a connection.
const CHUNK: usize = 64 << 10;

/// How often one blob is sent: once more after a connection that broke or a token that expired.
const TRIES: usize = 2;

/// Why a blob was not uploaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// It could not be read.
    #[error("{what} could not be read ({source}): check that it is there and may be read")]
    Unreadable {
        /// The file, or what the attachment is called.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder, a device, or something else that is no file.
    #[error("{} is not a file: attach files one by one, or pack them into one", .path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// It is larger than the PDS accepts.
    #[error("{what} has {size} bytes, and the PDS accepts {limit}: send less, or in parts")]
    TooLarge {
        /// The file, or what the attachment is called.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The most that the PDS is known to accept, in bytes.
        limit: u64,
    },
    /// It has another size than when the transfer began.
    #[error(
        "{what} changed while it was sent ({read} bytes instead of {expected}): send it again when it is complete"
    )]
    Changed {
        /// The file, or what the attachment is called.
        what: String,
        /// Its size at the beginning, in bytes.
        expected: u64,
        /// How many bytes were read.
        read: u64,
    },
    /// The MIME type cannot be sent.
    #[error("{mime_type:?} is not a MIME type: give one such as text/plain")]
    MimeType {
        /// What was given.
        mime_type: String,
    },
    /// The PDS stored something else than was sent.
    #[error(
        "{pds} stored {what} as {got} ({got_size} bytes), and {expected} ({size} bytes) was sent: the transfer was damaged, or the PDS alters blobs; try again, and then tell its operator"
    )]
    CidMismatch {
        /// The PDS.
        pds: String,
        /// The file, or what the attachment is called.
        what: String,
        /// The CID of what was sent.
        expected: Box<Cid>,
        /// What the PDS answered.
        got: Box<Cid>,
        /// How many bytes were sent.
        size: u64,
        /// How many bytes the PDS says.
        got_size: u64,
    },
    /// The PDS gave no usable answer.
    #[error("{what} was not uploaded: {source}")]
    Xrpc {
        /// The file, or what the attachment is called.
        what: String,
        /// Why.
        source: Box<XrpcError>,
    },
}

impl UploadError {
    /// What kind of failure it is, for exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Xrpc { source, .. } => source.kind(),
            Self::CidMismatch { .. } => ErrorKind::Failed,
            _ => ErrorKind::Invalid,
        }
    }

    /// Whether the same upload may succeed later, without the user doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Xrpc { source, .. } if source.is_transient())
    }
}

#[derive(Deserialize)]
struct Uploaded {
    blob: BlobRef,
}

/// Sends an attachment's bytes and returns the blob as the PDS names it.
pub(crate) async fn upload(
    session: &Session,
    attachment: &mut Attachment,
) -> Result<BlobRef, UploadError> {
    let what = attachment.shown();
    let mime_type = mime_type(attachment)?;
    let failed = |source| UploadError::Xrpc {
        what: what.clone(),
        source: Box::new(source),
    };
    let mut tokens = session.tokens().await.map_err(failed)?;
    for tries_left in (0..TRIES).rev() {
        if let Some(size) = attachment.size().await? {
            check_size(session, &what, size)?;
        }
        // A reader is exhausted after its first try, which then has returned its own error.
        let Some(opened) = attachment.open().await? else {
            break;
        };
        let again = tries_left > 0 && attachment.is_repeatable();
        match send(session, &what, opened, mime_type.clone(), &tokens).await {
            Err(UploadError::Xrpc { source, .. }) if again && source.is_worth_repeating() => {
                if source.is_token_refused() {
                    tokens = session.renew(&tokens).await.map_err(failed)?;
                }
                tracing::debug!(%what, error = %source, "uploading once more");
            }
            outcome => return outcome,
        }
    }
    Err(UploadError::Unreadable {
        what,
        source: std::io::Error::other("it was read before, and a reader can be read only once"),
    })
}

fn mime_type(attachment: &Attachment) -> Result<HeaderValue, UploadError> {
    let text = attachment.sent_mime_type();
    let value = HeaderValue::from_str(text).ok().filter(|_| {
        text.split_once('/')
            .is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty())
    });
    value.ok_or_else(|| UploadError::MimeType {
        mime_type: text.to_owned(),
    })
}

/// Refuses what is known to be too large, before it is sent.
pub(crate) fn check_size(session: &Session, what: &str, size: u64) -> Result<(), UploadError> {
    match session.blob_limit() {
        Some(limit) if size > limit => Err(UploadError::TooLarge {
            what: what.to_owned(),
            size,
            limit,
        }),
        _ => Ok(()),
    }
}

/// What is known of a blob while it is read.
#[derive(Default)]
struct Progress {
    hash: Sha256,
    read: u64,
    /// Nothing more will be sent: the source is at its end, or beyond what was announced.
    ended: bool,
    failure: Option<std::io::Error>,
}

type Shared = Arc<Mutex<Progress>>;

async fn send(
    session: &Session,
    what: &str,
    opened: Opened,
    mime_type: HeaderValue,
    tokens: &Tokens,
) -> Result<BlobRef, UploadError> {
    let failed = |source| UploadError::Xrpc {
        what: what.to_owned(),
        source: Box::new(source),
    };
    let xrpc = session.xrpc();
    // A size of nothing is often no size: what the kernel makes up as it is read (/proc) has none.
    let size = opened.size.filter(|size| *size > 0);
    let opened = Opened { size, ..opened };
    let progress = Shared::default();
    let mut request = xrpc
        .request(Method::POST, xrpc.url(UPLOAD_BLOB, &[]))
        .header(
            header::AUTHORIZATION,
            xrpc.bearer(tokens.access.expose_secret()).map_err(failed)?,
        )
        .header(header::CONTENT_TYPE, mime_type)
        .body(reqwest::Body::wrap_stream(hashed(opened, progress.clone())));
    if let Some(size) = size {
        request = request.header(header::CONTENT_LENGTH, size);
    }
    let exchange = async {
        let response = request
            .send()
            .await
            .map_err(|error| xrpc.failed(UPLOAD_BLOB, error))?;
        xrpc.read(UPLOAD_BLOB, response).await
    };
    let stalled = || xrpc.timed_out(UPLOAD_BLOB, xrpc.timeout());
    let response = while_moving(exchange, &progress, xrpc.timeout(), stalled).await;

    let Progress {
        hash,
        read,
        ended,
        failure,
    } = std::mem::take(&mut *lock(&progress));
    if let Some(source) = failure {
        return Err(UploadError::Unreadable {
            what: what.to_owned(),
            source,
        });
    }
    if let Some(expected) = size.filter(|size| ended && read != *size) {
        return Err(UploadError::Changed {
            what: what.to_owned(),
            expected,
            read,
        });
    }
    let response = response.map_err(failed)?;
    session.note(RateLimit::from_headers(response.headers()));
    let secrets = [Some(tokens.access.expose_secret())];
    let answer = answer::read::<Uploaded>(&xrpc.name(), UPLOAD_BLOB, response, &secrets);
    let blob = match answer {
        Ok(answer) => answer.body.blob,
        Err(XrpcError::Refused { status: 413, .. }) => {
            let size = size.unwrap_or(read);
            let limit = session.learn_blob_limit(size.saturating_sub(1));
            return Err(UploadError::TooLarge {
                what: what.to_owned(),
                size,
                limit,
            });
        }
        Err(error) => return Err(failed(error)),
    };
    let expected = from_digest(CODEC_RAW, &hash.finalize().into());
    if blob.cid != expected || blob.size != read {
        return Err(UploadError::CidMismatch {
            pds: xrpc.name(),
            what: what.to_owned(),
            expected: Box::new(expected),
            got: Box::new(blob.cid),
            size: read,
            got_size: blob.size,
        });
    }
    Ok(blob)
}

/// The source's bytes, hashed as they pass. Each piece is held back until the next one is there:
/// once the announced number of bytes is sent, nobody asks for more, and a source that has grown
/// would go unnoticed.
fn hashed(
    opened: Opened,
    progress: Shared,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let announced = opened.size.unwrap_or(u64::MAX);
    let chunks = ReaderStream::with_capacity(opened.reader, CHUNK);
    let state = (chunks, None::<Bytes>, progress);
    futures::stream::unfold(state, move |(mut chunks, mut held, progress)| async move {
        loop {
            let chunk = chunks.next().await;
            let ready = lock(&progress).take(chunk, &mut held, announced)?;
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
async fn while_moving<T>(
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
                let read = Some(lock(progress).read);
                if read == seen {
                    return Err(stalled());
                }
                seen = read;
            }
        }
    }
}

fn lock(progress: &Shared) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
