//! The methods of a PDS that this crate uses, as the wire has them.
//!
//! The inputs are our own types because the bytes matter: an absent `swapRecord` makes putRecord an
//! upsert, and an explicit `null` makes it create-if-absent; bytes in a record are `{"$bytes"}`.

use atcomms_lexicon::{AtUri, Cid, Did, Map, Nsid, RecordKey, Tid, Value};
use serde::{Deserialize, Serialize, Serializer};

use crate::error::XrpcError;
use crate::session::Session;
use crate::xrpc::Call;

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
    record: &'a serde_json::Value,
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

#[derive(Deserialize)]
struct Commit {
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
    pub(crate) cid: Cid,
    /// `None` if the same record was there already.
    pub(crate) rev: Option<Tid>,
}

/// A record as the PDS returns it.
pub(crate) struct Found {
    pub(crate) cid: Cid,
    pub(crate) value: serde_json::Value,
}

/// Writes a record. `record` is its JSON, with its `$type`.
pub(crate) async fn put_record(
    session: &Session,
    place: &Place,
    record: &serde_json::Value,
    swap_record: Swap,
) -> Result<Written, XrpcError> {
    const METHOD: &str = "com.atproto.repo.putRecord";
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
    let put: Put = session
        .call(Call::procedure(METHOD, Some(&input)))
        .await?
        .body;
    let cid = parse_cid(session, METHOD, &put.cid)?;
    Ok(Written {
        cid,
        rev: put.commit.map(|commit| commit.rev),
    })
}

/// Deletes a record; its commit's rev, or `None` if there was nothing.
pub(crate) async fn delete_record(
    session: &Session,
    place: &Place,
    swap_record: Swap,
) -> Result<Option<Tid>, XrpcError> {
    const METHOD: &str = "com.atproto.repo.deleteRecord";
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
    let deleted: Deleted = session
        .call(Call::procedure(METHOD, Some(&input)))
        .await?
        .body;
    Ok(deleted.commit.map(|commit| commit.rev))
}

/// Reads a record back.
pub(crate) async fn get_record(
    session: &Session,
    place: &Place,
) -> Result<Option<Found>, XrpcError> {
    const METHOD: &str = "com.atproto.repo.getRecord";
    let query = [
        ("repo", place.repo.as_str()),
        ("collection", place.collection.as_str()),
        ("rkey", place.rkey.as_str()),
    ];
    let got: Got = match session.call(Call::query(METHOD, &query)).await {
        Ok(answer) => answer.body,
        Err(error) if error.name() == Some("RecordNotFound") => return Ok(None),
        Err(error) => return Err(error),
    };
    let cid = parse_cid(session, METHOD, &got.cid.unwrap_or_default())?;
    Ok(Some(Found {
        cid,
        value: got.value,
    }))
}

/// A record's JSON for the wire.
pub(crate) fn json(value: &Map) -> serde_json::Value {
    Value::Map(value.clone()).to_json()
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
        let record = serde_json::json!({});
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
