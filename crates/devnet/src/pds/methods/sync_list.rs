//! `com.atproto.sync`: lists.

use atcomms_lexicon::Tid;
use serde_json::json;

use super::sync::available;
use crate::pds::call::Call;
use crate::rate_limit::Cost;
use crate::xrpc::{Reply, XrpcError};

pub(super) fn list_repos(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let limit = call.params.limit(LIST_REPOS.0, LIST_REPOS.1)?;
    let cursor = call.params.text("cursor").map(parse_cursor).transpose()?;
    call.count(Cost::Request)?;
    let registry = call.pds.registry();
    let mut last = None;
    let repos: Vec<_> = registry
        .after(cursor)
        .take(limit)
        .map(|((created, did), account)| {
            last = Some(format!("{created}::{did}"));
            let status = account.profile().status();
            let content = account.content();
            let mut repo = json!({
                "did": did,
                "head": content.repository.head().cid().to_string(),
                "rev": content.repository.head().rev().to_string(),
                "active": status.is_none(),
            });
            if let Some(status) = status {
                repo["status"] = status.into();
            }
            repo
        })
        .collect();
    let mut body = json!({ "repos": repos });
    if let Some(last) = last {
        body["cursor"] = last.into();
    }
    Reply::json(&body)
}

pub(super) fn list_blobs(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let limit = call.params.limit(LIST_BLOBS.0, LIST_BLOBS.1)?;
    let since: Option<Tid> = call.params.optional("since", "TID string")?;
    let after = call.params.text("cursor").unwrap_or_default();
    let account = available(call)?;
    let content = account.content();
    let cids: Vec<String> = content
        .blobs
        .held(since)
        .into_iter()
        .filter(|cid| cid.as_str() > after)
        .take(limit)
        .collect();
    let mut body = json!({ "cids": cids });
    if let Some(last) = cids.last() {
        body["cursor"] = last.as_str().into();
    }
    Reply::json(&body)
}

/// A cursor is when the last account was created, in milliseconds, and its DID.
fn parse_cursor(text: &str) -> Result<(i64, String), XrpcError> {
    text.split_once("::")
        .and_then(|(created, did)| Some((created.parse().ok()?, did.to_owned())))
        .ok_or_else(|| XrpcError::invalid("Malformed cursor"))
}

/// Default and greatest `limit` of `listRepos`.
const LIST_REPOS: (usize, usize) = (500, 1000);

/// Default and greatest `limit` of `listBlobs`.
const LIST_BLOBS: (usize, usize) = (500, 1000);
