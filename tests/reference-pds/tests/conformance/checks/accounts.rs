//! Accounts, handles, and the directory.

use anyhow::{Result, ensure};
use atcomms_lexicon::Did;
use serde_json::{Value, json};

use crate::account::{Account, NOTE, note};
use crate::answer::{Answer, fields, same, text};
use crate::check::checks;
use crate::target::Target;

const CREATE: &str = "com.atproto.server.createAccount";

checks![
    an_account_has_a_did_and_a_session,
    an_account_has_a_document_with_key_and_pds,
    account_creation_is_refused_with_a_reason,
    a_handle_resolves_to_its_did,
    a_handle_can_be_changed,
    the_directory_knows_who_is_not_there,
    the_server_describes_itself,
    an_account_can_be_deactivated_and_activated,
    requests_that_are_no_requests_are_400,
];

async fn an_account_has_a_did_and_a_session(target: &Target) -> Result<()> {
    let name = target.new_name();
    let body = json!({ "handle": format!("{name}.test"), "email": format!("{name}@example.com"), "password": "secret" });
    let made = target.post(None, CREATE, &body).await?.ok()?;
    same!(
        fields(&made),
        ["accessJwt", "did", "didDoc", "handle", "refreshJwt"],
        "fields"
    );
    same!(text(&made, "handle")?, format!("{name}.test"), "handle");
    let did: Did = text(&made, "did")?.parse()?;
    same!(did.method(), "plc", "method of {did}");
    same!(
        made["didDoc"],
        target.document(did.as_str()).await?,
        "document"
    );
    Ok(())
}

async fn an_account_has_a_document_with_key_and_pds(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let document = target.document(&account.did).await?;
    same!(document["id"], account.did, "id");
    same!(
        document["alsoKnownAs"],
        json!([format!("at://{}", account.handle)]),
        "alsoKnownAs"
    );
    let method = &document["verificationMethod"][0];
    same!(
        method["id"],
        format!("{}#atproto", account.did),
        "id of the key"
    );
    same!(method["type"], "Multikey", "type of the key");
    same!(method["controller"], account.did, "controller of the key");
    ensure!(
        text(method, "publicKeyMultibase")?.starts_with("zQ3sh"),
        "a key on K-256: {method}"
    );
    let service = &document["service"][0];
    same!(service["id"], "#atproto_pds", "id of the service");
    same!(
        service["type"],
        "AtprotoPersonalDataServer",
        "type of the service"
    );
    same!(service["serviceEndpoint"], target.pds, "endpoint");
    let fetched = Answer::of(target.http.get(format!("{}/{}", target.plc, account.did))).await?;
    fetched.bytes("application/did+ld+json")?;
    Ok(())
}

async fn account_creation_is_refused_with_a_reason(target: &Target) -> Result<()> {
    let taken = target.account().await?;
    let refused = async |handle: &str, email: Option<&str>, error: &str| {
        let body = json!({ "handle": handle, "email": email, "password": "secret" });
        target.post(None, CREATE, &body).await?.refused(400, error)
    };
    let email = format!("{}@example.com", target.new_name());
    refused(&taken.handle, Some(&email), "InvalidRequest").await?;
    refused(
        &format!("{}.test", target.new_name()),
        Some(&taken.email),
        "InvalidRequest",
    )
    .await?;
    refused("not a handle", Some(&email), "InvalidRequest").await?;
    refused("alice.example.org", Some(&email), "UnsupportedDomain").await?;
    let no_handle = json!({ "email": email, "password": "secret" });
    target
        .post(None, CREATE, &no_handle)
        .await?
        .refused(400, "InvalidRequest")?;
    let no_email = json!({ "handle": format!("{}.test", target.new_name()), "password": "secret" });
    target
        .post(None, CREATE, &no_email)
        .await?
        .refused(400, "InvalidRequest")
}

async fn a_handle_resolves_to_its_did(target: &Target) -> Result<()> {
    const RESOLVE: &str = "com.atproto.identity.resolveHandle";
    let account = target.account().await?;
    let resolved = target
        .get(RESOLVE, &[("handle", &account.handle)])
        .await?
        .ok()?;
    same!(resolved, json!({ "did": account.did }), "answer");
    target
        .get(RESOLVE, &[("handle", "nobody.test")])
        .await?
        .refused(400, "HandleNotFound")?;
    target
        .get(RESOLVE, &[("handle", "no")])
        .await?
        .refused(400, "InvalidRequest")?;
    target
        .get(RESOLVE, &[])
        .await?
        .refused(400, "InvalidRequest")
}

async fn a_handle_can_be_changed(target: &Target) -> Result<()> {
    const UPDATE: &str = "com.atproto.identity.updateHandle";
    let account = target.account().await?;
    let handle = format!("{}.test", target.new_name());
    let body = json!({ "handle": handle });
    target
        .post(Some(&account.access), UPDATE, &body)
        .await?
        .ok()?;
    same!(
        target.document(&account.did).await?["alsoKnownAs"],
        json!([format!("at://{handle}")]),
        "alsoKnownAs"
    );
    let resolve = "com.atproto.identity.resolveHandle";
    target
        .get(resolve, &[("handle", &account.handle)])
        .await?
        .refused(400, "HandleNotFound")?;
    let other = target.account().await?;
    target
        .post(Some(&other.access), UPDATE, &body)
        .await?
        .refused(400, "HandleNotAvailable")?;
    let bad = json!({ "handle": "nope" });
    target
        .post(Some(&other.access), UPDATE, &bad)
        .await?
        .refused(400, "InvalidRequest")
}

async fn the_directory_knows_who_is_not_there(target: &Target) -> Result<()> {
    let url = format!("{}/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", target.plc);
    let answer = Answer::of(target.http.get(url)).await?;
    same!(answer.status, 404, "status");
    let body: Value = serde_json::from_slice(&answer.body)?;
    same!(
        body,
        json!({ "message": "DID not registered: did:plc:aaaaaaaaaaaaaaaaaaaaaaaa" }),
        "body"
    );
    Ok(())
}

async fn the_server_describes_itself(target: &Target) -> Result<()> {
    let server = target
        .get("com.atproto.server.describeServer", &[])
        .await?
        .ok()?;
    same!(
        server["availableUserDomains"],
        json!([".test"]),
        "availableUserDomains"
    );
    same!(server["inviteCodeRequired"], false, "inviteCodeRequired");
    same!(server["blobUploadLimit"], 5_242_880, "blobUploadLimit");
    same!(text(&server, "did")?, "did:web:localhost", "did");
    Ok(())
}

async fn an_account_can_be_deactivated_and_activated(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account.put(target, "kept", note("kept")).await?;
    let did = [("did", &*account.did)];
    let status = async || {
        target
            .get("com.atproto.sync.getRepoStatus", &did)
            .await?
            .ok()
    };

    let token = Some(&*account.access);
    target
        .post(token, "com.atproto.server.deactivateAccount", &json!({}))
        .await?
        .ok()?;
    same!(
        status().await?,
        json!({ "did": account.did, "active": false, "status": "deactivated" }),
        "status while deactivated"
    );
    target
        .get("com.atproto.sync.getRepo", &did)
        .await?
        .refused(400, "RepoDeactivated")?;
    target
        .get("com.atproto.sync.getLatestCommit", &did)
        .await?
        .refused(400, "RepoDeactivated")?;
    account
        .get(target, "kept")
        .await?
        .refused(400, "InvalidRequest")?;
    let body = json!({ "rkey": "new", "record": note("new") });
    account
        .write(target, "putRecord", body)
        .await?
        .refused(401, "AccountDeactivated")?;
    let session = target
        .get_with(&account.access, "com.atproto.server.getSession")
        .await?
        .ok()?;
    same!(session["active"], false, "active");
    same!(session["status"], "deactivated", "status");

    target
        .post_empty(token, "com.atproto.server.activateAccount")
        .await?
        .ok()?;
    same!(status().await?["active"], true, "active again");
    same!(
        account.value(target, "kept").await?,
        note("kept"),
        "the record"
    );
    Ok(())
}

async fn requests_that_are_no_requests_are_400(target: &Target) -> Result<()> {
    target
        .get("com.atproto.server.nothing", &[])
        .await?
        .refused(400, "InvalidRequest")?;
    target
        .get("com.atproto.server.createSession", &[])
        .await?
        .refused(400, "InvalidRequest")?;
    let query = "com.atproto.server.describeServer";
    target
        .post(None, query, &json!({}))
        .await?
        .refused(400, "InvalidRequest")?;
    let account: Account = target.account().await?;
    let create = format!("{}/xrpc/com.atproto.repo.createRecord", target.pds);
    let send = |kind: &str, body: &str| {
        let request = target.http.post(&create).bearer_auth(&account.access);
        Answer::of(request.header("content-type", kind).body(body.to_owned()))
    };
    same!(
        send("application/json", "{").await?.status,
        400,
        "broken JSON"
    );
    send("text/plain", "{}")
        .await?
        .refused(400, "InvalidRequest")?;
    send("application/json", "{}")
        .await?
        .refused(400, "InvalidRequest")?;
    let no_repo = json!({ "collection": NOTE, "record": note("x") }).to_string();
    send("application/json", &no_repo)
        .await?
        .refused(400, "InvalidRequest")
}
