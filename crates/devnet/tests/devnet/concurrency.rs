//! Many writers at once: nothing is lost, everything chains, one wins.

use std::collections::{BTreeSet, HashMap};

use atcomms_devnet::Devnet;
use futures::future::join_all;
use serde_json::json;

use crate::common::{Client, Firehose, NOTE, Verifier, alice};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creates_are_all_there_once_and_in_an_unbroken_chain() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let devnet = Devnet::builder()
        .account("alice")
        .account("bob")
        .start()
        .await
        .unwrap();
    let accounts = devnet.accounts();
    let writers = (0..WRITERS).map(|writer| {
        let account = accounts[writer % 2].clone();
        async move {
            let client = Client::log_in(&account).await;
            let mut uris = Vec::new();
            for number in 0..EACH {
                let record = json!({ "text": format!("{writer} {number}") });
                let body = json!({ "repo": account.did, "collection": NOTE, "record": record });
                let written = client.post("repo.createRecord", body).await.ok();
                uris.push(written["uri"].as_str().unwrap().to_owned());
            }
            uris
        }
    });
    let uris: BTreeSet<String> = join_all(writers.map(tokio::spawn))
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    assert_eq!(
        uris.len(),
        WRITERS * EACH,
        "every record has a key of its own"
    );

    let mut verifier = Verifier::new(devnet.plc_url());
    let mut stream = Firehose::open(devnet.pds()[0].ws_url(), Some(8)).await;
    let mut heads = HashMap::new();
    let mut seen = BTreeSet::new();
    for frame in stream.take(WRITERS * EACH).await {
        let commit = verifier.verify(&frame).await;
        let head = (commit.rev(), commit.data());
        if let Some((rev, data)) = heads.insert(commit.did().clone(), head) {
            assert_eq!(commit.since(), Some(rev));
            assert_eq!(commit.prev_data(), Some(data));
        }
        for op in commit.ops() {
            let path = format!("{}/{}", op.collection(), op.rkey());
            seen.insert(format!("at://{}/{path}", commit.did()));
        }
    }
    assert_eq!(seen, uris, "the stream says what the writers were told");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_puts_that_expect_no_record_one_wins() {
    let (devnet, alice, client) = alice().await;
    for round in 0..5 {
        let rkey = format!("race{round}");
        let puts = (0..10).map(|number| {
            let client = client.clone();
            let record = json!({ "text": format!("writer {number}") });
            let body = json!({ "repo": alice.did, "collection": NOTE, "rkey": rkey, "record": record, "swapRecord": null });
            tokio::spawn(async move { client.post("repo.putRecord", body).await })
        });
        let answers: Vec<_> = join_all(puts)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "round {round}: {answers:?}");
        let lost = answers
            .iter()
            .filter(|answer| answer.error() == (400, "InvalidSwap"));
        assert_eq!(lost.count(), 9, "round {round}: {answers:?}");
    }
    drop(devnet);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_accounts_with_one_handle_one_is_created() {
    let devnet = Devnet::start().await.unwrap();
    let client = Client::new(devnet.pds()[0].url());
    let requests = (0..10).map(|number| {
        let client = client.clone();
        let email = format!("carol{number}@example.com");
        let body = json!({ "handle": "carol.test", "email": email, "password": "secret" });
        tokio::spawn(async move { client.post("server.createAccount", body).await })
    });
    let answers: Vec<_> = join_all(requests)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let created = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(created, 1, "{answers:?}");
    assert_eq!(devnet.accounts().len(), 1);
}
