//! What befalls an account: a new key, a new handle, a takedown, a deletion, another history, another PDS.

use std::path::Path;

use atcomms_devnet::{Account, ChangeError, Devnet, DevnetBuilder};
use atcomms_lexicon::Did;
use atcomms_repo::car::Car;
use atcomms_repo::frame::{Frame, decode};
use atcomms_repo::snapshot::Snapshot;
use atcomms_repo::verify::{Limits, VerifiedHead, VerifyError, verify_commit, verify_sync};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::common::{Client, Firehose, NOTE, Verifier, alice, document, kinds, now_micros};

/// Two PDSs, in a folder.
fn in_folder(folder: &Path) -> DevnetBuilder {
    Devnet::builder()
        .pds(2)
        .data(folder)
        .account("alice")
        .account("bob")
}

fn did(account: &Account) -> [(&'static str, String); 1] {
    [("did", account.did.to_string())]
}

/// A query about an account's repository.
async fn ask(client: &Client, method: &str, account: &Account) -> crate::common::Answer {
    let [(name, value)] = did(account);
    client.get(method, &[(name, value.as_str())]).await
}

fn status(frame: &[u8]) -> Option<String> {
    match decode(frame).unwrap() {
        Frame::Account(account) => {
            assert_eq!(account.active, account.status.is_none());
            account.status.map(str::to_owned)
        }
        other => panic!("not an account: {other:?}"),
    }
}

/// Whether a commit verifies with the key that the directory gives now.
async fn verify_now(plc: &str, frame: &[u8]) -> Result<(), VerifyError> {
    let Frame::Commit(commit) = decode(frame).unwrap() else {
        panic!("not a commit");
    };
    let key = Verifier::new(plc).key(commit.repo).await;
    verify_commit(&commit, &key, now_micros(), &Limits::default()).map(|_| ())
}

/// The head and the paths of a whole repository, checked with the key that the directory gives now.
async fn export(client: &Client, plc: &str, of: &Did) -> (VerifiedHead, Vec<String>) {
    let query = [("did", of.as_str())];
    let car = client.get_bytes("sync.getRepo", &query).await;
    let key = Verifier::new(plc).key(of.as_str()).await;
    let whole = Snapshot::verify(&car, of, &key, now_micros(), &Limits::default()).unwrap();
    let paths = whole.records("").map(|record| record.path.to_owned());
    (whole.head().clone(), paths.collect())
}

#[tokio::test]
async fn after_a_rotation_the_document_has_the_new_key_and_the_next_commit_is_signed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = in_folder(folder.path()).start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    let mut stream = Firehose::open(devnet.relay().ws_url(), None).await;
    client.put(&alice.did, "before", "text").await;
    let before = stream.next().await;
    let plc = devnet.plc_url().to_owned();
    assert!(verify_now(&plc, &before).await.is_ok());
    devnet.pds()[0].rotate_key(&alice.did).unwrap();
    assert_eq!(kinds(&[stream.next().await]), ["Identity"]);
    let error = verify_now(&plc, &before).await.unwrap_err();
    assert_eq!(error.reason(), "signature", "the old key is gone");
    drop(devnet);

    // No commit since the rotation: the repository that is loaded has the old signature.
    let devnet = in_folder(folder.path()).start().await.unwrap();
    let mut stream = Firehose::open(devnet.relay().ws_url(), None).await;
    client.put(&alice.did, "after", "text").await;
    let after = stream.next().await;
    assert!(verify_now(&plc, &after).await.is_ok());
    let (Frame::Commit(before), Frame::Commit(after)) =
        (decode(&before).unwrap(), decode(&after).unwrap())
    else {
        panic!("not commits");
    };
    assert_eq!(after.since, Some(before.rev), "the chain goes on");
}

#[tokio::test]
async fn a_new_handle_is_in_the_document_and_told() {
    let (devnet, alice, client) = alice().await;
    let mut stream = Firehose::open(devnet.pds()[0].ws_url(), None).await;
    let pds = &devnet.pds()[0];
    pds.change_handle(&alice.did, "alicia").unwrap();
    let frame = stream.next().await;
    assert!(matches!(decode(&frame), Ok(Frame::Identity(of)) if of.handle == Some("alicia.test")));
    let plc = Client::new(devnet.plc_url());
    let document = document(&plc, alice.did.as_str()).await;
    assert_eq!(document["alsoKnownAs"], json!(["at://alicia.test"]));
    let query = [("handle", "alicia.test")];
    let resolved = client.get("identity.resolveHandle", &query).await.ok();
    assert_eq!(resolved["did"], alice.did.as_str());
    devnet.create_account("alice").await.expect("it is free");
    let taken = pds.change_handle(&alice.did, "alice").unwrap_err();
    assert!(matches!(taken, ChangeError::Refused { .. }), "{taken}");
}

#[tokio::test]
async fn an_account_that_is_taken_down_is_not_served_and_does_nothing_until_it_is_restored() {
    let (devnet, alice, client) = alice().await;
    let pds = &devnet.pds()[0];
    client.put(&alice.did, "key", "text").await;
    let head = ask(&client, "sync.getLatestCommit", &alice).await.ok();
    let login = json!({ "identifier": alice.did, "password": alice.password });
    let session = client.post("server.createSession", login).await.ok();
    let refresh = client.with_token(&session["refreshJwt"]);
    let mut stream = Firehose::open(pds.ws_url(), None).await;
    pds.take_down(&alice.did).unwrap();
    assert_eq!(status(&stream.next().await).as_deref(), Some("takendown"));
    let anybody = Client::new(pds.url());
    for method in ["sync.getRepo", "sync.getLatestCommit"] {
        let answer = ask(&anybody, method, &alice).await;
        assert_eq!(answer.error(), (400, "RepoTakendown"), "{method}");
    }
    let told = ask(&anybody, "sync.getRepoStatus", &alice).await.ok();
    assert_eq!(
        (&told["active"], &told["status"]),
        (&json!(false), &json!("takendown"))
    );
    let relay = Client::new(devnet.relay().url());
    let relayed = ask(&relay, "sync.getLatestCommit", &alice).await;
    assert_eq!(relayed.error(), (403, "RepoTakendown"));
    let login = json!({ "identifier": alice.did, "password": alice.password });
    let note = json!({ "repo": alice.did, "collection": NOTE, "rkey": "no", "record": {} });
    let refused = [
        client.post("server.createSession", login).await,
        client.post("repo.putRecord", note).await,
        client.upload("text/plain", "an attachment").await,
        refresh.post_nothing("server.refreshSession").await,
    ];
    for answer in refused {
        assert_eq!(answer.error(), (401, "AccountTakedown"));
    }

    pds.restore(&alice.did).unwrap();
    assert_eq!(status(&stream.next().await), None);
    let again = ask(&anybody, "sync.getLatestCommit", &alice).await.ok();
    assert_eq!(again, head);
    let void = refresh.post_nothing("server.refreshSession").await;
    assert_eq!(void.error(), (400, "ExpiredToken"));
    Client::log_in(&alice)
        .await
        .put(&alice.did, "yes", "text")
        .await;
}

#[tokio::test]
async fn an_account_is_switched_off_and_on_without_its_owner() {
    let (devnet, alice, client) = alice().await;
    let pds = &devnet.pds()[0];
    let mut stream = Firehose::open(pds.ws_url(), None).await;
    pds.deactivate(&alice.did).unwrap();
    assert_eq!(status(&stream.next().await).as_deref(), Some("deactivated"));
    let anybody = Client::new(pds.url());
    let answer = ask(&anybody, "sync.getRepo", &alice).await;
    assert_eq!(answer.error(), (400, "RepoDeactivated"));
    pds.activate(&alice.did).unwrap();
    let frames = stream.take(3).await;
    assert_eq!(kinds(&frames), ["Account", "Identity", "Sync"]);
    client.put(&alice.did, "key", "text").await;
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_its_events_and_only_its_deletion_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Devnet::builder().data(folder.path()).account("bob");
    let devnet = builder().account("alice").start().await.unwrap();
    let [bob, alice] = <[Account; 2]>::try_from(devnet.accounts()).unwrap();
    let client = Client::log_in(&alice).await;
    client.put(&alice.did, "key", "text").await;
    let pds = &devnet.pds()[0];
    pds.delete_account(&alice.did).unwrap();
    let answer = ask(
        &client.with_token(&Value::Null),
        "sync.getRepoStatus",
        &alice,
    )
    .await;
    assert_eq!(answer.error(), (400, "RepoNotFound"));
    let note = json!({ "repo": alice.did, "collection": NOTE, "rkey": "no", "record": {} });
    let refused = client.post("repo.putRecord", note).await;
    assert_eq!(refused.error(), (403, "AccountNotFound"));
    let gone = pds.delete_account(&alice.did).unwrap_err();
    assert!(matches!(gone, ChangeError::NotFound { .. }), "{gone}");
    Client::log_in(&bob)
        .await
        .put(&bob.did, "key", "text")
        .await;
    let check = |frames: Vec<Bytes>| {
        let kinds = kinds(&frames);
        let of_bob = ["Identity", "Account", "Commit", "Sync"];
        assert_eq!(kinds[..4], of_bob);
        assert_eq!(kinds[4..], ["Account", "Commit"], "her last one, and bob's");
        assert_eq!(status(&frames[4]).as_deref(), Some("deleted"));
    };
    check(Firehose::open(pds.ws_url(), Some(0)).await.take(6).await);
    let relay = Client::new(devnet.relay().url());
    let relayed = ask(&relay, "sync.getRepoStatus", &alice).await.ok();
    assert_eq!(relayed["status"], "deleted");
    drop(devnet);

    let devnet = builder().start().await.unwrap();
    assert_eq!(devnet.accounts(), [bob]);
    let ws_url = devnet.pds()[0].ws_url();
    check(Firehose::open(ws_url, Some(0)).await.take(6).await);
    let again = devnet.create_account("alice").await;
    assert_ne!(again.expect("the handle is free").did, alice.did);
}

#[tokio::test]
async fn a_reset_repository_is_told_by_a_sync_to_which_no_commit_leads() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = in_folder(folder.path()).start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let plc = devnet.plc_url().to_owned();
    let client = Client::log_in(&alice).await;
    for rkey in ["kept", "dropped"] {
        client.put(&alice.did, rkey, "text").await;
    }
    let (before, _) = export(&client, &plc, &alice.did).await;
    let mut stream = Firehose::open(devnet.relay().ws_url(), None).await;
    devnet.pds()[0]
        .reset_repository(&alice.did, |_, rkey| rkey.as_str() == "kept")
        .unwrap();
    let frame = stream.next().await;
    let Frame::Sync(sync) = decode(&frame).unwrap() else {
        panic!("not a sync: {frame:?}");
    };
    let key = Verifier::new(&plc).key(alice.did.as_str()).await;
    let head = verify_sync(&sync, &key, now_micros(), &Limits::default()).unwrap();
    assert_ne!(head.data(), before.data(), "another root");
    assert!(head.rev() > before.rev());
    let latest = ask(&client, "sync.getLatestCommit", &alice).await.ok();
    assert_eq!(
        latest["cid"],
        Car::read(sync.blocks).unwrap().root().to_string()
    );
    drop(devnet);

    let devnet = in_folder(folder.path()).start().await.unwrap();
    let (_, paths) = export(&client, &plc, &alice.did).await;
    assert_eq!(paths, [format!("{NOTE}/kept")]);
    let mut stream = Firehose::open(devnet.relay().ws_url(), None).await;
    client.put(&alice.did, "next", "text").await;
    let commit = Verifier::new(&plc).verify(&stream.next().await).await;
    assert_eq!(
        commit.prev_data(),
        Some(head.data()),
        "and the chain goes on from it"
    );
}

#[tokio::test]
async fn a_migrated_account_is_on_the_other_pds_with_all_that_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = in_folder(folder.path()).start().await.unwrap();
    let [alice, bob] = <[Account; 2]>::try_from(devnet.accounts()).unwrap();
    let plc = devnet.plc_url().to_owned();
    let client = Client::log_in(&alice).await;
    client.put(&alice.did, "key", "text").await;
    let blob = client.upload("text/plain", "an attachment").await.ok()["blob"].clone();
    let file = json!({ "repo": alice.did, "collection": NOTE, "rkey": "file", "record": { "file": blob } });
    client.post("repo.createRecord", file).await.ok();
    let (before, _) = export(&client, &plc, &alice.did).await;
    let [from, to] = devnet.pds() else {
        panic!("two PDSs")
    };
    let mut stream = Firehose::open(devnet.relay().ws_url(), None).await;
    let mut left = Firehose::open(from.ws_url(), None).await;
    let moved = from.migrate(&alice.did, to).unwrap();
    assert_eq!((moved.pds.as_str(), &moved.did), (to.url(), &alice.did));
    assert_eq!(status(&left.next().await).as_deref(), Some("deactivated"));
    let frames = stream.take(3).await;
    assert_eq!(kinds(&frames), ["Account", "Identity", "Sync"]);
    let note = json!({ "repo": alice.did, "collection": NOTE, "rkey": "no", "record": {} });
    let refused = client.post("repo.putRecord", note).await;
    assert_eq!(refused.error(), (401, "AccountDeactivated"));
    let again = from.migrate(&alice.did, to).unwrap_err();
    assert!(matches!(again, ChangeError::NotFound { .. }), "{again}");
    drop(devnet);

    let devnet = in_folder(folder.path()).start().await.unwrap();
    let accounts = devnet.accounts();
    assert_eq!(accounts.len(), 2, "{accounts:?}");
    assert!(accounts.contains(&moved) && accounts.contains(&bob));
    let document = document(&Client::new(&plc), alice.did.as_str()).await;
    assert_eq!(document["service"][0]["serviceEndpoint"], moved.pds);
    let client = Client::log_in(&moved).await;
    let (after, _) = export(&client, &plc, &alice.did).await;
    assert_eq!(after.data(), before.data(), "the same records");
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let query = [("did", alice.did.as_str()), ("cid", cid)];
    assert_eq!(
        client.get_bytes("sync.getBlob", &query).await,
        b"an attachment"
    );
    let mut stream = Firehose::open(devnet.relay().ws_url(), None).await;
    client.put(&alice.did, "there", "text").await;
    let commit = Verifier::new(&plc).verify(&stream.next().await).await;
    assert_eq!(commit.prev_data(), Some(after.data()));
    let old = ask(&Client::new(&alice.pds), "sync.getRepo", &alice).await;
    assert_eq!(old.error(), (400, "RepoDeactivated"));
    let relay = Client::new(devnet.relay().url());
    let relayed = ask(&relay, "sync.getRepoStatus", &alice).await.ok();
    assert_eq!(
        relayed["active"], true,
        "what the old PDS says does not count"
    );
    let hosts = relay.get("sync.listHosts", &[]).await.ok();
    let counts: Vec<&Value> = (0..2)
        .map(|at| &hosts["hosts"][at]["accountCount"])
        .collect();
    assert_eq!(counts, [&json!(0), &json!(2)]);

    // And back again, to where the old one still lies.
    let [home, away] = devnet.pds() else {
        panic!("two PDSs")
    };
    away.migrate(&alice.did, home).unwrap();
    drop(devnet);
    let devnet = in_folder(folder.path()).start().await.unwrap();
    let back = Client::log_in(&alice).await;
    let there = [
        ("repo", alice.did.as_str()),
        ("collection", NOTE),
        ("rkey", "there"),
    ];
    back.get("repo.getRecord", &there).await.ok();
    assert_eq!(devnet.accounts().len(), 2);
}
