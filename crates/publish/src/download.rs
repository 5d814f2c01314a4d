//! Blobs on their way in: from the PDS of whoever attached them, checked as they stream.
//!
//! Size and CID come from the signed record, and the bytes must agree with both. The MIME type and
//! the name come from the sender, and are never used here: where the bytes go, and what they are
//! taken for, is the caller's decision.

use std::time::Duration;

use atcomms_identity::{GuardedClient, RequestError};
use atcomms_lexicon::cid::{CODEC_RAW, from_digest};
use atcomms_lexicon::{BlobRef, Cid, Did, fault};
use http::{StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use url::Url;

use crate::answer;
use crate::error::XrpcError;
use crate::error_kind::ErrorKind;
use crate::xrpc::REQUEST_TIMEOUT;

const GET_BLOB: &str = "com.atproto.sync.getBlob";

/// The largest blob that is fetched unless the caller says otherwise, in bytes: 100 MiB, what the
/// largest PDSs accept. The size is the sender's word, and could fill a disk.
pub const MAX_DOWNLOAD: u64 = 100 << 20;

/// The slowest transfer that is waited for, in bytes a second. A server that sends a byte now and
/// then would hold a download for days.
const SLOWEST: u64 = 16 << 10;

/// How many bytes of a refusal are read: a name and a sentence.
const MAX_ERROR: usize = 64 << 10;

/// Why a blob was not fetched. What was written until then is to be thrown away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The record says that it is larger than is accepted here.
    #[error(
        "the blob {cid} has {size} bytes and at most {limit} are fetched: allow more if you want it"
    )]
    TooLarge {
        /// The blob.
        cid: Box<Cid>,
        /// Its size in bytes, as the record says.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The record names the blob by something that is no hash of bytes.
    #[error(
        "{cid} cannot be checked: a blob is named by the SHA-256 of its bytes, and this is another kind of CID; tell the sender"
    )]
    Unsupported {
        /// The blob.
        cid: Box<Cid>,
    },
    /// There are more or fewer bytes than the record says.
    #[error(
        "{pds} sent {got} bytes of the blob {cid}, which has {size}: it was damaged or replaced; throw it away"
    )]
    WrongSize {
        /// The PDS.
        pds: String,
        /// The blob.
        cid: Box<Cid>,
        /// Its size in bytes, as the record says.
        size: u64,
        /// How many came; the rest of a longer one was not read.
        got: u64,
    },
    /// The bytes are others than those the record names.
    #[error(
        "{pds} sent {got} instead of the blob {cid}: it was damaged or replaced; throw it away"
    )]
    WrongCid {
        /// The PDS.
        pds: String,
        /// The blob.
        cid: Box<Cid>,
        /// The CID of what came.
        got: Box<Cid>,
    },
    /// The caller's writer failed.
    #[error("the blob {cid} could not be written ({source}): check the disk")]
    Write {
        /// The blob.
        cid: Box<Cid>,
        /// What the writer said.
        source: std::io::Error,
    },
    /// The PDS is at an address where no connection is made.
    #[error(transparent)]
    Guard(#[from] atcomms_identity::Refused),
    /// The PDS gave no usable answer.
    #[error("the blob {cid} was not fetched: {source}")]
    Xrpc {
        /// The blob.
        cid: Box<Cid>,
        /// Why.
        source: XrpcError,
    },
}

impl DownloadError {
    /// What kind of failure it is, for exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Xrpc { source, .. } => source.kind(),
            Self::TooLarge { .. } | Self::Guard(_) => ErrorKind::Invalid,
            _ => ErrorKind::Failed,
        }
    }

    /// Whether the same download may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Xrpc { source, .. } if source.is_transient())
    }
}

/// Fetches blobs from any PDS. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Downloader {
    client: GuardedClient,
    limit: u64,
    patience: Duration,
}

impl Downloader {
    /// A downloader that connects to public addresses, and to this machine's own if
    /// `allow_loopback`.
    pub fn new(allow_loopback: bool) -> Self {
        Self::with_client(GuardedClient::new(allow_loopback))
    }

    /// A downloader on a client that exists already.
    pub fn with_client(client: GuardedClient) -> Self {
        Self {
            client,
            limit: MAX_DOWNLOAD,
            patience: REQUEST_TIMEOUT,
        }
    }

    /// The largest blob that is fetched, in bytes; [`MAX_DOWNLOAD`] by default.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// How long the PDS may take to begin, or stand still in the middle; [`REQUEST_TIMEOUT`] by
    /// default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Streams a blob of `author`'s repository from its PDS into a writer, and checks size and CID
    /// on the way. Only after `Ok` is what was written known to be the blob: write to a temporary
    /// file, and rename it then.
    ///
    /// Not cancel safe: a part of the blob may have been written.
    ///
    /// # Errors
    /// [`DownloadError`] says why not, and what to do.
    pub async fn download(
        &self,
        pds: &Url,
        author: &Did,
        blob: &BlobRef,
        into: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Result<(), DownloadError> {
        let cid = blob.cid;
        if blob.size > self.limit {
            return Err(DownloadError::TooLarge {
                cid: Box::new(cid),
                size: blob.size,
                limit: self.limit,
            });
        }
        if cid.codec() != CODEC_RAW || cid != from_digest(CODEC_RAW, &digest_of(&cid)?) {
            return Err(DownloadError::Unsupported { cid: Box::new(cid) });
        }
        let mut url = pds.clone();
        url.set_path(&format!("/xrpc/{GET_BLOB}"));
        url.query_pairs_mut()
            .clear()
            .append_pair("did", author.as_str())
            .append_pair("cid", &cid.to_string());
        let pds = pds.as_str().trim_end_matches('/').to_owned();
        let transfer = Transfer {
            pds,
            blob,
            deadline: self.deadline(blob.size),
            patience: self.patience,
        };
        // The stored bytes are what the CID names: a compressed transfer would be another length.
        let request = self
            .client
            .get(url)?
            .header(header::ACCEPT_ENCODING, "identity");
        let response = transfer.begin(request).await?;
        transfer.receive(response, into).await
    }

    fn deadline(&self, size: u64) -> Instant {
        Instant::now() + self.patience + Duration::from_secs(size / SLOWEST)
    }
}

/// The hash within a CID; an error if it is no SHA-256.
fn digest_of(cid: &Cid) -> Result<[u8; 32], DownloadError> {
    <[u8; 32]>::try_from(cid.hash().digest()).map_err(|_| DownloadError::Unsupported {
        cid: Box::new(*cid),
    })
}

/// One blob on its way.
struct Transfer<'a> {
    pds: String,
    blob: &'a BlobRef,
    deadline: Instant,
    patience: Duration,
}

impl Transfer<'_> {
    async fn begin(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, DownloadError> {
        let response = match self
            .timed(request.send())
            .await?
            .map_err(RequestError::from)
        {
            Ok(response) => response,
            Err(RequestError::Refused(refused)) => return Err(refused.into()),
            Err(RequestError::Http(error)) => return Err(self.failed(error)),
            Err(other) => return Err(self.xrpc(self.lost(std::sync::Arc::new(other)))),
        };
        let got = response.content_length();
        match response.status() {
            StatusCode::OK => {}
            _ => return Err(self.refusal(response).await),
        }
        match got {
            Some(got) if got != self.blob.size => Err(self.wrong_size(got)),
            _ => Ok(response),
        }
    }

    async fn receive(
        &self,
        mut response: reqwest::Response,
        into: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Result<(), DownloadError> {
        let cid = self.blob.cid;
        let unwritten = |source| DownloadError::Write {
            cid: Box::new(cid),
            source,
        };
        let mut hash = Sha256::new();
        let mut got: u64 = 0;
        while let Some(chunk) = self
            .timed(response.chunk())
            .await?
            .map_err(|error| self.failed(error))?
        {
            got = got.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if got > self.blob.size {
                return Err(self.wrong_size(got));
            }
            hash.update(&chunk);
            into.write_all(&chunk).await.map_err(unwritten)?;
        }
        if got != self.blob.size {
            return Err(self.wrong_size(got));
        }
        let got = from_digest(CODEC_RAW, &hash.finalize().into());
        if got != cid && !fault::on("downloaded-bytes") {
            return Err(DownloadError::WrongCid {
                pds: self.pds.clone(),
                cid: Box::new(cid),
                got: Box::new(got),
            });
        }
        into.flush().await.map_err(unwritten)
    }

    /// Waits for the next step, but neither too long for one step nor beyond the whole's time.
    async fn timed<T>(&self, step: impl Future<Output = T>) -> Result<T, DownloadError> {
        let until = self.deadline.min(Instant::now() + self.patience);
        tokio::time::timeout_at(until, step).await.map_err(|_| {
            self.xrpc(XrpcError::TimedOut {
                pds: self.pds.clone(),
                method: GET_BLOB.to_owned(),
                after: self.patience,
            })
        })
    }

    async fn refusal(&self, mut response: reqwest::Response) -> DownloadError {
        let mut body = Vec::new();
        while let Ok(Ok(Some(chunk))) = self.timed(response.chunk()).await {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ERROR {
                break;
            }
        }
        let mut read = http::Response::new(body);
        *read.status_mut() = response.status();
        *read.headers_mut() = std::mem::take(response.headers_mut());
        self.xrpc(answer::refusal(&self.pds, GET_BLOB, &read, &[]))
    }

    fn failed(&self, error: reqwest::Error) -> DownloadError {
        let connecting = error.is_connect();
        let source: crate::error::Cause = std::sync::Arc::new(error.without_url());
        self.xrpc(if connecting {
            XrpcError::Unreachable {
                pds: self.pds.clone(),
                source,
            }
        } else {
            self.lost(source)
        })
    }

    fn lost(&self, source: crate::error::Cause) -> XrpcError {
        XrpcError::AnswerLost {
            pds: self.pds.clone(),
            method: GET_BLOB.to_owned(),
            source,
        }
    }

    fn xrpc(&self, source: XrpcError) -> DownloadError {
        DownloadError::Xrpc {
            cid: Box::new(self.blob.cid),
            source,
        }
    }

    fn wrong_size(&self, got: u64) -> DownloadError {
        DownloadError::WrongSize {
            pds: self.pds.clone(),
            cid: Box::new(self.blob.cid),
            size: self.blob.size,
            got,
        }
    }
}
