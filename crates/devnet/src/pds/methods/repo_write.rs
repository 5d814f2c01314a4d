//! `com.atproto.repo`: writing one record, or a blob.

use std::sync::Arc;

use atcomms_lexicon::{Address, AtUri, BlobRef, Cid, Did, Nsid, RecordKey};
use atcomms_repo::frame::Action;
use serde_json::{Value, json};

use crate::input::{Input, Nullable};
use crate::pds::account::Account;
use crate::pds::call::Call;
use crate::pds::record::Draft;
use crate::pds::sniff;
use crate::pds::status::check_takedown;
use crate::pds::write::{Committed, Write};
use crate::rate_limit::Cost;
use crate::xrpc::{Reply, XrpcError};

pub(super) fn create_record(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let mut ask = Ask::read(call)?;
    let collection: Nsid = ask.input.required("collection", "NSID")?;
    let rkey = ask.input.optional("rkey", "record key")?;
    let swap = ask.input.optional("swapCommit", "CID string")?;
    let validate = ask.input.flag("validate")?;
    let draft = Draft::take(&mut ask.input, "record")?;
    let account = ask.pay(call, Cost::CREATE)?;
    let rkey = rkey_or_new(call, rkey)?;
    let record = draft.prepare(&collection, validate)?;
    let (cid, validation) = (record.cid, record.validation);
    let uri = AtUri::record(&account.did, &collection, &rkey);
    let write = Write::new(Action::Create, collection, rkey, Some(record));
    let commit = call.pds.commit(&mut account.content(), vec![write], swap)?;
    Reply::json(&written(&uri, &cid, Some(&commit), validation))
}

pub(super) fn put_record(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let mut ask = Ask::read(call)?;
    let collection: Nsid = ask.input.required("collection", "NSID")?;
    let rkey: RecordKey = ask.input.required("rkey", "record key")?;
    let swap_commit = ask.input.optional("swapCommit", "CID string")?;
    let swap_record: Nullable<Cid> = ask.input.nullable("swapRecord", "CID string")?;
    let validate = ask.input.flag("validate")?;
    let draft = Draft::take(&mut ask.input, "record")?;
    let account = ask.pay(call, Cost::UPDATE)?;
    let record = draft.prepare(&collection, validate)?;
    let (cid, validation) = (record.cid, record.validation);
    let uri = AtUri::record(&account.did, &collection, &rkey);
    let mut content = account.content();
    let current = content.record_cid(&collection, &rkey);
    if current == Some(cid) {
        // Nothing to write, whatever was to be swapped: a retry of what has arrived succeeds.
        return Reply::json(&written(&uri, &cid, None, validation));
    }
    let action = match current {
        Some(_) => Action::Update,
        None => Action::Create,
    };
    check_swap_record(&swap_record, current)?;
    let write = Write::new(action, collection, rkey, Some(record));
    let commit = call.pds.commit(&mut content, vec![write], swap_commit)?;
    Reply::json(&written(&uri, &cid, Some(&commit), validation))
}

pub(super) fn delete_record(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let ask = Ask::read(call)?;
    let collection: Nsid = ask.input.required("collection", "NSID")?;
    let rkey: RecordKey = ask.input.required("rkey", "record key")?;
    let swap_commit = ask.input.optional("swapCommit", "CID string")?;
    let swap_record = match ask.input.optional("swapRecord", "CID string")? {
        Some(cid) => Nullable::Value(cid),
        None => Nullable::Absent,
    };
    let account = ask.pay(call, Cost::DELETE)?;
    let mut content = account.content();
    let current = content.record_cid(&collection, &rkey);
    if current.is_none() {
        return Reply::json(&json!({}));
    }
    check_swap_record(&swap_record, current)?;
    let write = Write::new(Action::Delete, collection, rkey, None);
    let commit = call.pds.commit(&mut content, vec![write], swap_commit)?;
    Reply::json(&json!({ "commit": commit.json() }))
}

pub(super) fn upload_blob(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let did = call.caller()?;
    let (said, bytes) = call.upload()?;
    call.count(Cost::Blob)?;
    let account = call
        .pds
        .registry()
        .by_did(&did)
        .ok_or_else(account_not_found)?;
    check_takedown(&account.profile())?;
    let mime_type = sniff::mime_type(&bytes).map_or(said, str::to_owned);
    let blob = BlobRef::of(&bytes, mime_type);
    let mut content = account.content();
    content
        .blobs
        .upload(&blob, bytes)
        .map_err(XrpcError::internal)?;
    call.pds.record_blob(&did, &blob)?;
    Reply::json(&json!({ "blob": blob }))
}

/// Who wants to write where, and the rest of the input.
pub(super) struct Ask {
    caller: Did,
    repo: Address,
    pub(super) input: Input,
}

impl Ask {
    pub(super) fn read(call: &Call<'_>) -> Result<Self, XrpcError> {
        let caller = call.caller()?;
        let input = call.input()?;
        let repo = input.required("repo", "AT identifier")?;
        Ok(Self {
            caller,
            repo,
            input,
        })
    }

    /// Takes the points from the caller, once the whole input is read, and gives the account to write to,
    /// which must be the caller's own.
    pub(super) fn pay(&self, call: &Call<'_>, points: u64) -> Result<Arc<Account>, XrpcError> {
        let did = &self.caller;
        call.count(Cost::Writes { did, points })?;
        let account = call
            .pds
            .registry()
            .by_address(&self.repo)
            .ok_or_else(account_not_found)?;
        check_takedown(&account.profile())?;
        if !account.is_active() {
            return Err(XrpcError::new(
                axum::http::StatusCode::UNAUTHORIZED,
                "AccountDeactivated",
                "Account is deactivated",
            ));
        }
        if account.did != *did {
            return Err(XrpcError::unauthorized("Authentication Required"));
        }
        Ok(account)
    }
}

fn account_not_found() -> XrpcError {
    XrpcError::new(
        axum::http::StatusCode::FORBIDDEN,
        "AccountNotFound",
        "Account not found",
    )
}

pub(super) fn rkey_or_new(
    call: &Call<'_>,
    rkey: Option<RecordKey>,
) -> Result<RecordKey, XrpcError> {
    match rkey {
        Some(rkey) => Ok(rkey),
        None => call
            .pds
            .next_tid()
            .to_string()
            .parse()
            .map_err(XrpcError::internal),
    }
}

fn check_swap_record(swap: &Nullable<Cid>, current: Option<Cid>) -> Result<(), XrpcError> {
    let expected = match swap {
        Nullable::Absent => return Ok(()),
        Nullable::Null => None,
        Nullable::Value(cid) => Some(*cid),
    };
    if expected == current {
        return Ok(());
    }
    let at = current.map_or_else(|| "null".to_owned(), |cid| cid.to_string());
    Err(XrpcError::named(
        "InvalidSwap",
        format!("Record was at {at}"),
    ))
}

/// What is said of a record that is there now; without a commit if it was there already.
pub(super) fn written(
    uri: &AtUri,
    cid: &Cid,
    commit: Option<&Committed>,
    validation: Option<&'static str>,
) -> Value {
    let mut body = json!({ "uri": uri, "cid": cid.to_string() });
    if let Some(commit) = commit {
        body["commit"] = commit.json();
    }
    if let Some(validation) = validation {
        body["validationStatus"] = validation.into();
    }
    body
}
