//! The methods of a PDS that this crate uses, as the wire has them.
//!
//! The inputs are our own types because the bytes matter: an absent `swapRecord` makes putRecord an
//! upsert, and an explicit `null` makes it create-if-absent; bytes in a record are `{"$bytes"}`.

use atcomms_lexicon::{AtUri, Cid, Did, Nsid, RecordKey, Tid, Value};
use atcomms_store::Entry;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::RateLimit;
use crate::error::XrpcError;
use crate::session::Session;
use crate::xrpc::Call;

/// The method that writes one record.
pub(crate) const PUT_RECORD: &str = "com.atproto.repo.putRecord";
/// The method that deletes one.
pub(crate) const DELETE_RECORD: &str = "com.atproto.repo.deleteRecord";
/// The method that does many of both in one commit.
pub(crate) const APPLY_WRITES: &str = "com.atproto.repo.applyWrites";
/// The method that reads one.
pub(crate) const GET_RECORD: &str = "com.atproto.repo.getRecord";
/// The method that lists the records of a collection.
const LIST_RECORDS: &str = "com.atproto.repo.listRecords";

/// What has to be there for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swap {
    /// Whatever: the field is left out.
    Any,
    /// Nothing: an explicit `null`.
    Absent,
    /// The record of this CID.
    At(Cid),
}

impl Swap {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

impl Serialize for Swap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any | Self::Absent => serializer.serialize_none(),
            Self::At(cid) => serializer.collect_str(cid),
        }
    }
}

/// A record's place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) repo: Did,
    pub(crate) collection: Nsid,
    pub(crate) rkey: RecordKey,
}

impl Place {
    /// Where an entry of the outbox goes.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            repo: entry.did.clone(),
            collection: entry.collection.clone(),
            rkey: entry.rkey.clone(),
        }
    }

    pub(crate) fn uri(&self) -> AtUri {
        AtUri::record(&self.repo, &self.collection, &self.rkey)
    }
}

/// `validate` is left out: the server then checks what it knows and takes what it does not know.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PutRecord<'a> {
    repo: &'a Did,
    collection: &'a Nsid,
    rkey: &'a RecordKey,
    record: &'a RawValue,
    #[serde(skip_serializing_if = "Swap::is_any")]
    swap_record: Swap,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteRecord<'a> {
    repo: &'a Did,
    collection: &'a Nsid,
    rkey: &'a RecordKey,
    #[serde(skip_serializing_if = "Swap::is_any")]
    swap_record: Swap,
}

/// The answer to putRecord.
#[derive(Deserialize)]
pub(crate) struct Put {
    cid: String,
    commit: Option<Commit>,
}

/// A commit, as the methods that write answer it.
#[derive(Clone, Deserialize)]
struct Commit {
    cid: Option<String>,
    rev: Tid,
}

/// The answer to deleteRecord. Without a commit, there was nothing to delete.
#[derive(Deserialize)]
struct Deleted {
    commit: Option<Commit>,
}

/// The answer to getRecord.
#[derive(Deserialize)]
struct Got {
    cid: Option<String>,
    value: serde_json::Value,
}

/// What a write gave.
pub(crate) struct Written {
    /// The commit's rev; `None` if nothing had to be done.
    pub(crate) rev: Option<Tid>,
    /// The commit, if the PDS names it.
    pub(crate) commit: Option<Cid>,
    /// What the PDS said of its rate limits.
    pub(crate) limit: Option<RateLimit>,
}

impl Written {
    fn new(commit: Option<Commit>, limit: Option<RateLimit>) -> Self {
        let cid = commit.as_ref().and_then(|commit| commit.cid.as_deref());
        Self {
            // Only told on to who asks for it: one that cannot be read is no reason to doubt the write.
            commit: cid.and_then(|cid| cid.parse().ok()),
            rev: commit.map(|commit| commit.rev),
            limit,
        }
    }
}

/// A record as the PDS returns it.
pub(crate) struct Found {
    pub(crate) cid: Cid,
    pub(crate) value: serde_json::Value,
}

/// Writes a record; gives what the PDS made of it, and the record's CID by the PDS's word. `record` is
/// its JSON, with its `$type`.
pub(crate) async fn put_record(
    session: &Session,
    place: &Place,
    record: &RawValue,
    swap_record: Swap,
) -> Result<(Written, Cid), XrpcError> {
    let Place {
        repo,
        collection,
        rkey,
    } = place;
    let input = PutRecord {
        repo,
        collection,
        rkey,
        record,
        swap_record,
    };
    let answer = session
        .call::<Put>(Call::procedure(PUT_RECORD, Some(&input)))
        .await?;
    let limit = RateLimit::from_headers(&answer.headers);
    let cid = parse_cid(session, PUT_RECORD, &answer.body.cid)?;
    Ok((Written::new(answer.body.commit, limit), cid))
}

/// Deletes a record, or finds that there was nothing.
pub(crate) async fn delete_record(
    session: &Session,
    place: &Place,
    swap_record: Swap,
) -> Result<Written, XrpcError> {
    let Place {
        repo,
        collection,
        rkey,
    } = place;
    let input = DeleteRecord {
        repo,
        collection,
        rkey,
        swap_record,
    };
    let answer = session
        .call::<Deleted>(Call::procedure(DELETE_RECORD, Some(&input)))
        .await?;
    let limit = RateLimit::from_headers(&answer.headers);
    Ok(Written::new(answer.body.commit, limit))
}

/// One write of a batch.
#[derive(Serialize)]
#[serde(tag = "$type")]
pub(crate) enum BatchWrite {
    /// Fails, and the batch with it, if the key holds something.
    #[serde(rename = "com.atproto.repo.applyWrites#create")]
    Create {
        collection: Nsid,
        rkey: RecordKey,
        value: Box<RawValue>,
    },
    #[serde(rename = "com.atproto.repo.applyWrites#delete")]
    Delete { collection: Nsid, rkey: RecordKey },
}

#[derive(Serialize)]
struct ApplyWrites<'a> {
    repo: &'a Did,
    writes: &'a [BatchWrite],
}

/// The answer to applyWrites.
#[derive(Deserialize)]
struct Applied {
    commit: Option<Commit>,
    #[serde(default)]
    results: Vec<BatchResult>,
}

#[derive(Deserialize)]
struct BatchResult {
    cid: Option<String>,
}

/// Writes all of a batch in one commit, or nothing of it; gives the CID of each by the PDS's word,
/// `None` where it names none.
pub(crate) async fn apply_writes(
    session: &Session,
    writes: &[BatchWrite],
) -> Result<(Written, Vec<Option<Cid>>), XrpcError> {
    let repo = session.did();
    let input = ApplyWrites { repo, writes };
    let answer = session
        .call::<Applied>(Call::procedure(APPLY_WRITES, Some(&input)))
        .await?;
    let limit = RateLimit::from_headers(&answer.headers);
    let cids = answer.body.results.iter().map(|result| {
        let cid = result.cid.as_deref();
        cid.map(|cid| parse_cid(session, APPLY_WRITES, cid))
            .transpose()
    });
    let cids = cids.collect::<Result<Vec<_>, _>>()?;
    Ok((Written::new(answer.body.commit, limit), cids))
}

/// A page of a collection's records.
#[derive(Deserialize)]
pub(crate) struct Page {
    pub(crate) cursor: Option<String>,
    pub(crate) records: Vec<Listed>,
}

/// A record in a list.
#[derive(Deserialize)]
pub(crate) struct Listed {
    pub(crate) uri: AtUri,
    pub(crate) value: serde_json::Value,
}

/// The most records of a page.
const PAGE: &str = "100";

/// Lists a page of the account's own records of a collection, from the newest key to the oldest.
pub(crate) async fn list_records(
    session: &Session,
    collection: &str,
    cursor: Option<&str>,
) -> Result<Page, XrpcError> {
    let mut query = vec![
        ("repo", session.did().as_str()),
        ("collection", collection),
        ("limit", PAGE),
    ];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    Ok(session.call(Call::query(LIST_RECORDS, &query)).await?.body)
}

/// Reads a record back.
pub(crate) async fn get_record(
    session: &Session,
    place: &Place,
) -> Result<Option<Found>, XrpcError> {
    let query = [
        ("repo", place.repo.as_str()),
        ("collection", place.collection.as_str()),
        ("rkey", place.rkey.as_str()),
    ];
    let got: Got = match session.call(Call::query(GET_RECORD, &query)).await {
        Ok(answer) => answer.body,
        Err(error) if error.name() == Some("RecordNotFound") => return Ok(None),
        Err(error) => return Err(error),
    };
    let cid = parse_cid(session, GET_RECORD, &got.cid.unwrap_or_default())?;
    Ok(Some(Found {
        cid,
        value: got.value,
    }))
}

/// A record's JSON for the wire, from its bytes; `None` for bytes that are no record.
pub(crate) fn json(record: &[u8]) -> Option<Box<RawValue>> {
    let value = Value::from_cbor(record).ok()?;
    serde_json::value::to_raw_value(&value.to_json()).ok()
}

fn parse_cid(session: &Session, method: &str, text: &str) -> Result<Cid, XrpcError> {
    text.parse().map_err(|_| XrpcError::NotXrpc {
        pds: session.xrpc().name(),
        method: method.to_owned(),
        found: "no CID where one belongs".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swap_on_the_wire(swap: Swap) -> serde_json::Value {
        let (repo, collection, rkey) = (
            "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap(),
            "com.example.note".parse().unwrap(),
            "k".parse().unwrap(),
        );
        let record = RawValue::from_string("{}".to_owned()).unwrap();
        let input = PutRecord {
            repo: &repo,
            collection: &collection,
            rkey: &rkey,
            record: &record,
            swap_record: swap,
        };
        serde_json::to_value(&input).unwrap()
    }

    #[test]
    fn an_absent_swap_and_a_null_one_differ_on_the_wire() {
        assert!(
            swap_on_the_wire(Swap::Any).get("swapRecord").is_none(),
            "an upsert has no field"
        );
        assert_eq!(
            swap_on_the_wire(Swap::Absent).get("swapRecord"),
            Some(&serde_json::Value::Null),
            "create-if-absent is an explicit null"
        );
        let cid = atcomms_lexicon::cid_for_raw(b"x");
        assert_eq!(
            swap_on_the_wire(Swap::At(cid))["swapRecord"],
            cid.to_string()
        );
    }
}
