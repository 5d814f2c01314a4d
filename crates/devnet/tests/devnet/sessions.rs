//! Sessions and tokens.

use atcomms_devnet::{Account, Devnet};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::common::{Client, NOTE, alice};

fn claims(token: &Value) -> (Value, Value) {
    let parts: Vec<&str> = token.as_str().unwrap().split('.').collect();
    let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (read(parts[0]), read(parts[1]))
}

#[tokio::test]
async fn a_session_says_what_the_reference_pds_says_and_its_tokens_have_the_same_claims() {
    let (devnet, alice, client) = alice().await;
    let own = client.get("server.getSession", &[]).await.ok();
    assert!(own["accessJwt"].is_null());
    let email = own["email"].as_str().unwrap();
    let client = Client {
        token: None,
        ..client
    };
    for identifier in ["alice.test", "Alice.TEST", email, alice.did.as_str()] {
        let body = json!({ "identifier": identifier, "password": alice.password });
        let session = client.post("server.createSession", body).await.ok();
        assert_eq!(session["did"], alice.did.as_str());
        assert_eq!(session["handle"], "alice.test");
        assert_eq!(session["active"], true);
    }
    let body = json!({ "identifier": "alice.test", "password": alice.password });
    let session = client.post("server.createSession", body).await.ok();
    let (header, access) = claims(&session["accessJwt"]);
    assert_eq!(header, json!({ "typ": "at+jwt", "alg": "HS256" }));
    assert_eq!(access["scope"], "com.atproto.access");
    assert_eq!(access["aud"], "did:web:localhost");
    assert_eq!(access["sub"], alice.did.as_str());
    let life = |claims: &Value| claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(life(&access), 2 * 3600);
    let (header, refresh) = claims(&session["refreshJwt"]);
    assert_eq!(header["typ"], "refresh+jwt");
    assert_eq!(refresh["scope"], "com.atproto.refresh");
    assert_eq!(life(&refresh), 90 * 86_400);
    assert!(refresh["jti"].is_string());

    drop(devnet);
}

#[tokio::test]
async fn wrong_passwords_and_wrong_tokens_have_the_reference_pdss_statuses() {
    let (_devnet, alice, client) = alice().await;
    for identifier in ["alice.test", "nobody.test", "???"] {
        let body = json!({ "identifier": identifier, "password": "wrong" });
        let answer = client.post("server.createSession", body).await;
        assert_eq!(
            answer.error(),
            (401, "AuthenticationRequired"),
            "{identifier}"
        );
        assert_eq!(answer.body["message"], "Invalid identifier or password");
    }
    let body = json!({ "identifier": "alice.test", "password": alice.password });
    let session = client.post("server.createSession", body).await.ok();
    let anonymous = Client {
        token: None,
        ..client.clone()
    };
    assert_eq!(
        anonymous.get("server.getSession", &[]).await.error(),
        (401, "AuthMissing")
    );
    let refresh = client.with_token(&session["refreshJwt"]);
    assert_eq!(
        refresh.get("server.getSession", &[]).await.error(),
        (400, "InvalidToken")
    );
    let access = client.with_token(&session["accessJwt"]);
    assert_eq!(
        access.post_nothing("server.refreshSession").await.error(),
        (400, "InvalidToken")
    );
    let mut forged = session["accessJwt"].as_str().unwrap().to_owned();
    forged.replace_range(forged.len() - 4.., "AAAA");
    let forged = client.with_token(&forged.into());
    let body = json!({ "repo": alice.did, "collection": NOTE, "record": {} });
    assert_eq!(
        forged.post("repo.createRecord", body.clone()).await.error(),
        (400, "InvalidToken")
    );
    assert_eq!(
        anonymous.post("repo.createRecord", body).await.error(),
        (401, "AuthMissing")
    );
}

#[tokio::test]
async fn a_refresh_that_is_repeated_gives_the_same_session_and_a_deleted_one_none() {
    let (_devnet, alice, client) = alice().await;
    let body = json!({ "identifier": "alice.test", "password": alice.password });
    let session = client.post("server.createSession", body).await.ok();
    let refresh = client.with_token(&session["refreshJwt"]);
    let one = refresh.post_nothing("server.refreshSession").await.ok();
    let two = refresh.post_nothing("server.refreshSession").await.ok();
    assert_eq!(
        claims(&one["refreshJwt"]).1["jti"],
        claims(&two["refreshJwt"]).1["jti"]
    );
    assert_ne!(
        claims(&one["refreshJwt"]).1["jti"],
        claims(&session["refreshJwt"]).1["jti"]
    );
    client
        .with_token(&one["accessJwt"])
        .get("server.getSession", &[])
        .await
        .ok();
    let last = client.with_token(&one["refreshJwt"]);
    assert_eq!(last.post_nothing("server.deleteSession").await.status, 200);
    let answer = last.post_nothing("server.refreshSession").await;
    assert_eq!(answer.error(), (400, "ExpiredToken"));
}

#[tokio::test]
async fn nobody_writes_into_anothers_repository() {
    let (devnet, alice, _) = alice().await;
    let bob = devnet.create_account("bob").await.unwrap();
    let bob = Client::log_in(&bob).await;
    let body = json!({ "repo": alice.did, "collection": NOTE, "record": {} });
    let answer = bob.post("repo.createRecord", body).await;
    assert_eq!(answer.error(), (401, "AuthenticationRequired"));
}

#[tokio::test]
async fn a_deactivated_account_logs_in_but_neither_writes_nor_is_read() {
    let (_devnet, alice, client) = alice().await;
    let did = alice.did.as_str();
    client.put(&alice.did, "key", "text").await;
    client
        .post("server.deactivateAccount", json!({}))
        .await
        .ok();
    let body = json!({ "identifier": did, "password": alice.password });
    let session = client.post("server.createSession", body).await.ok();
    assert_eq!(
        (&session["active"], &session["status"]),
        (&json!(false), &json!("deactivated"))
    );
    let body = json!({ "repo": did, "collection": NOTE, "record": {} });
    assert_eq!(
        client.post("repo.createRecord", body).await.error(),
        (401, "AccountDeactivated")
    );
    let stranger = Client {
        token: None,
        ..client.clone()
    };
    for method in ["sync.getRepo", "sync.getLatestCommit"] {
        let answer = stranger.get(method, &[("did", did)]).await;
        assert_eq!(answer.error(), (400, "RepoDeactivated"), "{method}");
    }
    let status = stranger
        .get("sync.getRepoStatus", &[("did", did)])
        .await
        .ok();
    assert_eq!(
        status,
        json!({ "did": did, "active": false, "status": "deactivated" })
    );
    let resolved = stranger
        .get("identity.resolveHandle", &[("handle", "alice.test")])
        .await;
    assert_eq!(resolved.error(), (400, "HandleNotFound"));
    assert!(
        !client
            .get_bytes("sync.getRepo", &[("did", did)])
            .await
            .is_empty(),
        "its owner may"
    );
    assert_eq!(
        client.post_nothing("server.activateAccount").await.status,
        200
    );
    stranger
        .get("sync.getLatestCommit", &[("did", did)])
        .await
        .ok();
}

#[tokio::test]
async fn an_app_password_writes_but_does_not_manage_the_account() {
    let (_devnet, alice, client) = alice().await;
    let app = client
        .post("server.createAppPassword", json!({ "name": "agent" }))
        .await
        .ok();
    let body = json!({ "identifier": "alice.test", "password": app["password"] });
    let session = client.post("server.createSession", body).await.ok();
    assert_eq!(
        claims(&session["accessJwt"]).1["scope"],
        "com.atproto.appPass"
    );
    let agent = client.with_token(&session["accessJwt"]);
    agent.put(&alice.did, "key", "text").await;
    let refused = agent
        .post("server.createAppPassword", json!({ "name": "another" }))
        .await;
    assert_eq!(refused.error(), (400, "InvalidToken"));
    assert_eq!(refused.body["message"], "Bad token scope");
}

#[tokio::test]
async fn expired_tokens_are_a_fault_that_is_counted() {
    let (devnet, alice, client) = alice().await;
    let faults = devnet.pds()[0].faults();
    faults.expire_tokens(2);
    let body = json!({ "repo": alice.did, "collection": NOTE, "record": {} });
    for _ in 0..2 {
        let answer = client.post("repo.createRecord", body.clone()).await;
        assert_eq!(answer.error(), (400, "ExpiredToken"));
    }
    client.post("repo.createRecord", body).await.ok();
    assert_eq!(faults.counts().tokens_refused, 2);
}

#[tokio::test]
async fn revoked_sessions_are_over_for_good_and_a_new_login_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Devnet::builder()
            .data(folder.path())
            .account("alice")
            .account("bob")
    };
    let devnet = builder().start().await.unwrap();
    let [alice, bob] = <[Account; 2]>::try_from(devnet.accounts()).unwrap();
    let (client, others) = (Client::log_in(&alice).await, Client::log_in(&bob).await);
    let body = json!({ "identifier": alice.did, "password": alice.password });
    let session = client.post("server.createSession", body.clone()).await.ok();
    let refresh = client.with_token(&session["refreshJwt"]);

    assert_eq!(devnet.pds()[0].revoke_sessions(&alice.did), 2, "two logins");
    assert_eq!(devnet.pds()[0].revoke_sessions(&alice.did), 0);
    // Within the second of the revocation, after it.
    let again = client.post("server.createSession", body.clone()).await.ok();
    let again = (
        client.with_token(&again["accessJwt"]),
        client.with_token(&again["refreshJwt"]),
    );
    let check = async || {
        let refused = refresh.post_nothing("server.refreshSession").await;
        assert_eq!(refused.error(), (400, "ExpiredToken"));
        assert_eq!(refused.body["message"], "Token has been revoked");
        let refused = client.get("server.getSession", &[]).await;
        assert_eq!(refused.error(), (400, "InvalidToken"));
        again.0.put(&alice.did, "key", "text").await;
        again.1.post_nothing("server.refreshSession").await.ok();
        others.get("server.getSession", &[]).await.ok();
    };
    check().await;
    drop(devnet);
    let _devnet = builder().start().await.unwrap();
    check().await;
}
