//! A client that is not ours, with types generated from the official lexicons, gets what it needs.

use anyhow::{Context, Result, bail};
use atrium_api::client::AtpServiceClient;
use atrium_api::com::atproto::{repo, server, sync};
use atrium_api::types::TryIntoUnknown;
use atrium_api::types::string::{AtIdentifier, Cid, Did, Nsid, RecordKey};
use atrium_api::xrpc::error::{Error, XrpcErrorKind};
use atrium_api::xrpc::http::{Request, Response};
use atrium_api::xrpc::types::AuthorizationToken;
use atrium_api::xrpc::{HttpClient, XrpcClient};
use atrium_xrpc_client::reqwest::{ReqwestClient, ReqwestClientBuilder};
use serde_json::json;

use crate::account::{Account, NOTE, note};
use crate::answer::same;
use crate::check::checks;
use crate::target::Target;

checks![
    another_client_logs_in_and_refreshes,
    another_client_writes_and_reads,
    another_client_sees_errors_by_name,
    another_client_reads_the_sync_methods,
];

fn parse<T: std::str::FromStr>(text: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| anyhow::anyhow!("{text}: {error}"))
}

/// atrium's client, with a token for every request.
struct Client {
    http: ReqwestClient,
    token: Option<String>,
}

impl HttpClient for Client {
    async fn send_http(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        self.http.send_http(request).await
    }
}

impl XrpcClient for Client {
    fn base_uri(&self) -> String {
        self.http.base_uri()
    }

    async fn authorization_token(&self, _: bool) -> Option<AuthorizationToken> {
        self.token.clone().map(AuthorizationToken::Bearer)
    }
}

fn client(target: &Target, token: Option<&str>) -> AtpServiceClient<Client> {
    let http = ReqwestClientBuilder::new(&target.pds)
        .client(target.http.clone())
        .build();
    AtpServiceClient::new(Client {
        http,
        token: token.map(ToOwned::to_owned),
    })
}

async fn another_client_logs_in_and_refreshes(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let input = server::create_session::InputData {
        allow_takendown: None,
        auth_factor_token: None,
        identifier: account.handle.clone(),
        password: account.password.clone(),
    };
    let anonymous = client(target, None).service.com.atproto.server;
    let session = anonymous.create_session(input.into()).await?;
    same!(session.did.as_str(), account.did, "did");
    same!(session.handle.as_str(), account.handle, "handle");
    let refreshing = client(target, Some(&session.refresh_jwt))
        .service
        .com
        .atproto
        .server;
    let refreshed = refreshing.refresh_session().await?;
    let authorized = client(target, Some(&refreshed.access_jwt))
        .service
        .com
        .atproto
        .server;
    same!(
        authorized.get_session().await?.did.as_str(),
        account.did,
        "did after the refresh"
    );
    same!(
        anonymous.describe_server().await?.available_user_domains,
        [".test"],
        "domains"
    );
    Ok(())
}

fn create(account: &Account, rkey: &str) -> Result<repo::create_record::Input> {
    let data = repo::create_record::InputData {
        collection: parse::<Nsid>(NOTE)?,
        record: note("by another client").try_into_unknown()?,
        repo: parse::<AtIdentifier>(&account.did)?,
        rkey: Some(parse::<RecordKey>(rkey)?),
        swap_commit: None,
        validate: None,
    };
    Ok(data.into())
}

async fn another_client_writes_and_reads(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let repo = client(target, Some(&account.access))
        .service
        .com
        .atproto
        .repo;
    let made = repo.create_record(create(&account, "k")?).await?;
    same!(
        made.validation_status.as_deref(),
        Some("unknown"),
        "validationStatus"
    );

    let get = repo::get_record::ParametersData {
        cid: None,
        collection: parse(NOTE)?,
        repo: parse(&account.did)?,
        rkey: parse("k")?,
    };
    let read = repo.get_record(get.into()).await?;
    same!(read.cid.as_ref(), Some(&made.cid), "cid");
    same!(
        serde_json::to_value(&read.value)?,
        note("by another client"),
        "value"
    );

    let list = repo::list_records::ParametersData {
        collection: parse(NOTE)?,
        cursor: None,
        limit: None,
        repo: parse(&account.handle)?,
        reverse: None,
    };
    same!(
        repo.list_records(list.into()).await?.records.len(),
        1,
        "records"
    );

    let blob = repo.upload_blob(b"hello".to_vec()).await?.blob.clone();
    let blob = serde_json::to_value(blob)?;
    same!(blob["size"], 5, "size of the blob");

    let delete = repo::delete_record::InputData {
        collection: parse(NOTE)?,
        repo: parse(&account.did)?,
        rkey: parse("k")?,
        swap_commit: None,
        swap_record: None,
    };
    repo.delete_record(delete.into())
        .await?
        .commit
        .clone()
        .context("a commit")?;
    Ok(())
}

async fn another_client_sees_errors_by_name(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let repo = client(target, Some(&account.access))
        .service
        .com
        .atproto
        .repo;
    let get = repo::get_record::ParametersData {
        cid: None,
        collection: parse(NOTE)?,
        repo: parse(&account.did)?,
        rkey: parse("absent")?,
    };
    match repo.get_record(get.into()).await {
        Err(Error::XrpcResponse(response)) => {
            same!(response.status.as_u16(), 400, "status");
            let error = serde_json::to_value(&response.error)?;
            same!(error["error"], json!("RecordNotFound"), "error");
        }
        other => bail!("expected RecordNotFound, got {other:?}"),
    }
    let anonymous = client(target, None).service.com.atproto.repo;
    match anonymous.create_record(create(&account, "k")?).await {
        Err(Error::XrpcResponse(response)) => {
            same!(response.status.as_u16(), 401, "status");
            let Some(XrpcErrorKind::Undefined(body)) = response.error else {
                bail!("an error with a name")
            };
            same!(body.error.as_deref(), Some("AuthMissing"), "error");
        }
        other => bail!("expected AuthMissing, got {other:?}"),
    }
    Ok(())
}

async fn another_client_reads_the_sync_methods(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let made = account.put(target, "k", note("1")).await?;
    let sync = client(target, None).service.com.atproto.sync;
    let did: Did = parse(&account.did)?;
    let latest = sync::get_latest_commit::ParametersData { did: did.clone() };
    let latest = sync.get_latest_commit(latest.into()).await?;
    same!(json!(latest.rev), made["commit"]["rev"], "rev");
    let status = sync::get_repo_status::ParametersData { did: did.clone() };
    same!(
        sync.get_repo_status(status.into()).await?.active,
        true,
        "active"
    );
    let export = sync::get_repo::ParametersData { did, since: None };
    let car = sync.get_repo(export.into()).await?;
    let root = atcomms_repo::car::Car::read(&car)?.root();
    same!(Cid::new(root), latest.cid, "root");
    let list = sync::list_repos::ParametersData {
        cursor: None,
        limit: 1000.try_into().ok(),
    };
    let listed = sync.list_repos(list.into()).await?;
    same!(
        listed
            .repos
            .iter()
            .filter(|repo| repo.did.as_str() == account.did)
            .count(),
        1,
        "listed"
    );
    Ok(())
}
