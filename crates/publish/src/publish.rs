//! From a typed record to a write: checks, attachments, encoding.
//!
//! Everything that can be known to be wrong is refused before the first byte is sent: a sender who
//! is not the account (promise P6), the key, the limits (with stand-ins for what is yet to be
//! uploaded), a missing or too large file.

use atcomms_lexicon::{
    Artifact, BlobRef, Cid, Encoded, KeyType, Nsid, Record, RecordKey, Tid, cid_for_raw,
    claimed_author, encode,
};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::attach::Attach;
use crate::attachment::Attachment;
use crate::pds::{Place, Swap};
use crate::publish_error::PublishError;
use crate::publisher::Publisher;
use crate::receipt::Receipt;
use crate::upload::{check_size, upload};
use crate::write::write;

/// From this size on, in bytes, a record's bulk is better off in a blob: each record travels to
/// everybody who watches, a blob only to who fetches it.
const LARGE_RECORD: usize = 32 << 10;

/// A record about to be published as a new one: `.await` it.
///
/// Not cancel safe: if it is dropped halfway, the record may have been written or not. With a key
/// of your own ([`key`](Self::key)) you can publish it again, and it is written once.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Debug)]
pub struct Publish<R>(Draft<R>);

/// A record about to be written over what its key holds: `.await` it.
///
/// Not cancel safe: if it is dropped halfway, the record may have been written or not.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Debug)]
pub struct Put<R> {
    draft: Draft<R>,
    swap: Swap,
}

#[derive(Debug)]
struct Draft<R> {
    publisher: Publisher,
    record: R,
    key: Option<RecordKey>,
    attachments: Vec<Attachment>,
    /// Where the attachments go; set with the first of them.
    list: Option<fn(&mut R) -> &mut Vec<Artifact>>,
}

impl<R: Record> Publish<R> {
    pub(crate) fn new(publisher: Publisher, record: R) -> Self {
        Self(Draft::new(publisher, record))
    }

    /// The record's key, instead of a new one or the derived one. The same record published again
    /// with the same key is there once; another record fails as [`PublishError::KeyTaken`].
    pub fn key(mut self, key: RecordKey) -> Self {
        self.0.key = Some(key);
        self
    }
}

impl<R: Attach> Publish<R> {
    /// Attaches bytes: they are uploaded right before the record is written.
    pub fn attach(mut self, attachment: Attachment) -> Self {
        self.0.attach(attachment);
        self
    }
}

impl<R: Record> Put<R> {
    pub(crate) fn new(publisher: Publisher, record: R) -> Self {
        Self {
            draft: Draft::new(publisher, record),
            swap: Swap::Any,
        }
    }

    /// The key of the record to be written. Needed where the key is not derived or fixed.
    pub fn key(mut self, key: RecordKey) -> Self {
        self.draft.key = Some(key);
        self
    }

    /// Writes only if the record that is there now is this one, and fails as
    /// [`PublishError::SwapFailed`] otherwise.
    pub fn swap(mut self, expected: Cid) -> Self {
        self.swap = Swap::At(expected);
        self
    }
}

impl<R: Attach> Put<R> {
    /// Attaches bytes: they are uploaded right before the record is written.
    pub fn attach(mut self, attachment: Attachment) -> Self {
        self.draft.attach(attachment);
        self
    }
}

impl<R: Record> IntoFuture for Publish<R> {
    type Output = Result<Receipt, PublishError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.0.send(Swap::Absent).boxed()
    }
}

impl<R: Record> IntoFuture for Put<R> {
    type Output = Result<Receipt, PublishError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.draft.send(self.swap).boxed()
    }
}

impl<R: Attach> Draft<R> {
    fn attach(&mut self, attachment: Attachment) {
        self.attachments.push(attachment);
        self.list = Some(R::attachments);
    }
}

impl<R: Record> Draft<R> {
    fn new(publisher: Publisher, record: R) -> Self {
        Self {
            publisher,
            record,
            key: None,
            attachments: Vec::new(),
            list: None,
        }
    }

    async fn send(mut self, swap: Swap) -> Result<Receipt, PublishError> {
        let place = self.place(swap)?;
        self.rehearse().await?;
        let encoded = self.upload().await?;
        let session = self.publisher.session();
        match write(session, &place, &encoded, swap).await {
            // The PDS collects blobs that no record refers to; between upload and write it may
            // have done so.
            Err(error) if error.is_blob_missing() && self.can_upload_again() => {
                let encoded = self.upload().await?;
                write(self.publisher.session(), &place, &encoded, swap).await
            }
            outcome => outcome,
        }
    }

    /// The record's place, its key fixed from here on.
    fn place(&self, swap: Swap) -> Result<Place, PublishError> {
        let collection: Nsid = R::NSID.parse().map_err(PublishError::Collection)?;
        let rkey = match &self.key {
            Some(key) => checked::<R>(key)?,
            None => self.own_key(swap)?,
        };
        Ok(Place {
            repo: self.publisher.session().did().clone(),
            collection,
            rkey,
        })
    }

    fn own_key(&self, swap: Swap) -> Result<RecordKey, PublishError> {
        if let Some(key) = self.record.derived_key() {
            return Ok(key);
        }
        let text = match R::KEY {
            KeyType::LiteralSelf => SELF.to_owned(),
            _ if swap == Swap::Absent => self.publisher.next_tid().to_string(),
            _ => return Err(PublishError::KeyNeeded { nsid: R::NSID }),
        };
        let key = |_| PublishError::Key {
            key: text.clone(),
            nsid: R::NSID,
            expected: R::KEY,
        };
        text.parse().map_err(key)
    }

    /// Does everything but send: with stand-ins of the right size in the places of the blobs.
    async fn rehearse(&self) -> Result<(), PublishError> {
        let mut artifacts = Vec::new();
        for attachment in &self.attachments {
            let size = attachment.size().await?;
            if let Some(size) = size {
                check_size(self.publisher.session(), &attachment.shown(), size)?;
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

    /// Uploads the attachments and encodes the record with what the PDS says of them.
    async fn upload(&mut self) -> Result<Encoded, PublishError> {
        let mut artifacts = Vec::new();
        for attachment in &mut self.attachments {
            let blob = upload(self.publisher.session(), attachment).await?;
            artifacts.push(artifact(attachment, blob));
        }
        let encoded = self.encoded(artifacts)?;
        if encoded.cbor.len() >= LARGE_RECORD {
            let bytes = encoded.cbor.len();
            tracing::warn!(
                nsid = R::NSID,
                bytes,
                "a large record: attach its bulk as a blob"
            );
        }
        Ok(encoded)
    }

    fn encoded(&self, artifacts: Vec<Artifact>) -> Result<Encoded, PublishError> {
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

    fn can_upload_again(&self) -> bool {
        !self.attachments.is_empty() && self.attachments.iter().all(Attachment::is_repeatable)
    }
}

/// The only key of a collection that holds one record.
const SELF: &str = "self";

fn checked<R: Record>(key: &RecordKey) -> Result<RecordKey, PublishError> {
    let fits = match R::KEY {
        KeyType::Tid => key.as_str().parse::<Tid>().is_ok(),
        KeyType::LiteralSelf => key.as_str() == SELF,
        _ => true,
    };
    let wrong = || PublishError::Key {
        key: key.to_string(),
        nsid: R::NSID,
        expected: R::KEY,
    };
    fits.then(|| key.clone()).ok_or_else(wrong)
}

fn artifact(attachment: &Attachment, blob: BlobRef) -> Artifact {
    let mut artifact = Artifact::new(blob);
    artifact.name.clone_from(&attachment.name);
    artifact.description.clone_from(&attachment.description);
    artifact.role.clone_from(&attachment.role);
    artifact
}
