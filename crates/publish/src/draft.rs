//! From a typed record to an entry of the outbox: checks, attachments, encoding.
//!
//! Everything that can be known to be wrong is refused before anything is kept: a sender who is not the
//! account (promise P6), the key, the limits, a missing or too large file.

use atcomms_lexicon::{
    Artifact, AtUri, BlobRef, Cid, Encoded, KeyType, Nsid, Record, RecordKey, Tid, Value,
    cid_for_raw, claimed_author, encode,
};
use atcomms_store::{Action, Blob, CopiedBlob, CopyError, Draft as Row, Key, MAX_PRIORITY};

use crate::accepted::{Accepted, FromEntry};
use crate::attach::Attach;
use crate::attachment::Attachment;
use crate::publish_error::PublishError;
use crate::publisher::Publisher;
use crate::receipt::Deleted;
use crate::upload::{UploadError, check_mime_type, too_large};

/// From this size on, in bytes, a record's bulk is better off in a blob: each record travels to
/// everybody who watches, a blob only to who fetches it.
const LARGE_RECORD: usize = 32 << 10;

/// The longest key of a caller's own, in bytes: as long as a record key may be.
const MAX_ONCE: usize = 512;

/// The only key of a collection that holds one record.
const SELF: &str = "self";

#[derive(Debug)]
pub(crate) struct Draft<R> {
    pub(crate) publisher: Publisher,
    record: R,
    action: Action,
    pub(crate) key: Option<RecordKey>,
    pub(crate) swap: Option<Cid>,
    pub(crate) once: Option<String>,
    pub(crate) priority: Option<u8>,
    attachments: Vec<Attachment>,
    /// Where the attachments go; set with the first of them.
    list: Option<fn(&mut R) -> &mut Vec<Artifact>>,
}

/// An attachment that is in the store's folder.
struct Kept {
    artifact: Artifact,
    blob: Blob,
    copied: CopiedBlob,
}

impl<R: Attach> Draft<R> {
    pub(crate) fn attach(&mut self, attachment: Attachment) {
        self.attachments.push(attachment);
        self.list = Some(R::attachments);
    }
}

impl<R: Record> Draft<R> {
    pub(crate) fn new(publisher: Publisher, record: R, action: Action) -> Self {
        Self {
            publisher,
            record,
            action,
            key: None,
            swap: None,
            once: None,
            priority: None,
            attachments: Vec::new(),
            list: None,
        }
    }

    pub(crate) async fn accept(mut self) -> Result<Accepted, PublishError> {
        let collection: Nsid = R::NSID.parse().map_err(PublishError::Collection)?;
        let key = self.key()?;
        self.check_once()?;
        self.rehearse().await?;
        let kept = self.copy_attachments().await?;
        let encoded = self.encoded(kept.iter().map(|kept| kept.artifact.clone()))?;
        if encoded.cbor.len() >= LARGE_RECORD {
            let bytes = encoded.cbor.len();
            tracing::warn!(
                nsid = R::NSID,
                bytes,
                "a large record: attach its bulk as a blob"
            );
        }
        let (blobs, copied): (Vec<_>, Vec<_>) = kept
            .into_iter()
            .map(|kept| (kept.blob, kept.copied))
            .unzip();
        let row = Row {
            did: self.publisher.session().did().clone(),
            collection,
            key,
            action: self.action,
            swap: self.swap,
            priority: self.priority.unwrap_or_else(|| priority(&encoded)),
            // What the PDS says of an attachment becomes part of the record, and of its hash.
            cid: blobs.is_empty().then_some(encoded.cid),
            record: Some(encoded.cbor),
            blobs,
            copied,
            once: self.once,
        };
        self.publisher.accept(row).await
    }

    fn key(&self) -> Result<Key, PublishError> {
        if let Some(key) = &self.key {
            return checked::<R>(key).map(Key::Is);
        }
        if let Some(key) = self.record.derived_key() {
            return Ok(Key::Is(key));
        }
        match (R::KEY, self.action) {
            (KeyType::LiteralSelf, _) => {
                SELF.parse().map(Key::Is).map_err(|_| wrong_key::<R>(SELF))
            }
            (_, Action::Create) => Ok(self.publisher.next_key()),
            _ => Err(PublishError::KeyNeeded { nsid: R::NSID }),
        }
    }

    fn check_once(&self) -> Result<(), PublishError> {
        match &self.once {
            Some(once) if once.is_empty() || once.len() > MAX_ONCE => {
                Err(PublishError::Once { limit: MAX_ONCE })
            }
            _ => Ok(()),
        }
    }

    /// Does everything but copy: with stand-ins of the right size in the places of the blobs.
    async fn rehearse(&self) -> Result<(), PublishError> {
        let limit = self.blob_limit().await?;
        let mut artifacts = Vec::new();
        for attachment in &self.attachments {
            check_mime_type(attachment)?;
            let size = attachment.size().await?;
            if let (Some(size), Some(limit)) = (size, limit)
                && size > limit
            {
                return Err(too_large(attachment.shown(), size, limit).into());
            }
            let blob = BlobRef {
                cid: cid_for_raw(b""),
                mime_type: attachment.sent_mime_type().to_owned(),
                size: size.unwrap_or(0),
            };
            artifacts.push(artifact(attachment, blob));
        }
        self.encoded(artifacts).map(drop)
    }

    async fn blob_limit(&self) -> Result<Option<u64>, PublishError> {
        match self.attachments.is_empty() {
            true => Ok(None),
            false => Ok(self.publisher.blob_limit().await?),
        }
    }

    /// From here on the copies count, whatever becomes of the originals.
    async fn copy_attachments(&mut self) -> Result<Vec<Kept>, PublishError> {
        if self.attachments.is_empty() {
            return Ok(Vec::new());
        }
        let limit = self.blob_limit().await?.unwrap_or(u64::MAX);
        let folder = self.publisher.store().blobs().clone();
        let mut kept = Vec::new();
        for attachment in &mut self.attachments {
            let what = attachment.shown();
            let opened = attachment.open().await?;
            let reader = opened.ok_or_else(|| UploadError::Unreadable {
                what: what.clone(),
                source: std::io::Error::other("it was read before"),
            })?;
            let copied = match folder.copy(reader.reader, limit).await {
                Ok(copied) => copied,
                Err(CopyError::Read(source)) => {
                    return Err(UploadError::Unreadable { what, source }.into());
                }
                Err(CopyError::Store(error)) => return Err(error.into()),
                Err(_) => return Err(too_large(what, limit.saturating_add(1), limit).into()),
            };
            if let Some(expected) = reader.size.filter(|size| *size > 0 && *size != copied.size) {
                let read = copied.size;
                return Err(UploadError::Changed {
                    what,
                    expected,
                    read,
                }
                .into());
            }
            let mime_type = attachment.sent_mime_type().to_owned();
            let (cid, size) = (copied.cid, copied.size);
            let blob = Blob {
                cid,
                size,
                mime_type: mime_type.clone(),
            };
            let artifact = artifact(
                attachment,
                BlobRef {
                    cid,
                    mime_type,
                    size,
                },
            );
            kept.push(Kept {
                artifact,
                blob,
                copied,
            });
        }
        Ok(kept)
    }

    fn encoded(
        &self,
        artifacts: impl IntoIterator<Item = Artifact>,
    ) -> Result<Encoded, PublishError> {
        let mut record = self.record.clone();
        if let Some(list) = self.list {
            list(&mut record).extend(artifacts);
        }
        let encoded = encode(&record)?;
        let own = self.publisher.session().did();
        let named = record.claimed_author().map(|author| author.as_str());
        let claims = [named, claimed_author(R::NSID, &encoded.value)];
        let foreign = claims
            .into_iter()
            .flatten()
            .find(|claimed| *claimed != own.as_str());
        if let Some(claimed) = foreign.map(str::to_owned) {
            return Err(PublishError::ForeignSender {
                claimed,
                own: own.clone(),
            });
        }
        Ok(encoded)
    }
}

/// Accepts the delete of a record of one's own.
pub(crate) async fn accept_delete(
    publisher: &Publisher,
    uri: &AtUri,
    swap: Option<Cid>,
) -> Result<Accepted<Deleted>, PublishError> {
    let place = publisher.place_of(uri)?;
    let row = Row {
        did: place.repo,
        collection: place.collection,
        key: Key::Is(place.rkey),
        action: Action::Delete,
        swap,
        record: None,
        cid: None,
        blobs: Vec::new(),
        copied: Vec::new(),
        once: None,
        priority: 0,
    };
    publisher.accept(row).await
}

/// Accepts, and waits for the outcome. The publisher is kept for as long: it is the one that sends.
pub(crate) async fn awaited<T: FromEntry>(
    publisher: Publisher,
    accepting: impl Future<Output = Result<Accepted<T>, PublishError>>,
) -> Result<T, PublishError> {
    let outcome = accepting.await?.receipt().await;
    drop(publisher);
    outcome
}

/// The priority that a record of ours names.
fn priority(encoded: &Encoded) -> u8 {
    let named = encoded.value.get("priority").and_then(Value::as_int);
    let named = named.and_then(|named| u8::try_from(named).ok());
    named.unwrap_or(0).min(MAX_PRIORITY)
}

fn checked<R: Record>(key: &RecordKey) -> Result<RecordKey, PublishError> {
    let fits = match R::KEY {
        KeyType::Tid => key.as_str().parse::<Tid>().is_ok(),
        KeyType::LiteralSelf => key.as_str() == SELF,
        _ => true,
    };
    fits.then(|| key.clone())
        .ok_or_else(|| wrong_key::<R>(key.as_str()))
}

fn wrong_key<R: Record>(key: &str) -> PublishError {
    PublishError::Key {
        key: key.to_owned(),
        nsid: R::NSID,
        expected: R::KEY,
    }
}

fn artifact(attachment: &Attachment, blob: BlobRef) -> Artifact {
    let mut artifact = Artifact::new(blob);
    artifact.name.clone_from(&attachment.name);
    artifact.description.clone_from(&attachment.description);
    artifact.role.clone_from(&attachment.role);
    artifact
}
