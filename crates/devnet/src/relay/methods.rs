//! The methods of a relay, which answer from what it has seen, with the statuses of the public one.

use atcomms_lexicon::{Did, Nsid};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use super::intake::Intake;
use super::seen::Seen;
use crate::params::Params;
use crate::plc::PDS_SERVICE;
use crate::xrpc::{Reply, XrpcError};

/// Answers a query.
pub(super) fn answer(
    intake: &Intake,
    name: &str,
    params: &Params<'_>,
) -> Result<Response, XrpcError> {
    let body = match name.strip_prefix("com.atproto.sync.").unwrap_or_default() {
        "listRepos" => list_repos(intake, params),
        "listReposByCollection" => list_repos_by_collection(intake, params),
        "listHosts" => list_hosts(intake, params),
        "getRepoStatus" => get_repo_status(intake, params),
        "getLatestCommit" => get_latest_commit(intake, params),
        "getRepo" => return get_repo(intake, params),
        _ => Err(XrpcError::new(
            StatusCode::NOT_IMPLEMENTED,
            "MethodNotImplemented",
            format!("a relay has no {name}"),
        )),
    }?;
    Reply::json(&body).map(IntoResponse::into_response)
}

fn list_repos(intake: &Intake, params: &Params<'_>) -> Result<Value, XrpcError> {
    let (skipped, limit) = page(params, LIST_REPOS)?;
    let inner = intake.lock();
    let repos = inner.seen.after(skipped).filter_map(|(place, seen)| {
        let head = seen.head.as_ref()?;
        let mut repo = json!({
            "did": seen.did,
            "head": head.cid.to_string(),
            "rev": head.rev,
            "active": seen.status.is_none(),
        });
        if let Some(status) = &seen.status {
            repo["status"] = status.as_str().into();
        }
        Some((place, repo))
    });
    Ok(listed("repos", repos, limit))
}

fn list_repos_by_collection(intake: &Intake, params: &Params<'_>) -> Result<Value, XrpcError> {
    let collection: Nsid = params.required("collection", "NSID")?;
    let (skipped, limit) = page(params, LIST_REPOS_BY_COLLECTION)?;
    let inner = intake.lock();
    let repos = inner.seen.of_collection(collection.as_str(), skipped);
    let repos = repos.map(|(place, seen)| (place, json!({ "did": seen.did })));
    Ok(listed("repos", repos, limit))
}

fn list_hosts(intake: &Intake, params: &Params<'_>) -> Result<Value, XrpcError> {
    let (skipped, limit) = page(params, LIST_HOSTS)?;
    let inner = intake.lock();
    let endpoints: Vec<String> = inner
        .seen
        .after(0)
        .filter_map(|(_, seen)| intake.plc.service(&seen.did, PDS_SERVICE))
        .collect();
    let hosts = inner.hosts.values().enumerate().skip(skipped);
    let hosts = hosts.map(|(place, host)| {
        let accounts = endpoints.iter().filter(|endpoint| **endpoint == host.url);
        let status = if host.connected { "active" } else { "offline" };
        let body = json!({
            "hostname": host.url.split_once("://").map_or(host.url.as_str(), |(_, name)| name),
            "seq": host.seq,
            "accountCount": accounts.count(),
            "status": status,
        });
        (place, body)
    });
    Ok(listed("hosts", hosts, limit))
}

fn get_repo_status(intake: &Intake, params: &Params<'_>) -> Result<Value, XrpcError> {
    let seen = find(intake, params)?;
    let mut body = json!({ "did": seen.did, "active": seen.status.is_none() });
    if let Some(status) = seen.status {
        body["status"] = status.into();
    }
    if let Some(head) = seen.head {
        body["rev"] = head.rev.into();
    }
    Ok(body)
}

fn get_latest_commit(intake: &Intake, params: &Params<'_>) -> Result<Value, XrpcError> {
    let seen = find(intake, params)?;
    if let Some(status) = seen.status {
        let error = match status.as_str() {
            "takendown" | "suspended" => "RepoTakendown",
            "deactivated" => "RepoDeactivated",
            "deleted" => "RepoDeleted",
            _ => "RepoInactive",
        };
        let message = format!("account not active ({status})");
        return Err(XrpcError::new(StatusCode::FORBIDDEN, error, message));
    }
    let Some(head) = seen.head else {
        return Err(XrpcError::new(
            StatusCode::NOT_FOUND,
            "RepoNotSynchronized",
            "do not know current repo state for account",
        ));
    };
    Ok(json!({ "cid": head.cid.to_string(), "rev": head.rev }))
}

/// A relay keeps no repository: it says where one is.
fn get_repo(intake: &Intake, params: &Params<'_>) -> Result<Response, XrpcError> {
    let did: Did = params.required("did", "DID")?;
    let endpoint = intake.plc.service(did.as_str(), PDS_SERVICE);
    let endpoint = endpoint.ok_or_else(not_found)?;
    let mut url = format!("{endpoint}/xrpc/com.atproto.sync.getRepo?did={did}");
    if let Some(since) = params.text("since") {
        url.push_str("&since=");
        url.push_str(since);
    }
    Ok(Redirect::to(&url).into_response())
}

fn find(intake: &Intake, params: &Params<'_>) -> Result<Seen, XrpcError> {
    let did: Did = params.required("did", "DID")?;
    let seen = intake.lock().seen.get(did.as_str()).cloned();
    seen.ok_or_else(not_found)
}

fn not_found() -> XrpcError {
    XrpcError::new(StatusCode::NOT_FOUND, "RepoNotFound", "account not found")
}

/// How many entries a page begins behind, and how many it has at most.
fn page(params: &Params<'_>, limits: (usize, usize)) -> Result<(usize, usize), XrpcError> {
    let limit = params.limit(limits.0, limits.1)?;
    let cursor = params.text("cursor").map(str::parse::<usize>).transpose();
    let skipped = cursor.map_err(|_| XrpcError::invalid("Malformed cursor"))?;
    Ok((skipped.unwrap_or(0), limit))
}

/// A page of entries with their places, and a cursor if there may be more.
fn listed(name: &str, entries: impl Iterator<Item = (usize, Value)>, limit: usize) -> Value {
    let page: Vec<(usize, Value)> = entries.take(limit).collect();
    let next = page.last().map(|(place, _)| place + 1);
    let full = page.len() == limit;
    let entries: Vec<Value> = page.into_iter().map(|(_, entry)| entry).collect();
    let mut body = json!({ name: entries });
    if let Some(next) = next.filter(|_| full) {
        body["cursor"] = next.to_string().into();
    }
    body
}

/// Default and greatest `limit` of `listRepos`.
const LIST_REPOS: (usize, usize) = (500, 1000);

/// Default and greatest `limit` of `listReposByCollection`.
const LIST_REPOS_BY_COLLECTION: (usize, usize) = (500, 2000);

/// Default and greatest `limit` of `listHosts`.
const LIST_HOSTS: (usize, usize) = (200, 1000);
