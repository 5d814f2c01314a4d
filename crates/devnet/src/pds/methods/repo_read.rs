//! `com.atproto.repo`: reading records.

use std::sync::Arc;

use atcomms_lexicon::{Address, AtUri, Cid, Nsid, RecordKey, Value};
use serde_json::json;

use super::sync::{not_found, unavailable};
use crate::pds::account::Account;
use crate::pds::call::Call;
use crate::rate_limit::Cost;
use crate::xrpc::{Reply, XrpcError};

pub(super) fn get_record(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let repo: Address = call.params.required("repo", "AT identifier")?;
    let collection: Nsid = call.params.required("collection", "NSID")?;
    let rkey: RecordKey = call.params.required("rkey", "record key")?;
    let wanted: Option<Cid> = call.params.optional("cid", "CID string")?;
    call.count(Cost::Request)?;
    let account =
        active(call, &repo).ok_or_else(|| XrpcError::invalid("Could not locate record"))?;
    let uri = AtUri::record(&account.did, &collection, &rkey);
    let content = account.content();
    let found = content
        .repository
        .get(&collection, &rkey)
        .filter(|(cid, _)| wanted.is_none_or(|wanted| wanted == *cid));
    let Some((cid, cbor)) = found else {
        return Err(XrpcError::named(
            "RecordNotFound",
            format!("Could not locate record: {uri}"),
        ));
    };
    Reply::json(&entry(&uri, &cid, cbor)?)
}

pub(super) fn list_records(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let repo: Address = call.params.required("repo", "AT identifier")?;
    let collection: Nsid = call.params.required("collection", "NSID")?;
    let limit = call.params.limit(LIST_RECORDS.0, LIST_RECORDS.1)?;
    let reverse = call.params.flag("reverse")?;
    let cursor = call.params.text("cursor");
    call.count(Cost::Request)?;
    let account = active(call, &repo)
        .ok_or_else(|| XrpcError::invalid(format!("Could not find repo: {repo}")))?;
    let content = account.content();
    let page = content.page(&collection, cursor, reverse, limit);
    let records = page
        .iter()
        .map(|(rkey, cid, cbor)| {
            let uri = AtUri::record(&account.did, &collection, rkey);
            entry(&uri, cid, cbor)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut body = json!({ "records": records });
    if let Some((rkey, _, _)) = page.last() {
        body["cursor"] = rkey.as_str().into();
    }
    Reply::json(&body)
}

pub(super) fn describe_repo(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let repo: Address = call.params.required("repo", "AT identifier")?;
    call.count(Cost::Request)?;
    let account = call
        .pds
        .registry()
        .by_address(&repo)
        .ok_or_else(|| not_found(repo.as_ref()))?;
    if !account.is_active() {
        return Err(unavailable(&account, repo.as_ref()));
    }
    let document = call.pds.plc.document(account.did.as_str());
    let handle = account.profile().handle;
    let claimed = document
        .as_ref()
        .and_then(|document| document["alsoKnownAs"][0].as_str())
        .is_some_and(|name| name.strip_prefix("at://") == Some(handle.as_str()));
    Reply::json(&json!({
        "handle": handle,
        "did": account.did,
        "didDoc": document,
        "collections": account.content().repository.collections(),
        "handleIsCorrect": claimed,
    }))
}

fn active(call: &Call<'_>, repo: &Address) -> Option<Arc<Account>> {
    let account = call.pds.registry().by_address(repo)?;
    account.is_active().then_some(account)
}

fn entry(uri: &AtUri, cid: &Cid, cbor: &[u8]) -> Result<serde_json::Value, XrpcError> {
    let value = Value::from_cbor(cbor).map_err(XrpcError::internal)?;
    Ok(json!({ "uri": uri, "cid": cid.to_string(), "value": value.to_json() }))
}

/// Default and greatest `limit` of `listRecords`.
const LIST_RECORDS: (usize, usize) = (50, 100);
