//! From an account to a verified commit, with nothing but HTTP, a WebSocket and the PLC document.

use crate::common::{Client, Firehose, NOTE, Verifier, alice, kinds, now_micros};
use atcomms_devnet::Devnet;
use atcomms_lexicon::{Nsid, RecordKey};
use atcomms_repo::frame::Action;
use atcomms_repo::proof::verify_record_proof;
use atcomms_repo::snapshot::Snapshot;
use atcomms_repo::verify::Limits;
use serde_json::json;

#[tokio::test]
async fn an_account_created_over_http_writes_and_its_commits_are_verified_from_the_stream() {
    let devnet = Devnet::start().await.unwrap();
    let pds = &devnet.pds()[0];
    let mut stream = Firehose::open(pds.ws_url(), None).await;
    let anonymous = Client::new(pds.url());

    let account = anonymous
        .post(
            "server.createAccount",
            json!({ "handle": "Carol.test", "email": "carol@example.com", "password": "secret" }),
        )
        .await
        .ok();
    assert_eq!(
        account["handle"], "carol.test",
        "handles are kept in lower case"
    );
    let did = account["did"].as_str().unwrap();
    assert_eq!(account["didDoc"]["alsoKnownAs"][0], "at://carol.test");
    assert_eq!(
        account["didDoc"]["service"][0]["serviceEndpoint"],
        pds.url()
    );
    let frames = stream.take(4).await;
    assert_eq!(kinds(&frames), ["Identity", "Account", "Commit", "Sync"]);

    let mut verifier = Verifier::new(devnet.plc_url());
    let first = verifier.verify(&frames[2]).await;
    assert!(first.ops().is_empty() && first.since().is_none() && first.prev_data().is_none());

    let carol = anonymous.with_token(&account["accessJwt"]);
    let written = carol
        .post(
            "repo.createRecord",
            json!({ "repo": did, "collection": NOTE, "record": { "text": "hello" } }),
        )
        .await
        .ok();
    let commit = verifier.verify(&stream.next().await).await;
    assert_eq!(commit.did().as_str(), did);
    assert_eq!(commit.since(), Some(first.rev()));
    assert_eq!(commit.prev_data(), Some(first.data()));
    assert_eq!(written["commit"]["cid"], commit.commit().to_string());
    assert_eq!(written["commit"]["rev"], commit.rev().to_string());
    let [op] = commit.ops() else {
        panic!("not one op")
    };
    assert_eq!(op.action(), Action::Create);
    assert_eq!(written["cid"], op.cid().unwrap().to_string());
    assert_eq!(
        written["uri"],
        format!("at://{did}/{}/{}", op.collection(), op.rkey())
    );
    assert_eq!(written["validationStatus"], "unknown");
}

#[tokio::test]
async fn every_kind_of_write_makes_one_commit_that_chains() {
    let (devnet, alice, client) = alice().await;
    let pds = &devnet.pds()[0];
    let mut verifier = Verifier::new(devnet.plc_url());
    let mut stream = Firehose::open(pds.ws_url(), None).await;
    client.put(&alice.did, "a", "one").await;
    client.put(&alice.did, "a", "two").await;
    let again = client.put(&alice.did, "a", "two").await;
    assert!(
        again["commit"].is_null(),
        "an identical put makes no commit: {again}"
    );
    let kind = |name: &str| format!("com.atproto.repo.applyWrites#{name}");
    let writes = json!([
        { "$type": kind("create"), "collection": NOTE, "rkey": "b", "value": { "text": "b" } },
        { "$type": kind("create"), "collection": NOTE, "value": { "text": "c" } },
        { "$type": kind("update"), "collection": NOTE, "rkey": "a", "value": { "text": "three" } },
    ]);
    let applied = client
        .post(
            "repo.applyWrites",
            json!({ "repo": alice.did, "writes": writes }),
        )
        .await
        .ok();
    assert_eq!(applied["results"][0]["$type"], kind("createResult"));
    assert_eq!(applied["results"][2]["$type"], kind("updateResult"));
    client
        .post(
            "repo.deleteRecord",
            json!({ "repo": alice.did, "collection": NOTE, "rkey": "a" }),
        )
        .await
        .ok();
    let absent = client
        .post(
            "repo.deleteRecord",
            json!({ "repo": alice.did, "collection": NOTE, "rkey": "a" }),
        )
        .await
        .ok();
    assert_eq!(absent, json!({}), "deleting what is absent is no commit");

    let mut last = None;
    let mut actions = Vec::new();
    for frame in stream.take(4).await {
        let commit = verifier.verify(&frame).await;
        if let Some((rev, data)) = last {
            assert_eq!(
                (commit.since(), commit.prev_data()),
                (Some(rev), Some(data))
            );
        }
        last = Some((commit.rev(), commit.data()));
        let names = commit.ops().iter().map(|op| op.action().as_str());
        actions.push(names.collect::<Vec<_>>().join(" "));
    }
    assert_eq!(
        actions,
        ["create", "update", "create create update", "delete"]
    );
    let latest = client
        .get("sync.getLatestCommit", &[("did", alice.did.as_str())])
        .await
        .ok();
    assert_eq!(latest["rev"], last.unwrap().0.to_string());
}

#[tokio::test]
async fn exports_and_proofs_verify_with_the_documents_key() {
    let (devnet, alice, client) = alice().await;
    let did = alice.did.as_str();
    for number in 0..40 {
        client
            .put(&alice.did, &format!("key{number:03}"), "text")
            .await;
    }
    let key = Verifier::new(devnet.plc_url()).key(did).await;
    let limits = Limits::default();

    let car = client.get_bytes("sync.getRepo", &[("did", did)]).await;
    let whole = Snapshot::verify(&car, &alice.did, &key, now_micros(), &limits).unwrap();
    assert_eq!(whole.records(NOTE).count(), 40);
    let rev = whole.head().rev().to_string();
    let since = client.put(&alice.did, "key040", "text").await;
    let newer = client
        .get_bytes("sync.getRepo", &[("did", did), ("since", &rev)])
        .await;
    assert!(
        newer.len() < car.len() / 2,
        "{} of {}",
        newer.len(),
        car.len()
    );
    let latest = since["commit"]["rev"].as_str().unwrap();
    let nothing = client
        .get_bytes("sync.getRepo", &[("did", did), ("since", latest)])
        .await;
    assert_eq!(nothing.len(), 59, "a root, and no blocks");

    let collection: Nsid = NOTE.parse().unwrap();
    for (rkey, there) in [("key007", true), ("absent", false)] {
        let query = [("did", did), ("collection", NOTE), ("rkey", rkey)];
        let proof = client.get_bytes("sync.getRecord", &query).await;
        let rkey: RecordKey = rkey.parse().unwrap();
        let now = now_micros();
        let proven =
            verify_record_proof(&proof, &alice.did, &collection, &rkey, &key, now, &limits)
                .unwrap();
        assert_eq!(proven.record().is_some(), there, "{rkey}");
    }
}
