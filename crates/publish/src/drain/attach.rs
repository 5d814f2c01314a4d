//! Attachments, right before the write: uploaded, and described as the PDS describes them.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::time::Duration;

use atcomms_lexicon::{Cid, Map, Value, cid_for_cbor};
use atcomms_store::{Blob, Entry, Outcome, Pool, Server, StoreError};

use super::batch::Batch;
use super::doubt::failed;
use super::hold::{Hold, limited, stuck, wait};
use super::trouble::{Trouble, costs_nothing, named_wait, trouble};
use super::{Drain, Next};
use crate::attachment::Attachment;
use crate::budget::Allowance;
use crate::clock::{millis, now};
use crate::error::XrpcError;
use crate::publish_error::ATTACHMENT;
use crate::upload::{UploadError, too_large, upload};

/// How long it is relied on that a PDS has a blob that was uploaded there. One that no record refers to
/// is thrown away after an hour or so; one that was thrown away all the same is uploaded again when the
/// write says so.
const RELIED_ON: Duration = Duration::from_secs(45 * 60);

impl Drain {
    /// Uploads what the batch needs, and fixes its records; or says what comes next instead, if an
    /// entry had to be given up or something stands in the way.
    pub(super) async fn attach(
        &mut self,
        mut batch: Batch,
    ) -> Result<Result<Batch, Next>, StoreError> {
        let mut fixed = Vec::new();
        for entry in batch
            .entries
            .iter_mut()
            .filter(|entry| !entry.blobs.is_empty())
        {
            let mut mime_types = HashMap::new();
            for blob in entry.blobs.clone() {
                // Each may take its time.
                if self.is_stopping() {
                    return Ok(Err(Next::Continue));
                }
                match self.have(entry, &blob).await? {
                    Ok(mime_type) => drop(mime_types.insert(blob.cid, mime_type)),
                    Err(Obstacle { outcome, hold }) => {
                        let outcome = outcome.map(|outcome| (entry.clone(), outcome));
                        self.settle(outcome.into_iter().collect()).await?;
                        return Ok(Err(hold.map_or(Next::Continue, Next::Wait)));
                    }
                }
            }
            if let Some((record, cid)) = described(entry, &mime_types) {
                entry.record = Some(record.clone());
                entry.cid = Some(cid);
                fixed.push((entry.id, record, cid));
            }
        }
        if !fixed.is_empty() {
            self.store.fix(fixed).await?;
        }
        Ok(Ok(batch))
    }

    /// Has the PDS have a blob; gives the MIME type that it says.
    async fn have(
        &mut self,
        entry: &Entry,
        blob: &Blob,
    ) -> Result<Result<String, Obstacle>, StoreError> {
        let (did, pds) = (self.session.did().clone(), self.session.pds().to_string());
        let since = now().saturating_sub(millis(RELIED_ON));
        if let Some(known) = self.store.uploaded(&did, &pds, blob.cid, since).await? {
            return Ok(Ok(known));
        }
        let name = format!("the attachment {} of {}", blob.cid, entry.uri());
        let server = self.store.server(&pds).await?;
        if let Some(limit) = server.blob_limit.filter(|limit| blob.size > *limit) {
            let reason = too_large(name, blob.size, limit).to_string();
            return Ok(Err(Obstacle::fatal(reason)));
        }
        let allowance = Allowance::read(&self.store, &self.session, Pool::Blobs).await?;
        if allowance.points == 0 {
            // What has no attachments passes it.
            let Hold { until, reason, .. } = limited("uploads", allowance);
            return Ok(Err(Obstacle::aside(until, reason.unwrap_or_default())));
        }
        self.store.reach("upload.before").await;
        let file = self.store.blobs().file(&blob.cid);
        let mut attachment = Attachment::copy(file, name, &blob.mime_type);
        let uploaded = upload(&self.session, &mut attachment).await;
        self.store.reach("upload.after").await;
        let unsent = match &uploaded {
            Ok(_) => false,
            Err(UploadError::Xrpc { source, .. }) => costs_nothing(source),
            Err(error) => matches!(error, UploadError::Unreadable { .. }),
        };
        if !unsent {
            self.store.spend(&did, Pool::Blobs, 1, now()).await?;
        }
        let (blob, limit) = match uploaded {
            Ok(uploaded) => uploaded,
            Err(error) => return self.obstacle(entry.id, error).await.map(Err),
        };
        let told = limit.and_then(|limit| limit.told(now()));
        if let Some(told) = told {
            self.store.tell(&did, Pool::Blobs, told, now()).await?;
        }
        self.store
            .note_uploaded(&did, &pds, blob.cid, blob.mime_type.clone(), now())
            .await?;
        Ok(Ok(blob.mime_type))
    }

    async fn obstacle(&mut self, id: i64, error: UploadError) -> Result<Obstacle, StoreError> {
        let reason = error.to_string();
        let source = match error {
            UploadError::Xrpc { source, .. } => source,
            UploadError::TooLarge { limit, .. } => {
                let learnt = Server::with_blob_limit(limit);
                let pds = self.session.pds().as_str();
                self.store.note_server(pds, learnt).await?;
                return Ok(Obstacle::fatal(reason));
            }
            // Our own copy is there: the system has run out of something, or the disk is bad.
            UploadError::Unreadable { source, .. } if source.kind() != ErrorKind::NotFound => {
                return Ok(Obstacle::aside(self.strikes.failed(id), reason));
            }
            _ => return Ok(Obstacle::fatal(reason)),
        };
        Ok(match trouble(&source) {
            Trouble::Refused => Obstacle::fatal(reason),
            Trouble::Stuck => Obstacle::hold(stuck(reason)),
            Trouble::Away => Obstacle::hold(wait(self.pace.failed(), &reason)),
            Trouble::Limited => self.uploads_limited(&source, reason).await?,
            Trouble::Unclear { answered } => {
                let (not_before, pause) = match answered {
                    true => (self.strikes.failed(id), self.pace.stumbled(Some(id))),
                    false => {
                        let pause = self.pace.failed();
                        (self.strikes.unanswered(id, pause), Some(pause))
                    }
                };
                Obstacle {
                    hold: pause.map(|pause| wait(pause, &reason)),
                    ..Obstacle::aside(not_before, reason)
                }
            }
        })
    }

    /// A limit that the PDS names by its bucket is one of uploads; another may be of everything.
    async fn uploads_limited(
        &mut self,
        error: &XrpcError,
        reason: String,
    ) -> Result<Obstacle, StoreError> {
        let told = match error {
            XrpcError::RateLimited { limit, .. } => limit.as_ref(),
            _ => None,
        };
        let told = told.and_then(|limit| limit.told(now()));
        let pause = self.pace.limited(named_wait(error));
        let Some(told) = told else {
            return Ok(Obstacle::hold(wait(pause, &reason)));
        };
        let did = self.session.did();
        self.store.tell(did, Pool::Blobs, told, now()).await?;
        let until = now().saturating_add(millis(pause));
        Ok(Obstacle::aside(until, reason))
    }
}

/// What keeps an attachment from being uploaded.
struct Obstacle {
    /// What that means for the entry.
    outcome: Option<Outcome>,
    /// What it means for all others.
    hold: Option<Hold>,
}

impl Obstacle {
    /// Something that trying again does not mend.
    fn fatal(reason: String) -> Self {
        Self {
            outcome: Some(failed(ATTACHMENT, reason, None)),
            hold: None,
        }
    }

    /// Others pass the entry until then (milliseconds since 1970).
    fn aside(not_before: i64, reason: String) -> Self {
        Self {
            outcome: Some(Outcome::NotDone { reason, not_before }),
            hold: None,
        }
    }

    /// All wait.
    fn hold(hold: Hold) -> Self {
        Self {
            outcome: None,
            hold: Some(hold),
        }
    }
}

/// The record with the MIME types that the PDS found, and its CID; `None` if there is nothing to fix any
/// more.
fn described(entry: &Entry, mime_types: &HashMap<Cid, String>) -> Option<(Vec<u8>, Cid)> {
    let mut value = Value::from_cbor(entry.record.as_deref()?).ok()?;
    describe(&mut value, mime_types);
    let record = value.to_cbor();
    let cid = cid_for_cbor(&record);
    (entry.cid != Some(cid)).then_some((record, cid))
}

fn describe(value: &mut Value, mime_types: &HashMap<Cid, String>) {
    match value {
        Value::List(list) => list.iter_mut().for_each(|item| describe(item, mime_types)),
        Value::Map(map) => match mime_type(map, mime_types) {
            Some(mime_type) => {
                map.insert("mimeType".to_owned(), mime_type.into());
            }
            None => map.values_mut().for_each(|item| describe(item, mime_types)),
        },
        _ => {}
    }
}

/// What the PDS says of a blob, if this is one of ours.
fn mime_type<'a>(map: &Map, mime_types: &'a HashMap<Cid, String>) -> Option<&'a str> {
    if map.get("$type").and_then(Value::as_text) != Some("blob") {
        return None;
    }
    let cid = map.get("ref").and_then(Value::as_link)?;
    mime_types.get(cid).map(String::as_str)
}
