//! Attachments, right before the write: uploaded, and described as the PDS describes them.

use std::collections::HashMap;
use std::time::Duration;

use atcomms_lexicon::{Cid, Map, Value, cid_for_cbor};
use atcomms_store::{Entry, Pool, Server, StoreError};

use super::batch::Batch;
use super::doubt::failed;
use super::trouble::{Trouble, trouble};
use super::{Drain, Hold, Next, limited, stuck, wait};
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
                match self
                    .have(&blob.cid, blob.size, &blob.mime_type, entry.uri().as_str())
                    .await?
                {
                    Ok(mime_type) => drop(mime_types.insert(blob.cid, mime_type)),
                    Err(Obstacle::Final(reason)) => {
                        let outcome = failed(ATTACHMENT, reason, None);
                        self.settle(vec![(entry.clone(), outcome)]).await?;
                        return Ok(Err(Next::Continue));
                    }
                    Err(Obstacle::Hold(hold)) => return Ok(Err(Next::Wait(hold))),
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
        cid: &Cid,
        size: u64,
        mime_type: &str,
        of: &str,
    ) -> Result<Result<String, Obstacle>, StoreError> {
        let (did, pds) = (self.session.did().clone(), self.session.pds().to_string());
        let since = now().saturating_sub(millis(RELIED_ON));
        if let Some(known) = self.store.uploaded(&did, &pds, *cid, since).await? {
            return Ok(Ok(known));
        }
        let name = format!("the attachment {cid} of {of}");
        let server = self.store.server(&pds).await?;
        if let Some(limit) = server.blob_limit.filter(|limit| size > *limit) {
            return Ok(Err(Obstacle::Final(
                too_large(name, size, limit).to_string(),
            )));
        }
        let allowance = Allowance::read(&self.store, &self.session, Pool::Blobs).await?;
        if allowance.points == 0 {
            return Ok(Err(Obstacle::Hold(limited("uploads", allowance))));
        }
        self.store.spend(&did, Pool::Blobs, 1, now()).await?;
        self.store.reach("upload.before").await;
        let file = self.store.blobs().file(cid);
        let mut attachment = Attachment::copy(file, name, mime_type);
        let uploaded = upload(&self.session, &mut attachment).await;
        self.store.reach("upload.after").await;
        let (blob, limit) = match uploaded {
            Ok(uploaded) => uploaded,
            Err(error) => return self.obstacle(error).await.map(Err),
        };
        let told = limit.and_then(|limit| limit.told(now()));
        if let Some(told) = told {
            self.store.tell(&did, Pool::Blobs, told, now()).await?;
        }
        self.store
            .note_uploaded(&did, &pds, *cid, blob.mime_type.clone(), now())
            .await?;
        Ok(Ok(blob.mime_type))
    }

    async fn obstacle(&mut self, error: UploadError) -> Result<Obstacle, StoreError> {
        if let UploadError::TooLarge { limit, .. } = &error {
            let learnt = Server::with_blob_limit(*limit);
            self.store
                .note_server(self.session.pds().as_str(), learnt)
                .await?;
        }
        let UploadError::Xrpc { source, .. } = &error else {
            return Ok(Obstacle::Final(error.to_string()));
        };
        let reason = error.to_string();
        let hold = |pause: Duration| Obstacle::Hold(wait(pause, &reason, Vec::new()));
        Ok(match trouble(source) {
            Trouble::Refused => Obstacle::Final(reason.clone()),
            Trouble::Stuck => Obstacle::Hold(stuck(reason.clone(), Vec::new())),
            Trouble::Away | Trouble::Unclear { .. } => hold(self.pace.failed()),
            Trouble::Limited => {
                let told = match &**source {
                    XrpcError::RateLimited { limit, .. } => limit.as_ref(),
                    _ => None,
                };
                match told.and_then(|limit| limit.told(now())) {
                    Some(told) => {
                        let until = told.resets_at;
                        self.store
                            .tell(self.session.did(), Pool::Blobs, told, now())
                            .await?;
                        hold(crate::clock::until(until))
                    }
                    None => hold(self.pace.failed()),
                }
            }
        })
    }
}

/// What keeps an attachment from being uploaded.
enum Obstacle {
    /// Something that trying again does not mend.
    Final(String),
    Hold(Hold),
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
