//! Reading records, and lists page by page.

use atcomms_devnet::Devnet;
use serde_json::{Value, json};

use crate::common::{Client, NOTE, alice};

#[tokio::test]
async fn records_are_listed_newest_key_first_page_by_page_and_the_other_way() {
    let (_devnet, alice, client) = alice().await;
    let keys: Vec<String> = (0..7).map(|number| format!("key{number}")).collect();
    for key in &keys {
        client.put(&alice.did, key, key).await;
    }
    let mut reversed = keys.clone();
    reversed.reverse();
    for (reverse, expected) in [("false", reversed), ("true", keys)] {
        let mut listed = Vec::new();
        let mut cursor = String::new();
        for _ in 0..4 {
            let mut query = vec![
                ("repo", "alice.test"),
                ("collection", NOTE),
                ("limit", "3"),
                ("reverse", reverse),
            ];
            if !cursor.is_empty() {
                query.push(("cursor", &cursor));
            }
            let page = client.get("repo.listRecords", &query).await.ok();
            let texts = page["records"].as_array().unwrap().iter();
            listed.extend(texts.map(|record| record["value"]["text"].as_str().unwrap().to_owned()));
            match page["cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(listed, expected, "reverse {reverse}");
    }
}

#[tokio::test]
async fn a_record_is_read_by_did_and_by_handle_and_by_a_cid_only_if_it_is_that_one() {
    let (_devnet, alice, client) = alice().await;
    let old = client.put(&alice.did, "key", "old").await;
    let new = client.put(&alice.did, "key", "new").await;
    for repo in [alice.did.as_str(), "alice.test"] {
        let query = [("repo", repo), ("collection", NOTE), ("rkey", "key")];
        let record = client.get("repo.getRecord", &query).await.ok();
        assert_eq!(record["value"], json!({ "$type": NOTE, "text": "new" }));
        assert_eq!((&record["uri"], &record["cid"]), (&new["uri"], &new["cid"]));
    }
    for (written, status) in [(old, 400), (new, 200)] {
        let cid = written["cid"].as_str().unwrap();
        let query = [
            ("repo", "alice.test"),
            ("collection", NOTE),
            ("rkey", "key"),
            ("cid", cid),
        ];
        assert_eq!(client.get("repo.getRecord", &query).await.status, status);
    }
    let described = client
        .get("repo.describeRepo", &[("repo", "alice.test")])
        .await
        .ok();
    assert_eq!(described["collections"], json!([NOTE]));
    assert_eq!(described["handleIsCorrect"], true);
}

#[tokio::test]
async fn repositories_are_listed_in_the_order_of_their_creation_page_by_page() {
    let devnet = Devnet::start().await.unwrap();
    let mut dids = Vec::new();
    for number in 0..5 {
        let account = devnet
            .create_account(&format!("agent{number}"))
            .await
            .unwrap();
        dids.push(Value::from(account.did.as_str()));
    }
    let client = Client::new(devnet.pds()[0].url());
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut query = vec![("limit", "2")];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let page = client.get("sync.listRepos", &query).await.ok();
        for repo in page["repos"].as_array().unwrap() {
            let did = repo["did"].as_str().unwrap();
            let latest = client
                .get("sync.getLatestCommit", &[("did", did)])
                .await
                .ok();
            assert_eq!(
                (&repo["head"], &repo["rev"]),
                (&latest["cid"], &latest["rev"])
            );
            assert_eq!(repo["active"], true);
            listed.push(repo["did"].clone());
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    listed.sort_by_key(Value::to_string);
    dids.sort_by_key(Value::to_string);
    assert_eq!(listed, dids, "each once");
}

#[tokio::test]
async fn a_handle_is_resolved_by_the_pds_and_by_its_own_host_name() {
    let (_devnet, alice, client) = alice().await;
    let did = client
        .get("identity.resolveHandle", &[("handle", "Alice.test")])
        .await
        .ok();
    assert_eq!(did["did"], alice.did.as_str());
    let page = client
        .http
        .get(format!("{}/.well-known/atproto-did", client.url));
    let found = page
        .try_clone()
        .unwrap()
        .header("host", "alice.test")
        .send()
        .await
        .unwrap();
    assert_eq!(found.text().await.unwrap(), alice.did.as_str());
    let absent = page.header("host", "nobody.test").send().await.unwrap();
    assert_eq!(absent.status(), 404);
    let health = client
        .http
        .get(format!("{}/xrpc/_health", client.url))
        .send()
        .await
        .unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test]
async fn accounts_are_in_the_order_in_which_they_were_created_however_fast_that_was() {
    let devnet = Devnet::start().await.unwrap();
    let names: Vec<String> = (0..30).map(|number| format!("agent-{number}")).collect();
    for name in &names {
        devnet.create_account(name).await.unwrap();
    }
    let accounts = devnet.accounts().into_iter();
    let created: Vec<String> = accounts.map(|account| account.handle.to_string()).collect();
    let expected: Vec<String> = names.iter().map(|name| format!("{name}.test")).collect();
    assert_eq!(created, expected);
}
