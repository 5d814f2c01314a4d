//! `com.atproto.sync`: one repository, its blocks and its blobs.

use std::sync::Arc;

use atcomms_lexicon::{Cid, Did, Nsid, RecordKey, Tid};
use serde_json::json;

use crate::pds::account::Account;
use crate::pds::call::Call;
use crate::xrpc::{Reply, XrpcError};

pub(super) fn get_latest_commit(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let account = available(call)?;
    let content = account.content();
    Reply::json(&json!({
        "cid": content.repository.head().cid().to_string(),
        "rev": content.repository.head().rev().to_string(),
    }))
}

pub(super) fn get_repo(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let since: Option<Tid> = call.params.optional("since", "TID string")?;
    let account = available(call)?;
    let content = account.content();
    Ok(Reply::Car(content.repository.export(since)))
}

pub(super) fn get_record(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let collection: Nsid = call.params.required("collection", "NSID")?;
    let rkey: RecordKey = call.params.required("rkey", "record key")?;
    let account = available(call)?;
    let content = account.content();
    Ok(Reply::Car(
        content.repository.record_proof(&collection, &rkey),
    ))
}

pub(super) fn get_repo_status(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let did: Did = call.params.required("did", "DID")?;
    let account = find(call, &did)?;
    let status = account.profile().status();
    let mut body = json!({ "did": did, "active": status.is_none() });
    match status {
        Some(status) => body["status"] = status.into(),
        None => body["rev"] = account.content().repository.head().rev().to_string().into(),
    }
    Reply::json(&body)
}

pub(super) fn get_blob(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let cid: Cid = call.params.required("cid", "CID string")?;
    let account = available(call)?;
    let blob = account
        .content()
        .blobs
        .get(&cid)
        .map_err(XrpcError::internal)?;
    match blob {
        Some((mime_type, bytes)) => Ok(Reply::Blob {
            mime_type,
            cid: cid.to_string(),
            bytes,
        }),
        None => Err(XrpcError::invalid("Blob not found")),
    }
}

/// The account that a method's `did` names, if the caller may read its repository.
pub(super) fn available(call: &Call<'_>) -> Result<Arc<Account>, XrpcError> {
    let did: Did = call.params.required("did", "DID")?;
    let caller = call.optional_caller()?;
    let account = find(call, &did)?;
    if account.is_active() || caller.as_ref() == Some(&did) {
        return Ok(account);
    }
    Err(deactivated(did.as_str()))
}

/// 400 `RepoDeactivated`.
pub(super) fn deactivated(repo: &str) -> XrpcError {
    XrpcError::named(
        "RepoDeactivated",
        format!("Repo has been deactivated: {repo}"),
    )
}

/// 400 `RepoNotFound`.
pub(super) fn not_found(repo: &str) -> XrpcError {
    XrpcError::named(
        "RepoNotFound",
        format!("Could not find repo for DID: {repo}"),
    )
}

fn find(call: &Call<'_>, did: &Did) -> Result<Arc<Account>, XrpcError> {
    let account = call.pds.registry().by_did(did);
    account.ok_or_else(|| not_found(did.as_str()))
}
