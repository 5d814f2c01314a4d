//! What is in a repository, and how it came there, from the PDS alone: its export, verified, and its
//! event log from the start. Nothing here knows of outboxes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use atcomms::lexicon::{Cid, Did, Tid, Value, cid_for_raw};
use atcomms::repo::VerifyingKey;
use atcomms::repo::car::Car;
use atcomms::repo::frame::{self, Action, Frame};
use atcomms::repo::snapshot::Snapshot;
use atcomms::repo::verify::Limits;
use futures::StreamExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::author::now_micros;

/// Long enough for a machine that does something else, and for a PDS that polls its own log.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a repository is read.
pub(crate) struct Reader {
    pub(crate) http: reqwest::Client,
    pub(crate) pds: String,
    pub(crate) ws: String,
    pub(crate) plc: String,
}

/// A repository as it is now.
pub(crate) struct Content {
    pub(crate) rev: Tid,
    /// By collection, slash, record key.
    pub(crate) records: BTreeMap<String, Record>,
}

pub(crate) struct Record {
    pub(crate) cid: Cid,
    pub(crate) text: String,
}

/// One operation of a commit.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) rev: Tid,
    pub(crate) action: Action,
    pub(crate) path: String,
    pub(crate) cid: Option<Cid>,
    /// What the message says; none for a delete.
    pub(crate) text: Option<String>,
}

impl Reader {
    pub(crate) async fn content(&self, did: &Did) -> Result<Content> {
        let key = self.key(did).await?;
        let url = format!("{}/xrpc/com.atproto.sync.getRepo?did={did}", self.pds);
        let bytes = self.get(&url).await?;
        let limits = Limits::default();
        let snapshot = Snapshot::verify(&bytes, did, &key, now_micros(), &limits)?;
        let record = |record: atcomms::repo::snapshot::SnapshotRecord<'_>| {
            let text = text(record.bytes)?;
            let cid = record.cid;
            Ok((record.path.to_owned(), Record { cid, text }))
        };
        Ok(Content {
            rev: snapshot.head().rev(),
            records: snapshot.records("").map(record).collect::<Result<_>>()?,
        })
    }

    /// All that happened to a repository after an event of the stream, up to a commit.
    pub(crate) async fn events(&self, did: &Did, after: i64, last: Tid) -> Result<Vec<Event>> {
        let method = "com.atproto.sync.subscribeRepos";
        let url = format!("{}/xrpc/{method}?cursor={after}", self.ws);
        let reading = async {
            let (mut stream, _) = tokio_tungstenite::connect_async(url.as_str()).await?;
            let mut events = Vec::new();
            while let Some(message) = stream.next().await {
                let Message::Binary(bytes) = message? else {
                    continue;
                };
                let commit = match frame::decode(&bytes)? {
                    Frame::Commit(commit) if commit.repo == did.as_str() => commit,
                    Frame::Error(error) => bail!("the stream ends with {}", error.error),
                    _ => continue,
                };
                let (rev, car): (Tid, _) = (commit.rev.parse()?, Car::read(commit.blocks)?);
                for op in &commit.ops {
                    let record = op
                        .cid
                        .map(|cid| car.get(&cid).context("a record in its commit"));
                    events.push(Event {
                        rev,
                        action: op.action,
                        path: op.path.to_owned(),
                        cid: op.cid,
                        text: record.transpose()?.map(text).transpose()?,
                    });
                }
                if rev >= last {
                    return Ok(events);
                }
            }
            bail!("the stream ended before {last}")
        };
        timeout(PATIENCE, reading)
            .await
            .context("the stream in time")?
    }

    /// A blob that a record refers to is there, byte for byte.
    pub(crate) async fn check_blob(&self, did: &Did, bytes: &[u8]) -> Result<()> {
        let cid = cid_for_raw(bytes);
        let method = "com.atproto.sync.getBlob";
        let url = format!("{}/xrpc/{method}?did={did}&cid={cid}", self.pds);
        ensure!(self.get(&url).await? == bytes, "the blob {cid} is another");
        Ok(())
    }

    async fn key(&self, did: &Did) -> Result<VerifyingKey> {
        let document = self.get(&format!("{}/{did}", self.plc)).await?;
        let document: serde_json::Value = serde_json::from_slice(&document)?;
        let key = document["verificationMethod"][0]["publicKeyMultibase"].as_str();
        let key = key.context("a key in the document")?;
        Ok(VerifyingKey::from_did_key(&format!("did:key:{key}"))?)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>> {
        let response = self.http.get(url).send().await?;
        let response = response.error_for_status()?;
        Ok(response.bytes().await?.to_vec())
    }
}

fn text(record: &[u8]) -> Result<String> {
    let record = Value::from_cbor(record)?;
    let text = record
        .get("content")
        .and_then(|content| content.get("text"));
    let text = text.and_then(Value::as_text);
    Ok(text.context("a message with a text")?.to_owned())
}
