//! `com.atproto.sync`: one repository, its blocks and its blobs.

use std::sync::Arc;

use atcomms_lexicon::{Cid, Did, Nsid, RecordKey, Tid};
use serde_json::json;

use crate::pds::account::Account;
use crate::pds::call::Call;
use crate::pds::profile::TAKENDOWN;
use crate::rate_limit::Cost;
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
    // Not counted: on the reference PDS it has a limit of its own, which a devnet has not.
    let account = Asked::read(call)?.account(call)?;
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
    call.count(Cost::Request)?;
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

/// The account that a method's `did` names, if the caller may read its repository. Counts the request: what
/// else there is of parameters is read before.
pub(super) fn available(call: &Call<'_>) -> Result<Arc<Account>, XrpcError> {
    let asked = Asked::read(call)?;
    call.count(Cost::Request)?;
    asked.account(call)
}

/// Whose repository is asked for, and by whom.
struct Asked {
    did: Did,
    caller: Option<Did>,
}

impl Asked {
    fn read(call: &Call<'_>) -> Result<Self, XrpcError> {
        let did = call.params.required("did", "DID")?;
        let caller = call.optional_caller()?;
        Ok(Self { did, caller })
    }

    fn account(&self, call: &Call<'_>) -> Result<Arc<Account>, XrpcError> {
        let account = find(call, &self.did)?;
        if account.is_active() || self.caller.as_ref() == Some(&self.did) {
            return Ok(account);
        }
        Err(unavailable(&account, self.did.as_str()))
    }
}

/// 400 `RepoTakendown` or `RepoDeactivated`.
pub(super) fn unavailable(account: &Account, repo: &str) -> XrpcError {
    if account.profile().status() == Some(TAKENDOWN) {
        let message = format!("Repo has been takendown: {repo}");
        return XrpcError::named("RepoTakendown", message);
    }
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
