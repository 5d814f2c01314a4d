//! Sessions and the errors of tokens.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::account::note;
use crate::answer::{fields, same, text};
use crate::check::checks;
use crate::target::{Setup, Target};

const CREATE: &str = "com.atproto.server.createSession";
const REFRESH: &str = "com.atproto.server.refreshSession";
const GET: &str = "com.atproto.server.getSession";

checks![
    a_session_opens_by_handle_did_and_email,
    a_wrong_password_is_401,
    a_session_says_whose_it_is,
    a_session_is_refreshed,
    a_refresh_can_be_repeated,
    a_deleted_session_is_not_refreshed,
    a_missing_token_is_401_and_a_bad_one_is_400,
    an_expired_token_is_400 in Setup::default(),
];

async fn a_session_opens_by_handle_did_and_email(target: &Target) -> Result<()> {
    let account = target.account().await?;
    for identifier in [&account.handle, &account.did, &account.email] {
        let body = json!({ "identifier": identifier, "password": account.password });
        let session = target.post(None, CREATE, &body).await?.ok()?;
        same!(
            fields(&session),
            [
                "accessJwt",
                "active",
                "did",
                "email",
                "emailConfirmed",
                "handle",
                "refreshJwt"
            ],
            "fields"
        );
        same!(text(&session, "did")?, account.did, "did");
        same!(text(&session, "handle")?, account.handle, "handle");
        same!(text(&session, "email")?, account.email, "email");
        same!(session["active"], true, "active");
        same!(session["emailConfirmed"], false, "emailConfirmed");
        target
            .get_with(text(&session, "accessJwt")?, GET)
            .await?
            .ok()?;
    }
    Ok(())
}

async fn a_wrong_password_is_401(target: &Target) -> Result<()> {
    let account = target.account().await?;
    for identifier in [&*account.handle, &account.did, "nobody.test"] {
        let body = json!({ "identifier": identifier, "password": "wrong" });
        target
            .post(None, CREATE, &body)
            .await?
            .refused(401, "AuthenticationRequired")?;
    }
    let no_password = json!({ "identifier": account.handle });
    target
        .post(None, CREATE, &no_password)
        .await?
        .refused(400, "InvalidRequest")
}

async fn a_session_says_whose_it_is(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let session = target.get_with(&account.access, GET).await?.ok()?;
    let expected = json!({
        "did": account.did,
        "handle": account.handle,
        "email": account.email,
        "emailConfirmed": false,
        "active": true,
    });
    same!(session, expected, "session");
    Ok(())
}

async fn a_session_is_refreshed(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let session = target
        .post_empty(Some(&account.refresh), REFRESH)
        .await?
        .ok()?;
    same!(text(&session, "did")?, account.did, "did");
    same!(text(&session, "handle")?, account.handle, "handle");
    same!(session["active"], true, "active");
    ensure!(
        text(&session, "refreshJwt")? != account.refresh,
        "the refresh token is a new one"
    );
    target
        .get_with(text(&session, "accessJwt")?, GET)
        .await?
        .ok()?;
    target.get_with(&account.access, GET).await?.ok()?; // the old one is good until it expires
    target
        .post_empty(Some(text(&session, "refreshJwt")?), REFRESH)
        .await?
        .ok()?;
    Ok(())
}

/// For a client whose answer got lost: for a while the old token gives the same new one.
async fn a_refresh_can_be_repeated(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let first = target
        .post_empty(Some(&account.refresh), REFRESH)
        .await?
        .ok()?;
    let again = target
        .post_empty(Some(&account.refresh), REFRESH)
        .await?
        .ok()?;
    let id = |jwt: &str| jwt.split('.').nth(1).map(ToOwned::to_owned);
    let [first, again] = [text(&first, "refreshJwt")?, text(&again, "refreshJwt")?];
    ensure!(
        first != account.refresh && again != account.refresh,
        "both are new"
    );
    same!(jti(&id(again))?, jti(&id(first))?, "id of the new token");
    Ok(())
}

fn jti(payload: &Option<String>) -> Result<String> {
    use base64::Engine;
    let payload = payload.as_deref().unwrap_or_default();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?;
    let json: serde_json::Value = serde_json::from_slice(&json)?;
    Ok(text(&json, "jti")?.to_owned())
}

async fn a_deleted_session_is_not_refreshed(target: &Target) -> Result<()> {
    const DELETE: &str = "com.atproto.server.deleteSession";
    let account = target.account().await?;
    target
        .post_empty(Some(&account.refresh), DELETE)
        .await?
        .ok()?;
    target
        .post_empty(Some(&account.refresh), REFRESH)
        .await?
        .refused(400, "ExpiredToken")
}

async fn a_missing_token_is_401_and_a_bad_one_is_400(target: &Target) -> Result<()> {
    let account = target.account().await?;
    target.get(GET, &[]).await?.refused(401, "AuthMissing")?;
    target
        .get_with("garbage", GET)
        .await?
        .refused(400, "InvalidToken")?;
    target
        .get_with("aa.bb.cc", GET)
        .await?
        .refused(400, "InvalidToken")?;
    target
        .get_with(&account.refresh, GET)
        .await?
        .refused(400, "InvalidToken")?;
    let forged = format!("{}x", account.access);
    target
        .get_with(&forged, GET)
        .await?
        .refused(400, "InvalidToken")?;
    target
        .post_empty(None, REFRESH)
        .await?
        .refused(401, "AuthMissing")?;
    target
        .post_empty(Some(&account.access), REFRESH)
        .await?
        .refused(400, "InvalidToken")?;
    let write =
        json!({ "repo": account.did, "collection": "com.example.note", "record": note("x") });
    let create = "com.atproto.repo.createRecord";
    target
        .post(None, create, &write)
        .await?
        .refused(401, "AuthMissing")?;
    target
        .post(Some("garbage"), create, &write)
        .await?
        .refused(400, "InvalidToken")
}

async fn an_expired_token_is_400(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let expired = target.expired_token(&account);
    target
        .get_with(&expired, GET)
        .await?
        .refused(400, "ExpiredToken")?;
    let expired = target.expired_token(&account);
    let write =
        json!({ "repo": account.did, "collection": "com.example.note", "record": note("x") });
    let create = "com.atproto.repo.createRecord";
    target
        .post(Some(&expired), create, &write)
        .await?
        .refused(400, "ExpiredToken")?;
    same!(
        account.latest(target).await?["rev"].is_string(),
        true,
        "the repository is as it was"
    );
    Ok(())
}
