//! Blobs on their way to the PDS: streamed, hashed on the way, compared with what the PDS says.

use std::path::PathBuf;

use atcomms_lexicon::cid::{CODEC_RAW, from_digest};
use atcomms_lexicon::{BlobRef, Cid, fault};
use http::{HeaderValue, StatusCode, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::Digest;

use crate::answer;
use crate::attachment::{Attachment, Opened};
use crate::error::XrpcError;
use crate::error_kind::ErrorKind;
use crate::rate_limit::RateLimit;
use crate::session::Session;
use crate::token::Tokens;
use crate::transfer::{Shared, hashed, while_moving};

const UPLOAD_BLOB: &str = "com.atproto.repo.uploadBlob";

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
    #[error(
        "{what} has {size} bytes, which is more than the PDS accepts (at most {limit}, as far as is known): send less, or in parts"
    )]
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

/// Sends an attachment's bytes and returns the blob as the PDS names it, and what it said of its rate
/// limits.
pub(crate) async fn upload(
    session: &Session,
    attachment: &mut Attachment,
) -> Result<(BlobRef, Option<RateLimit>), UploadError> {
    let what = attachment.shown();
    let mime_type = check_mime_type(attachment)?;
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

/// Whether an attachment's MIME type can be sent.
pub(crate) fn check_mime_type(attachment: &Attachment) -> Result<HeaderValue, UploadError> {
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
fn check_size(session: &Session, what: &str, size: u64) -> Result<(), UploadError> {
    match session.blob_limit() {
        Some(limit) if size > limit => Err(too_large(what.to_owned(), size, limit)),
        _ => Ok(()),
    }
}

pub(crate) fn too_large(what: String, size: u64, limit: u64) -> UploadError {
    UploadError::TooLarge { what, size, limit }
}

async fn send(
    session: &Session,
    what: &str,
    opened: Opened,
    mime_type: HeaderValue,
    tokens: &Tokens,
) -> Result<(BlobRef, Option<RateLimit>), UploadError> {
    let failed = |source| UploadError::Xrpc {
        what: what.to_owned(),
        source: Box::new(source),
    };
    let xrpc = session.xrpc();
    // A size of nothing is often no size: what the kernel makes up as it is read (/proc) has none.
    let size = opened.size.filter(|size| *size > 0);
    let opened = Opened { size, ..opened };
    let bearer = xrpc.bearer(tokens.access.expose_secret()).map_err(failed)?;
    let progress = Shared::default();
    let mut request = xrpc
        .upload(xrpc.url(UPLOAD_BLOB, &[]))
        .header(header::AUTHORIZATION, bearer)
        .header(header::CONTENT_TYPE, mime_type)
        .body(reqwest::Body::wrap_stream(hashed(opened, progress.clone())));
    if let Some(size) = size {
        request = request.header(header::CONTENT_LENGTH, size);
    }
    let exchange = async {
        let response = request.send().await;
        let response = response.map_err(|error| xrpc.failed(UPLOAD_BLOB, error))?;
        xrpc.read(UPLOAD_BLOB, response).await
    };
    let stalled = || xrpc.timed_out(UPLOAD_BLOB, xrpc.timeout());
    let response = while_moving(exchange, &progress, xrpc.timeout(), stalled).await;
    if !matches!(&response, Ok(response) if response.status().is_success()) {
        xrpc.abandon_uploads();
    }

    let progress = progress.take();
    let what = what.to_owned();
    if let Some(source) = progress.failure {
        return Err(UploadError::Unreadable { what, source });
    }
    let read = progress.read;
    if let Some(expected) = size.filter(|size| progress.ended && read != *size) {
        return Err(UploadError::Changed {
            what,
            expected,
            read,
        });
    }
    let response = response.map_err(failed)?;
    let rate_limit = RateLimit::from_headers(response.headers());
    session.note(rate_limit.clone());
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let size = size.unwrap_or(read);
        let limit = session.learn_blob_limit(size.saturating_sub(1));
        return Err(too_large(what, size, limit));
    }
    let secrets = [Some(tokens.access.expose_secret())];
    let answer = answer::read::<Uploaded>(&xrpc.name(), UPLOAD_BLOB, response, &secrets);
    let blob = answer.map_err(failed)?.body.blob;
    let expected = from_digest(CODEC_RAW, &progress.hash.finalize().into());
    if (blob.cid != expected || blob.size != read) && !fault::on("blob-cid") {
        return Err(UploadError::CidMismatch {
            pds: xrpc.name(),
            what,
            expected: Box::new(expected),
            got: Box::new(blob.cid),
            size: read,
            got_size: blob.size,
        });
    }
    Ok((blob, rate_limit))
}
