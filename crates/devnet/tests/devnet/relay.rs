//! The relay: the streams of all PDSs as one, and what it has seen.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use atcomms_devnet::{Account, Devnet, DevnetBuilder, Replay, StartError};
use atcomms_identity::Resolver;
use atcomms_repo::frame::{AccountFrame, Frame, decode};
use atcomms_subscribe::{From, Source, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::common::{Client, Firehose, NOTE, PATIENCE, Verifier, kinds, seqs};

/// Two PDSs with an account on each.
fn two_pdss() -> DevnetBuilder {
    Devnet::builder().pds(2).account("alice").account("bob")
}

/// A frame under another number.
fn renumbered(frame: &[u8], seq: i64) -> Bytes {
    let mut frame = decode(frame).unwrap();
    match &mut frame {
        Frame::Commit(commit) => commit.seq = seq,
        Frame::Sync(sync) => sync.seq = seq,
        Frame::Identity(identity) => identity.seq = seq,
        Frame::Account(account) => account.seq = seq,
        other => panic!("not an event: {other:?}"),
    }
    frame.encode().into()
}

fn did_of(frame: &[u8]) -> String {
    let peek = atcomms_repo::frame::peek(frame).unwrap();
    peek.did().unwrap().to_owned()
}

#[tokio::test]
async fn every_event_of_every_pds_is_there_at_once_and_the_same_but_for_its_number() {
    let devnet = two_pdss().start().await.unwrap();
    let accounts = devnet.accounts();
    let relay = devnet.relay();
    assert_eq!(relay.last_seq(), 8, "four events of each account");
    for number in 0..20 {
        for account in &accounts {
            let client = Client::log_in(account).await;
            client
                .put(&account.did, &format!("key{number}"), "text")
                .await;
            let emitted: i64 = devnet.pds().iter().map(|pds| pds.last_seq()).sum();
            assert_eq!(relay.last_seq(), emitted, "before the PDS answers");
        }
    }
    let relayed = Firehose::open(relay.ws_url(), Some(0)).await.take(48).await;
    assert_eq!(seqs(&relayed), (1..=48).collect::<Vec<_>>());
    let mut verifier = Verifier::new(devnet.plc_url());
    let mut heads = HashMap::new();
    for pds in devnet.pds() {
        let mut emitted = Firehose::open(pds.ws_url(), Some(0)).await.take(24).await;
        let did = did_of(&emitted[0]);
        let of_it = relayed.iter().filter(|frame| did_of(frame) == did);
        let of_it: Vec<Bytes> = of_it.cloned().collect();
        for (frame, relayed) in emitted.iter_mut().zip(&of_it) {
            *frame = renumbered(frame, seqs(std::slice::from_ref(relayed))[0]);
        }
        assert_eq!(of_it, emitted, "in the order of the repository, unchanged");
    }
    for frame in &relayed {
        if kinds(std::slice::from_ref(frame)) != ["Commit"] {
            continue;
        }
        let commit = verifier.verify(frame).await;
        let before = heads.insert(commit.did().clone(), commit.data());
        assert_eq!(commit.prev_data(), before, "an unbroken chain");
    }
    assert_eq!(heads.len(), 2);
}

#[tokio::test]
async fn a_subscriber_on_the_relay_gets_each_record_of_both_pdss_once_and_verified() {
    let devnet = two_pdss().start().await.unwrap();
    let plc = devnet.plc_url().parse().unwrap();
    let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
    let mut subscription = Subscriber::new(resolver)
        .source(Source::firehose(devnet.relay().ws_url()).unwrap())
        .from(From::Start)
        .collection(NOTE.parse().unwrap())
        .start()
        .unwrap();
    let mut written = BTreeSet::new();
    for account in devnet.accounts() {
        let client = Client::log_in(&account).await;
        for number in 0..25 {
            let rkey = format!("key{number}");
            let put = client.put(&account.did, &rkey, "text").await;
            written.insert(put["uri"].as_str().unwrap().to_owned());
        }
    }
    let mut delivered = BTreeSet::new();
    while delivered.len() < written.len() {
        let next = timeout(PATIENCE, subscription.next()).await;
        let delivery = next.expect("all of it comes").unwrap().unwrap();
        assert!(
            delivered.insert(delivery.uri.to_string()),
            "{} came twice",
            delivery.uri
        );
    }
    assert_eq!(delivered, written);
    let summary = subscription.summary();
    assert!(summary.rejected.is_empty(), "{:?}", summary.rejected);
}

#[tokio::test]
async fn its_stream_has_cursors_a_window_and_the_errors_of_the_pds_stream() {
    let devnet = two_pdss()
        .backfill_window(Duration::ZERO)
        .start()
        .await
        .unwrap();
    let alice = devnet.accounts().remove(0);
    let mut outdated = Firehose::open(devnet.relay().ws_url(), Some(1)).await;
    let frame = outdated.next().await;
    let Frame::Info(info) = decode(&frame).unwrap() else {
        panic!("not an info: {frame:?}");
    };
    assert_eq!(info.name, "OutdatedCursor");
    Client::log_in(&alice)
        .await
        .put(&alice.did, "key", "text")
        .await;
    assert_eq!(seqs(&[outdated.next().await]), [9], "and it goes on");
    let mut future = Firehose::open(devnet.relay().ws_url(), Some(10)).await;
    let frame = future.next().await;
    let Frame::Error(error) = decode(&frame).unwrap() else {
        panic!("not an error: {frame:?}");
    };
    assert_eq!(error.error, "FutureCursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_takes_nothing_is_cut_off() {
    let devnet = two_pdss().max_subscription_lag(3).start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    let mut slow = Firehose::open(devnet.relay().ws_url(), None).await;
    // More than the socket's buffers on both sides take.
    let text = "x".repeat(900_000);
    for number in 0..60 {
        client.put(&alice.did, &format!("key{number}"), &text).await;
    }
    let error = loop {
        let frame = slow.next().await;
        if let Frame::Error(error) = decode(&frame).unwrap() {
            break error.error.to_owned();
        }
    };
    assert_eq!(error, "ConsumerTooSlow");
}

#[tokio::test]
async fn its_methods_answer_from_what_it_has_seen() {
    let devnet = two_pdss().start().await.unwrap();
    let [alice, bob] = <[Account; 2]>::try_from(devnet.accounts()).unwrap();
    let client = Client::log_in(&alice).await;
    client.put(&alice.did, "key", "text").await;
    let relay = Client::new(devnet.relay().url());
    let did = [("did", alice.did.as_str())];
    let head = client.get("sync.getLatestCommit", &did).await.ok();
    assert_eq!(relay.get("sync.getLatestCommit", &did).await.ok(), head);
    let status = relay.get("sync.getRepoStatus", &did).await.ok();
    let expected = json!({ "did": alice.did, "active": true, "rev": head["rev"] });
    assert_eq!(status, expected);

    let repos = relay.get("sync.listRepos", &[("limit", "1")]).await.ok();
    let listed =
        json!({ "did": alice.did, "head": head["cid"], "rev": head["rev"], "active": true });
    assert_eq!(repos["repos"], json!([listed]));
    let cursor = repos["cursor"].as_str().unwrap();
    let rest = relay.get("sync.listRepos", &[("cursor", cursor)]).await;
    let rest = rest.ok();
    assert_eq!(rest["repos"][0]["did"], bob.did.as_str());
    assert!(rest.get("cursor").is_none(), "the last page says so");

    let of = |collection| {
        let relay = relay.clone();
        async move {
            let query = [("collection", collection)];
            let page = relay.get("sync.listReposByCollection", &query).await;
            page.ok()["repos"].clone()
        }
    };
    assert_eq!(of(NOTE).await, json!([{ "did": alice.did }]));
    assert_eq!(of("com.example.other").await, json!([]));

    let hosts = relay.get("sync.listHosts", &[]).await.ok();
    let hosts = hosts["hosts"].as_array().unwrap();
    let names: Vec<&Value> = hosts.iter().map(|host| &host["hostname"]).collect();
    let expected: Vec<&str> = devnet
        .pds()
        .iter()
        .map(|pds| pds.url().trim_start_matches("http://"))
        .collect();
    assert_eq!(names, expected);
    let first = (&hosts[0]["seq"], &hosts[0]["accountCount"]);
    assert_eq!(first, (&json!(5), &json!(1)));
    assert_eq!(hosts[0]["status"], "active");

    let absent = [("did", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")];
    for method in ["sync.getLatestCommit", "sync.getRepoStatus"] {
        let answer = relay.get(method, &absent).await;
        assert_eq!(answer.error(), (404, "RepoNotFound"), "{method}");
    }
    let unknown = relay.get("sync.listBlobs", &did).await;
    assert_eq!(unknown.error(), (501, "MethodNotImplemented"));
    let car = relay.get_bytes("sync.getRepo", &did).await;
    assert_eq!(
        car,
        client.get_bytes("sync.getRepo", &did).await,
        "from the PDS, by a redirect"
    );

    client
        .post("server.deactivateAccount", json!({}))
        .await
        .ok();
    let latest = relay.get("sync.getLatestCommit", &did).await;
    assert_eq!(latest.error(), (403, "RepoDeactivated"));
    let status = relay.get("sync.getRepoStatus", &did).await.ok();
    assert_eq!(status["status"], "deactivated");
}

#[tokio::test]
async fn it_survives_in_the_data_folder_with_its_port_and_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || two_pdss().data(folder.path());
    let devnet = builder().start().await.unwrap();
    let accounts = devnet.accounts();
    let url = devnet.relay().url().to_owned();
    for account in &accounts {
        let client = Client::log_in(account).await;
        client.put(&account.did, "key", "text").await;
    }
    let before = Firehose::open(devnet.relay().ws_url(), Some(0))
        .await
        .take(10)
        .await;
    drop(devnet);

    let devnet = builder().start().await.unwrap();
    let relay = devnet.relay();
    assert_eq!((relay.url(), relay.last_seq()), (url.as_str(), 10));
    let mut stream = Firehose::open(relay.ws_url(), Some(0)).await;
    assert_eq!(stream.take(10).await, before);
    let client = Client::log_in(&accounts[0]).await;
    let did = [("did", accounts[0].did.as_str())];
    let head = client.get("sync.getLatestCommit", &did).await.ok();
    let seen = Client::new(relay.url());
    assert_eq!(seen.get("sync.getLatestCommit", &did).await.ok(), head);
    client.put(&accounts[0].did, "other", "text").await;
    assert_eq!(seqs(&[stream.next().await]), [11]);
}

#[tokio::test]
async fn a_relay_that_lost_its_folder_takes_everything_again_in_the_order_of_each_repository() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || two_pdss().data(folder.path());
    let devnet = builder().start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    client.put(&alice.did, "key", "text").await;
    devnet.shutdown().await;
    std::fs::remove_dir_all(folder.path().join("relay")).unwrap();
    let devnet = builder().start().await.unwrap();
    assert_eq!(devnet.relay().last_seq(), 9);
    let mut stream = Firehose::open(devnet.relay().ws_url(), Some(0)).await;
    let frames = stream.take(9).await;
    let own: Vec<Bytes> = frames
        .into_iter()
        .filter(|frame| did_of(frame) == alice.did.as_str())
        .collect();
    assert_eq!(
        kinds(&own),
        ["Identity", "Account", "Commit", "Sync", "Commit"]
    );
}

#[tokio::test]
async fn a_host_from_outside_comes_in_too_and_again_after_it_was_cut_off() {
    let outside = Devnet::builder().account("carol").start().await.unwrap();
    let carol = outside.accounts().remove(0);
    let devnet = two_pdss()
        .relay_host(outside.pds()[0].ws_url())
        .start()
        .await
        .unwrap();
    let mut stream = Firehose::open(devnet.relay().ws_url(), Some(0)).await;
    let frames = stream.take(12).await;
    let of_carol = frames.iter().filter(|f| did_of(f) == carol.did.as_str());
    assert_eq!(of_carol.count(), 4, "from the beginning");
    assert_eq!(outside.pds()[0].faults().disconnect(), 1);
    let client = Client::log_in(&carol).await;
    client.put(&carol.did, "key", "text").await;
    let next = stream.next().await;
    assert_eq!(
        (did_of(&next).as_str(), seqs(&[next])),
        (carol.did.as_str(), vec![13])
    );
}

#[tokio::test]
async fn an_unreadable_frame_of_a_host_is_left_out_and_the_next_one_is_not() {
    let account = |seq| {
        let frame = AccountFrame {
            seq,
            did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
            active: true,
            status: None,
            time: "2026-01-01T00:00:00.000Z",
        };
        Bytes::from(Frame::Account(frame).encode())
    };
    let frames = vec![account(7), Bytes::from_static(b"broken"), account(9)];
    let replay = Replay::start(frames, HashMap::new()).await.unwrap();
    let devnet = Devnet::builder().relay_host(replay.ws_url());
    let devnet = devnet.start().await.unwrap();
    let mut stream = Firehose::open(devnet.relay().ws_url(), Some(0)).await;
    assert_eq!(stream.take(2).await, [account(1), account(2)]);
}

#[tokio::test]
async fn a_host_that_is_none_is_an_error() {
    let error = Devnet::builder().relay_host("localhost").start().await;
    let error = error.err().unwrap();
    assert!(matches!(error, StartError::RelayHost { .. }), "{error}");
    assert!(error.to_string().contains("ws://HOST:PORT"), "{error}");
}
