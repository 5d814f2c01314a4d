//! `com.atproto.repo`: writing records and blobs.

use std::sync::Arc;

use atcomms_lexicon::{Address, AtUri, BlobRef, Cid, Nsid, RecordKey};
use atcomms_repo::frame::Action;
use serde_json::{Value, json};

use crate::input::{Input, Nullable};
use crate::pds::account::Account;
use crate::pds::call::Call;
use crate::pds::record::Record;
use crate::pds::sniff;
use crate::pds::write::{Committed, Write};
use crate::xrpc::{Reply, XrpcError};

pub(super) fn create_record(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let (account, mut input) = writer(call)?;
    let collection: Nsid = input.required("collection", "NSID")?;
    let rkey = rkey_or_new(call, &input)?;
    let swap = input.optional("swapCommit", "CID string")?;
    let record = take_record(&mut input, "record", &collection)?;
    let (cid, validation) = (record.cid, record.validation);
    let uri = AtUri::record(&account.did, &collection, &rkey);
    let write = Write::new(Action::Create, collection, rkey, Some(record));
    let commit = call.pds.commit(&mut account.content(), vec![write], swap)?;
    Reply::json(&written(&uri, &cid, Some(&commit), validation))
}

pub(super) fn put_record(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let (account, mut input) = writer(call)?;
    let collection: Nsid = input.required("collection", "NSID")?;
    let rkey: RecordKey = input.required("rkey", "record key")?;
    let swap_commit = input.optional("swapCommit", "CID string")?;
    let swap_record: Nullable<Cid> = input.nullable("swapRecord", "CID string")?;
    let record = take_record(&mut input, "record", &collection)?;
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
    let (account, input) = writer(call)?;
    let collection: Nsid = input.required("collection", "NSID")?;
    let rkey: RecordKey = input.required("rkey", "record key")?;
    let swap_commit = input.optional("swapCommit", "CID string")?;
    let swap_record = match input.optional("swapRecord", "CID string")? {
        Some(cid) => Nullable::Value(cid),
        None => Nullable::Absent,
    };
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

pub(super) fn apply_writes(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let (account, mut input) = writer(call)?;
    let validate = input.flag("validate")?;
    let swap = input.optional("swapCommit", "CID string")?;
    let given = input.take_array("writes")?;
    let path = input.at("writes");
    let mut writes = Vec::with_capacity(given.len().min(MAX_WRITES));
    let mut results = Vec::with_capacity(given.len().min(MAX_WRITES));
    let too_many = given.len() > MAX_WRITES;
    for (index, write) in given.into_iter().enumerate() {
        let (write, result) =
            read_write(call, &account, write, &format!("{path}[{index}]"), validate)?;
        writes.push(write);
        results.push(result);
    }
    if too_many {
        return Err(XrpcError::invalid(format!(
            "Too many writes. Max: {MAX_WRITES}"
        )));
    }
    let commit = call.pds.commit(&mut account.content(), writes, swap)?;
    Reply::json(&json!({ "commit": commit.json(), "results": results }))
}

pub(super) fn upload_blob(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let did = call.caller()?;
    let (said, bytes) = call.upload()?;
    let account = call
        .pds
        .registry()
        .by_did(&did)
        .ok_or_else(account_not_found)?;
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

/// The caller's own account, named by the input's `repo`, and the input.
fn writer(call: &Call<'_>) -> Result<(Arc<Account>, Input), XrpcError> {
    let caller = call.caller()?;
    let input = call.input()?;
    let repo: Address = input.required("repo", "AT identifier")?;
    let account = call
        .pds
        .registry()
        .by_address(&repo)
        .ok_or_else(account_not_found)?;
    if !account.is_active() {
        return Err(XrpcError::new(
            axum::http::StatusCode::UNAUTHORIZED,
            "AccountDeactivated",
            "Account is deactivated",
        ));
    }
    if account.did != caller {
        return Err(XrpcError::unauthorized("Authentication Required"));
    }
    Ok((account, input))
}

fn account_not_found() -> XrpcError {
    XrpcError::new(
        axum::http::StatusCode::FORBIDDEN,
        "AccountNotFound",
        "Account not found",
    )
}

fn rkey_or_new(call: &Call<'_>, input: &Input) -> Result<RecordKey, XrpcError> {
    match input.optional("rkey", "record key")? {
        Some(rkey) => Ok(rkey),
        None => call
            .pds
            .next_tid()
            .to_string()
            .parse()
            .map_err(XrpcError::internal),
    }
}

fn take_record(input: &mut Input, name: &str, collection: &Nsid) -> Result<Record, XrpcError> {
    let validate = input.flag("validate")?;
    let record = input.take_object(name)?;
    Record::prepare(record, &input.at(name), collection, validate)
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

/// Reads one of `applyWrites`' writes, and makes what will be said of it.
fn read_write(
    call: &Call<'_>,
    account: &Account,
    write: Value,
    path: &str,
    validate: Option<bool>,
) -> Result<(Write, Value), XrpcError> {
    let mut input = Input::from_value(path, write)?;
    let kind = input.optional_text("$type")?.map(str::to_owned);
    let action = match kind.as_deref() {
        Some("com.atproto.repo.applyWrites#create") => Action::Create,
        Some("com.atproto.repo.applyWrites#update") => Action::Update,
        Some("com.atproto.repo.applyWrites#delete") => Action::Delete,
        Some(other) => {
            return Err(XrpcError::invalid(format!(
                "Expected one of \"com.atproto.repo.applyWrites#create\", \"com.atproto.repo.applyWrites#update\" or \"com.atproto.repo.applyWrites#delete\" (got \"{other}\") at {path}.$type"
            )));
        }
        None => {
            return Err(XrpcError::invalid(format!(
                "Expected an object which includes the \"$type\" property value type at {path}"
            )));
        }
    };
    let collection: Nsid = input.required("collection", "NSID")?;
    if action == Action::Delete {
        let rkey = input.required("rkey", "record key")?;
        let result = json!({ "$type": "com.atproto.repo.applyWrites#deleteResult" });
        return Ok((Write::new(action, collection, rkey, None), result));
    }
    let value = input.take_object("value")?;
    let rkey = match action {
        Action::Create => rkey_or_new(call, &input)?,
        _ => input.required("rkey", "record key")?,
    };
    let record = Record::prepare(value, &input.at("value"), &collection, validate)?;
    let uri = AtUri::record(&account.did, &collection, &rkey);
    let mut result = written(&uri, &record.cid, None, record.validation);
    result["$type"] = format!("com.atproto.repo.applyWrites#{action}Result").into();
    Ok((Write::new(action, collection, rkey, Some(record)), result))
}

/// What is said of a record that is there now; without a commit if it was there already.
fn written(
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

/// Writes in one `applyWrites`, of the reference PDS.
const MAX_WRITES: usize = 200;
