//! Statuses, error names and words, as measured on the reference PDS (version 0.5.35).

use serde_json::{Value, json};

use crate::common::{Client, NOTE, alice, answer};

type Query<'a> = Vec<(&'a str, &'a str)>;

const APPLY: &str = "com.atproto.repo.applyWrites#";

#[tokio::test]
async fn writes_that_the_reference_pds_refuses_are_refused_with_its_words() {
    let (_devnet, alice, client) = alice().await;
    let did = alice.did.as_str();
    let note = |more: Value| {
        let mut body = json!({ "repo": did, "collection": NOTE });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let one = client.put(&alice.did, "there", "one").await;
    let cid = one["cid"].as_str().unwrap();
    let head = one["commit"]["cid"].as_str().unwrap();
    let other = "bafyreihf5xtcwpbxkrdvbndxkpdafncnfffzz4g5bz4gwsgkdqqmoeedaa";
    let was = format!("Record was at {cid}");
    let commit_was = format!("Commit was at {head}");
    let writes = |writes: Value| json!({ "repo": did, "writes": writes });
    let create = format!("{APPLY}create");
    let many = vec![json!({ "$type": create, "collection": NOTE, "value": {} }); 201];
    let cases: Vec<(&str, Value, u16, &str, &str)> = vec![
        (
            "createRecord",
            note(json!({})),
            400,
            "InvalidRequest",
            "Missing required key \"record\" at $",
        ),
        (
            "createRecord",
            note(json!({ "record": 5 })),
            400,
            "InvalidRequest",
            "Expected object value type (got 5) at $.record",
        ),
        (
            "createRecord",
            note(json!({ "record": {}, "collection": "bad" })),
            400,
            "InvalidRequest",
            "Invalid NSID (got \"bad\") at $.collection",
        ),
        (
            "createRecord",
            note(json!({ "record": {}, "rkey": "bad key" })),
            400,
            "InvalidRequest",
            "Invalid record key (got \"bad key\") at $.rkey",
        ),
        (
            "createRecord",
            note(json!({ "record": { "a": 1.5 } })),
            400,
            "InvalidRequest",
            "Expected one of null, boolean, integer, string, cid, bytes, array or object value type (got 1.5) at $.record.a",
        ),
        (
            "createRecord",
            note(json!({ "record": { "a": 9_007_199_254_740_993_u64 } })),
            500,
            "InternalServerError",
            "Internal Server Error",
        ),
        (
            "createRecord",
            note(json!({ "record": { "$type": "com.example.other" } })),
            400,
            "InvalidRequest",
            "Invalid $type: expected com.example.note, got com.example.other",
        ),
        (
            "createRecord",
            note(json!({ "record": {}, "validate": true })),
            400,
            "InvalidRequest",
            "Unknown lexicon type: com.example.note",
        ),
        (
            "createRecord",
            note(json!({ "record": {}, "swapCommit": "foo" })),
            400,
            "InvalidRequest",
            "Invalid CID string (got \"foo\") at $.swapCommit",
        ),
        (
            "createRecord",
            note(json!({ "record": {}, "swapCommit": other })),
            400,
            "InvalidSwap",
            &commit_was,
        ),
        (
            "createRecord",
            note(json!({ "record": { "text": "one" }, "rkey": "there" })),
            500,
            "InternalServerError",
            "Internal Server Error",
        ),
        (
            "createRecord",
            json!({ "repo": "nobody.test", "collection": NOTE, "record": {} }),
            403,
            "AccountNotFound",
            "Account not found",
        ),
        (
            "putRecord",
            note(json!({ "record": {} })),
            400,
            "InvalidRequest",
            "Missing required key \"rkey\" at $",
        ),
        (
            "putRecord",
            note(json!({ "record": {}, "rkey": "there", "swapRecord": null })),
            400,
            "InvalidSwap",
            &was,
        ),
        (
            "putRecord",
            note(json!({ "record": {}, "rkey": "there", "swapRecord": other })),
            400,
            "InvalidSwap",
            &was,
        ),
        (
            "putRecord",
            note(json!({ "record": {}, "rkey": "absent", "swapRecord": cid })),
            400,
            "InvalidSwap",
            "Record was at null",
        ),
        (
            "putRecord",
            note(json!({ "record": {}, "rkey": "there", "swapCommit": other })),
            400,
            "InvalidSwap",
            &commit_was,
        ),
        (
            "deleteRecord",
            note(json!({ "rkey": "there", "swapRecord": other })),
            400,
            "InvalidSwap",
            &was,
        ),
        (
            "deleteRecord",
            note(json!({ "rkey": "there", "swapCommit": other })),
            400,
            "InvalidSwap",
            &commit_was,
        ),
        (
            "deleteRecord",
            note(json!({ "rkey": "there", "swapRecord": null })),
            400,
            "InvalidRequest",
            "Expected string value type (got null) at $.swapRecord",
        ),
        (
            "applyWrites",
            writes(json!(5)),
            400,
            "InvalidRequest",
            "Expected array value type (got 5) at $.writes",
        ),
        (
            "applyWrites",
            writes(json!(many)),
            400,
            "InvalidRequest",
            "Too many writes. Max: 200",
        ),
        (
            "applyWrites",
            writes(json!([{ "$type": create, "collection": NOTE }])),
            400,
            "InvalidRequest",
            "Missing required key \"value\" at $.writes[0]",
        ),
        (
            "applyWrites",
            writes(json!([{ "$type": create, "collection": NOTE, "rkey": "there", "value": {} }])),
            500,
            "InternalServerError",
            "Internal Server Error",
        ),
        (
            "applyWrites",
            writes(
                json!([{ "$type": format!("{APPLY}update"), "collection": NOTE, "rkey": "absent", "value": {} }]),
            ),
            500,
            "InternalServerError",
            "Internal Server Error",
        ),
        (
            "applyWrites",
            writes(
                json!([{ "$type": format!("{APPLY}delete"), "collection": NOTE, "rkey": "absent" }]),
            ),
            500,
            "InternalServerError",
            "Internal Server Error",
        ),
    ];
    for (method, body, status, error, message) in cases {
        let given = body.to_string().chars().take(200).collect::<String>();
        let answer = client.post(&format!("repo.{method}"), body).await;
        assert_eq!(
            answer.error(),
            (status, error),
            "{method} {given}: {}",
            answer.body
        );
        assert_eq!(answer.body["message"], message, "{method} {given}");
    }
    let latest = client
        .get("sync.getLatestCommit", &[("did", did)])
        .await
        .ok();
    assert_eq!(latest["cid"], head, "nothing was written by any of them");
}

#[tokio::test]
async fn a_batch_is_written_whole_or_not_at_all() {
    let (_devnet, alice, client) = alice().await;
    client.put(&alice.did, "there", "one").await;
    let create = |rkey: &str| json!({ "$type": format!("{APPLY}create"), "collection": NOTE, "rkey": rkey, "value": {} });
    let body = json!({ "repo": alice.did, "writes": [create("new"), create("there")] });
    assert_eq!(client.post("repo.applyWrites", body).await.status, 500);
    let query = [
        ("repo", "alice.test"),
        ("collection", NOTE),
        ("rkey", "new"),
    ];
    let answer = client.get("repo.getRecord", &query).await;
    assert_eq!(answer.error(), (400, "RecordNotFound"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_also_when_the_client_is_still_sending() {
    let (_devnet, alice, client) = alice().await;
    let record = json!({ "text": "x".repeat(1_000_000) });
    let body = json!({ "repo": alice.did, "collection": NOTE, "record": record });
    let answer = client.post("repo.createRecord", body).await;
    assert_eq!(answer.error(), (413, "PayloadTooLargeError"));
    let answer = client
        .upload("text/plain", vec![b'x'; 5 * 1024 * 1024 + 1])
        .await;
    assert_eq!(answer.error(), (413, "PayloadTooLarge"));
    client
        .upload("text/plain", vec![b'x'; 5 * 1024 * 1024])
        .await
        .ok();
}

#[tokio::test]
async fn reads_of_what_is_not_there_have_the_reference_pdss_names() {
    let (_devnet, alice, client) = alice().await;
    let did = alice.did.as_str();
    let nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    let cases: Vec<(&str, Query<'_>, &str, String)> = vec![
        ("repo.getRecord", vec![("repo", did), ("collection", NOTE), ("rkey", "none")], "RecordNotFound", format!("Could not locate record: at://{did}/{NOTE}/none")),
        ("repo.getRecord", vec![("repo", "nobody.test"), ("collection", NOTE), ("rkey", "none")], "InvalidRequest", "Could not locate record".into()),
        ("repo.getRecord", vec![("repo", did), ("collection", NOTE)], "InvalidRequest", "Invalid com.atproto.repo.getRecord params: Missing required key \"rkey\"".into()),
        ("repo.getRecord", vec![("repo", "x y"), ("collection", NOTE), ("rkey", "a")], "InvalidRequest", "Invalid com.atproto.repo.getRecord params: Invalid AT identifier (got \"x y\")".into()),
        ("repo.listRecords", vec![("repo", did), ("collection", NOTE), ("limit", "101")], "InvalidRequest", "Invalid com.atproto.repo.listRecords params: integer too big (maximum 100, got 101)".into()),
        ("repo.listRecords", vec![("repo", "nobody.test"), ("collection", NOTE)], "InvalidRequest", "Could not find repo: nobody.test".into()),
        ("repo.describeRepo", vec![("repo", "nobody.test")], "RepoNotFound", "Could not find repo for DID: nobody.test".into()),
        ("sync.getRepo", vec![("did", nobody)], "RepoNotFound", format!("Could not find repo for DID: {nobody}")),
        ("sync.getRepo", vec![("did", did), ("since", "foo")], "InvalidRequest", "Invalid com.atproto.sync.getRepo params: Invalid TID string (got \"foo\")".into()),
        ("sync.getRepoStatus", vec![("did", nobody)], "RepoNotFound", format!("Could not find repo for DID: {nobody}")),
        ("sync.listRepos", vec![("cursor", "foo")], "InvalidRequest", "Malformed cursor".into()),
        ("identity.resolveHandle", vec![("handle", "nobody.test")], "HandleNotFound", "Unable to resolve handle".into()),
        ("identity.resolveHandle", vec![("handle", "bad_handle")], "InvalidRequest", "Invalid com.atproto.identity.resolveHandle params: Invalid handle (got \"bad_handle\")".into()),
    ];
    for (method, query, error, message) in cases {
        let answer = client.get(method, &query).await;
        assert_eq!(
            answer.error(),
            (400, error),
            "{method} {query:?}: {}",
            answer.body
        );
        assert_eq!(answer.body["message"], *message, "{method} {query:?}");
    }
}

#[tokio::test]
async fn a_wrong_verb_an_unknown_method_and_a_wrong_encoding_are_400() {
    let (_devnet, _, client) = alice().await;
    let get = client.get("server.createSession", &[]).await;
    assert_eq!(
        get.body["message"],
        "Incorrect HTTP method (GET) expected POST"
    );
    let unknown = answer(
        client
            .http
            .get(format!("{}/xrpc/com.example.nope", client.url)),
    )
    .await;
    assert_eq!(unknown.error(), (400, "InvalidRequest"));
    assert_eq!(
        unknown.body["message"],
        "No service configured for com.example.nope"
    );
    let text = client.request(reqwest::Method::POST, "server.createSession");
    let text = answer(text.header("content-type", "text/plain").body("{}")).await;
    assert_eq!(
        text.body["message"],
        "Wrong request encoding (Content-Type): text/plain"
    );
    let bad = client.request(reqwest::Method::POST, "server.createSession");
    let bad = answer(bad.header("content-type", "application/json").body("{bad")).await;
    assert_eq!(bad.error(), (400, "SyntaxError"));
}

#[tokio::test]
async fn handles_have_the_reference_pdss_rules() {
    let (devnet, _, client) = alice().await;
    for (handle, error, message) in [
        ("a.test", "InvalidHandle", "Handle too short"),
        (
            "abcdefghijklmnopqrstu.test",
            "InvalidHandle",
            "Handle too long",
        ),
        ("x.y.test", "InvalidHandle", "Invalid characters in handle"),
        (
            "carol.com",
            "UnsupportedDomain",
            "Not a supported handle domain",
        ),
        (
            "al_ice.test",
            "InvalidRequest",
            "Invalid handle (got \"al_ice.test\") at $.handle",
        ),
        (
            "ALICE.test",
            "InvalidRequest",
            "Handle already taken: alice.test",
        ),
    ] {
        let body = json!({ "handle": handle, "email": "new@example.com", "password": "secret" });
        let answer = client.post("server.createAccount", body).await;
        assert_eq!(answer.error(), (400, error), "{handle}");
        assert_eq!(answer.body["message"], message, "{handle}");
    }
    let bob = devnet.create_account("bob").await.unwrap();
    let bob = Client::log_in(&bob).await;
    let taken = bob
        .post("identity.updateHandle", json!({ "handle": "alice.test" }))
        .await;
    assert_eq!(taken.error(), (400, "HandleNotAvailable"));
    let elsewhere = bob
        .post("identity.updateHandle", json!({ "handle": "bob.com" }))
        .await;
    assert_eq!(
        elsewhere.body["message"],
        "External handle did not resolve to DID"
    );
}

#[tokio::test]
async fn hostile_input_is_answered_and_the_server_goes_on() {
    let (_devnet, alice, client) = alice().await;
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let with_record = |record: String| {
        format!(
            r#"{{"repo":"{}","collection":"{NOTE}","record":{record}}}"#,
            alice.did
        )
    };
    let bodies = [
        nested(100_000),
        with_record(format!(r#"{{"a":{}}}"#, nested(100))),
        with_record(format!(r#"{{"a":[{}]}}"#, vec!["0"; 400_000].join(","))),
        with_record(r#"{"a":1e999}"#.to_owned()),
        with_record(r#"{"a":"\ud800"}"#.to_owned()),
        with_record(r#"{"$type":["x"]}"#.to_owned()),
        "\u{0}".to_owned(),
        String::new(),
    ];
    for body in bodies {
        let given: String = body.chars().take(80).collect();
        let request = client.request(reqwest::Method::POST, "repo.createRecord");
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let answer = answer(request).await;
        assert_eq!(answer.status, 400, "{given}: {}", answer.body);
    }
    let anonymous = Client {
        token: None,
        ..client.clone()
    };
    let request = anonymous.request(reqwest::Method::GET, "server.getSession");
    let request = request.header("authorization", b"Bearer \xff\xfe".as_slice());
    assert_eq!(answer(request).await.error(), (400, "InvalidToken"));
    client.put(&alice.did, "still", "there").await;
}
