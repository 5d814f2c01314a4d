//! Questions to a stranger's PDS, each bounded in time and size.

use std::time::Duration;

use atcomms_identity::{Identity, RequestError, Resolver, read_body};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::snapshot::FetchFailure;

/// How long a PDS may take for one answer that is small.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest answer that is not a repository: a page of a list.
const MAX_JSON: usize = 4 * 1024 * 1024;
/// As much as is read of an error.
const MAX_ERROR: usize = 64 * 1024;

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum XrpcFailure {
    /// The host is not reached, or its answer breaks off.
    Unreachable(String),
    /// It answers with an error.
    Refused { status: u16, name: String },
    /// The answer is longer than what is read.
    TooLarge,
    /// The answer is not what was asked for, or does not prove it.
    Wrong(String),
}

/// The names by which a PDS says that it does not serve a repository.
const NOT_SERVED: [&str; 4] = [
    "RepoNotFound",
    "RepoTakendown",
    "RepoSuspended",
    "RepoDeactivated",
];

impl From<XrpcFailure> for FetchFailure {
    fn from(failure: XrpcFailure) -> Self {
        match failure {
            XrpcFailure::Refused { name, .. } if NOT_SERVED.contains(&name.as_str()) => {
                FetchFailure::NotServed(format!("its PDS says {name}"))
            }
            XrpcFailure::Refused { status, name } => {
                FetchFailure::ForNow(format!("its PDS answers with status {status} {name}"))
            }
            XrpcFailure::Unreachable(why) => {
                FetchFailure::ForNow(format!("its PDS is not reached: {why}"))
            }
            XrpcFailure::TooLarge => {
                FetchFailure::ForNow("its PDS's answer does not end".to_owned())
            }
            XrpcFailure::Wrong(why) => FetchFailure::ForNow(why),
        }
    }
}

/// The answer to a query, up to so many bytes. Cancel safe.
pub(super) async fn get(
    resolver: &Resolver,
    identity: &Identity,
    method: &str,
    parameters: &[(&str, &str)],
    limit: usize,
    within: Duration,
) -> Result<Bytes, XrpcFailure> {
    let mut url = identity.pds.clone();
    url.set_path(&format!("/xrpc/{method}"));
    url.query_pairs_mut().extend_pairs(parameters);
    let request = resolver
        .client()
        .get(url)
        .map_err(|refused| XrpcFailure::Wrong(refused.to_string()))?;
    let sent = request.timeout(within).send().await;
    let response = sent.map_err(|error| XrpcFailure::Unreachable(told(error.into())))?;
    let status = response.status();
    if !status.is_success() {
        #[derive(Deserialize)]
        struct Error {
            error: String,
        }
        let body = read_body(response, MAX_ERROR).await.unwrap_or_default();
        let name = serde_json::from_slice(&body).map(|error: Error| error.error);
        return Err(XrpcFailure::Refused {
            status: status.as_u16(),
            name: name.unwrap_or_default(),
        });
    }
    read_body(response, limit)
        .await
        .map_err(|error| match error {
            atcomms_identity::BodyError::TooLarge { .. } => XrpcFailure::TooLarge,
            error => XrpcFailure::Unreachable(error.to_string()),
        })
}

/// The same, for an answer in JSON. Cancel safe.
pub(crate) async fn get_json<T: DeserializeOwned>(
    resolver: &Resolver,
    identity: &Identity,
    method: &str,
    parameters: &[(&str, &str)],
) -> Result<T, XrpcFailure> {
    let body = get(resolver, identity, method, parameters, MAX_JSON, TIMEOUT).await?;
    serde_json::from_slice(&body)
        .map_err(|error| XrpcFailure::Wrong(format!("the answer to {method} is wrong: {error}")))
}

fn told(error: RequestError) -> String {
    error.to_string()
}
