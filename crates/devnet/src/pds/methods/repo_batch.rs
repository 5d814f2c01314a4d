//! `com.atproto.repo.applyWrites`: several records in one commit.

use atcomms_lexicon::{AtUri, Nsid, RecordKey};
use atcomms_repo::frame::Action;
use serde_json::{Value, json};

use super::repo_write::{Ask, rkey_or_new, written};
use crate::input::Input;
use crate::pds::account::Account;
use crate::pds::call::Call;
use crate::pds::record::Draft;
use crate::pds::write::Write;
use crate::rate_limit::Cost;
use crate::xrpc::{Reply, XrpcError};

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

/// Writes in one `applyWrites`, of the reference PDS.
const MAX_WRITES: usize = 200;
