//! `com.atproto.repo`: writing records and blobs.

use std::sync::Arc;

use atcomms_lexicon::{Address, AtUri, BlobRef, Cid, Did, Nsid, RecordKey};
use atcomms_repo::frame::Action;
use serde_json::{Value, json};

use crate::input::{Input, Nullable};
use crate::pds::account::Account;
use crate::pds::call::Call;
use crate::pds::record::Draft;
use crate::pds::sniff;
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

pub(super) fn apply_writes(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let mut ask = Ask::read(call)?;
    let validate = ask.input.flag("validate")?;
    let swap = ask.input.optional("swapCommit", "CID string")?;
    let given = ask.input.take_array("writes")?;
    let path = ask.input.at("writes");
    let asked = given
        .into_iter()
        .enumerate()
        .map(|(index, write)| AskedWrite::read(write, &format!("{path}[{index}]")))
        .collect::<Result<Vec<_>, _>>()?;
    let account = ask.pay(call, asked.iter().map(AskedWrite::points).sum())?;
    if asked.len() > MAX_WRITES {
        return Err(XrpcError::invalid(format!(
            "Too many writes. Max: {MAX_WRITES}"
        )));
    }
    let mut writes = Vec::with_capacity(asked.len());
    let mut results = Vec::with_capacity(asked.len());
    for write in asked {
        let (write, result) = write.prepare(call, &account, validate)?;
        writes.push(write);
        results.push(result);
    }
    let commit = call.pds.commit(&mut account.content(), writes, swap)?;
    Reply::json(&json!({ "commit": commit.json(), "results": results }))
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
struct Ask {
    caller: Did,
    repo: Address,
    input: Input,
}

impl Ask {
    fn read(call: &Call<'_>) -> Result<Self, XrpcError> {
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
    fn pay(&self, call: &Call<'_>, points: u64) -> Result<Arc<Account>, XrpcError> {
        let did = &self.caller;
        call.count(Cost::Writes { did, points })?;
        let account = call
            .pds
            .registry()
            .by_address(&self.repo)
            .ok_or_else(account_not_found)?;
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

fn rkey_or_new(call: &Call<'_>, rkey: Option<RecordKey>) -> Result<RecordKey, XrpcError> {
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

/// One of `applyWrites`' writes as it was sent.
struct AskedWrite {
    action: Action,
    collection: Nsid,
    rkey: Option<RecordKey>,
    /// `None` for a delete.
    draft: Option<Draft>,
}

impl AskedWrite {
    fn read(write: Value, path: &str) -> Result<Self, XrpcError> {
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
        let collection = input.required("collection", "NSID")?;
        let draft = match action {
            Action::Delete => None,
            _ => Some(Draft::take(&mut input, "value")?),
        };
        let rkey = match action {
            Action::Create => input.optional("rkey", "record key")?,
            _ => Some(input.required("rkey", "record key")?),
        };
        Ok(Self {
            action,
            collection,
            rkey,
            draft,
        })
    }

    fn points(&self) -> u64 {
        match self.action {
            Action::Create => Cost::CREATE,
            Action::Update => Cost::UPDATE,
            _ => Cost::DELETE,
        }
    }

    /// The write, and what will be said of it.
    fn prepare(
        self,
        call: &Call<'_>,
        account: &Account,
        validate: Option<bool>,
    ) -> Result<(Write, Value), XrpcError> {
        let Self {
            action, collection, ..
        } = self;
        let rkey = rkey_or_new(call, self.rkey)?;
        let Some(draft) = self.draft else {
            let result = json!({ "$type": "com.atproto.repo.applyWrites#deleteResult" });
            return Ok((Write::new(action, collection, rkey, None), result));
        };
        let record = draft.prepare(&collection, validate)?;
        let uri = AtUri::record(&account.did, &collection, &rkey);
        let mut result = written(&uri, &record.cid, None, record.validation);
        result["$type"] = format!("com.atproto.repo.applyWrites#{action}Result").into();
        Ok((Write::new(action, collection, rkey, Some(record)), result))
    }
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
