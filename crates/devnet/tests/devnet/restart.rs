//! A data folder: everything is there again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atcomms_devnet::{Devnet, Fault, StartError};
use serde_json::json;

use crate::common::{Client, Firehose, NOTE, Verifier, answer, document, kinds, seqs};

#[tokio::test]
async fn accounts_repositories_blobs_sessions_plc_and_the_log_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Devnet::builder()
            .data(folder.path())
            .pds(2)
            .account("alice")
            .account("bob")
    };
    let devnet = builder().start().await.unwrap();
    let accounts = devnet.accounts();
    let alice = accounts[0].clone();
    assert_eq!(
        (alice.handle.as_str(), accounts[1].handle.as_str()),
        ("alice.test", "bob.test")
    );
    assert_ne!(
        alice.pds, accounts[1].pds,
        "accounts go to the PDSs in turn"
    );
    let client = Client::log_in(&alice).await;
    for number in 0..30 {
        client
            .put(&alice.did, &format!("key{number}"), "text")
            .await;
    }
    let blob = client.upload("text/plain", "an attachment").await.ok()["blob"].clone();
    let record = json!({ "repo": alice.did, "collection": NOTE, "rkey": "blob", "record": { "file": blob } });
    client.post("repo.createRecord", record).await.ok();
    let loose = client.upload("text/plain", "not used yet").await.ok()["blob"].clone();
    client
        .post("identity.updateHandle", json!({ "handle": "alicia.test" }))
        .await
        .ok();
    let session = json!({ "identifier": alice.did, "password": alice.password });
    let session = client.post("server.createSession", session).await.ok();
    let plc = Client::new(devnet.plc_url());
    let log_url = format!("{}/{}/log/audit", plc.url, alice.did);
    let audit = answer(plc.http.get(&log_url)).await.ok();
    let did = [("did", alice.did.as_str())];
    let head = client.get("sync.getLatestCommit", &did).await.ok();
    let car = client.get_bytes("sync.getRepo", &did).await;
    let frames = Firehose::open(devnet.pds()[0].ws_url(), Some(0))
        .await
        .take(36)
        .await;
    let urls: Vec<String> = devnet
        .pds()
        .iter()
        .map(|pds| pds.url().to_owned())
        .collect();
    // Dropped, not shut down: what was answered is there all the same.
    drop(devnet);

    let devnet = builder().start().await.unwrap();
    let again: Vec<String> = devnet
        .pds()
        .iter()
        .map(|pds| pds.url().to_owned())
        .collect();
    assert_eq!(again, urls, "documents and scripts know these");
    let names: Vec<_> = devnet
        .accounts()
        .into_iter()
        .map(|account| account.handle.to_string())
        .collect();
    assert_eq!(
        names,
        ["alicia.test", "alice.test", "bob.test"],
        "alice is free again, and was asked for"
    );
    assert_eq!(answer(plc.http.get(&log_url)).await.ok(), audit);
    assert_eq!(client.get("sync.getLatestCommit", &did).await.ok(), head);
    let mut sorted = (car, client.get_bytes("sync.getRepo", &did).await);
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1, "the same blocks");
    let mut stream = Firehose::open(devnet.pds()[0].ws_url(), Some(0)).await;
    assert_eq!(stream.take(36).await, frames);
    let refreshed = client
        .with_token(&session["refreshJwt"])
        .post_nothing("server.refreshSession")
        .await
        .ok();
    let client = client.with_token(&refreshed["accessJwt"]);
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let bytes = client
        .get_bytes("sync.getBlob", &[did[0], ("cid", cid)])
        .await;
    assert_eq!(bytes, b"an attachment");
    let record = json!({ "repo": alice.did, "collection": NOTE, "rkey": "loose", "record": { "file": loose } });
    client.post("repo.createRecord", record).await.ok();

    let mut verifier = Verifier::new(devnet.plc_url());
    let commit = loop {
        let frame = stream.next().await;
        if kinds(std::slice::from_ref(&frame)) == ["Commit"] {
            let commit = verifier.verify(&frame).await;
            if *commit.did() == alice.did {
                break commit;
            }
        }
    };
    assert_eq!(
        commit.since().unwrap().to_string(),
        head["rev"].as_str().unwrap()
    );
}

#[tokio::test]
async fn on_another_port_the_documents_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::builder()
        .data(folder.path())
        .account("alice")
        .start()
        .await
        .unwrap();
    let before = devnet.pds()[0].url().to_owned();
    let last = devnet.pds()[0].last_seq();
    let alice = devnet.accounts().remove(0);
    devnet.shutdown().await;
    let taken =
        std::net::TcpListener::bind(before.replace("http://localhost", "127.0.0.1")).unwrap();
    let devnet = Devnet::builder()
        .data(folder.path())
        .account("alice")
        .start()
        .await
        .unwrap();
    let pds = &devnet.pds()[0];
    assert_ne!(pds.url(), before, "the port is taken by somebody else");
    assert_eq!(devnet.accounts().len(), 1);
    let document = document(&Client::new(devnet.plc_url()), alice.did.as_str()).await;
    assert_eq!(document["service"][0]["serviceEndpoint"], pds.url());
    let mut stream = Firehose::open(pds.ws_url(), Some(last)).await;
    assert_eq!(
        seqs(&[stream.next().await]),
        [last + 1],
        "an #identity tells it"
    );
    drop(taken);
}

#[tokio::test]
async fn a_port_in_use_a_folder_in_use_and_fewer_pdss_are_clear_errors() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::builder()
        .pds(2)
        .data(folder.path())
        .start()
        .await
        .unwrap();
    let second = Devnet::builder()
        .data(folder.path())
        .start()
        .await
        .err()
        .unwrap();
    assert!(matches!(second, StartError::FolderInUse { .. }), "{second}");
    let port: u16 = devnet.pds()[0]
        .url()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let taken = Devnet::builder().port(port).start().await.err().unwrap();
    assert!(
        matches!(taken, StartError::PortInUse { port: p } if p == port),
        "{taken}"
    );
    assert!(taken.to_string().contains(&port.to_string()), "{taken}");
    devnet.shutdown().await;
    let fewer = Devnet::builder()
        .data(folder.path())
        .start()
        .await
        .err()
        .unwrap();
    assert!(
        matches!(
            fewer,
            StartError::PdsCount {
                found: 2,
                asked: 1,
                ..
            }
        ),
        "{fewer}"
    );
    let none = Devnet::builder().pds(0).start().await.err().unwrap();
    assert!(matches!(none, StartError::NoPds), "{none}");
    let bad = Devnet::builder().account("al").start().await.err().unwrap();
    assert!(bad.to_string().contains("too short"), "{bad}");
}

#[tokio::test]
async fn a_torn_frame_is_cut_off_and_a_changed_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::builder()
        .data(folder.path())
        .account("alice")
        .start()
        .await
        .unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    client.put(&alice.did, "key", "a text to be found").await;
    devnet.shutdown().await;
    let path = folder.path().join("pds-1/events.bin");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"\xff\0\0\0torn"].concat()).unwrap();
    let devnet = Devnet::builder().data(folder.path()).start().await.unwrap();
    assert_eq!(devnet.pds()[0].last_seq(), 5);
    client.put(&alice.did, "other", "text").await;
    devnet.shutdown().await;

    let mut changed = std::fs::read(&path).unwrap();
    let at = changed
        .windows(18)
        .position(|part| part == b"a text to be found")
        .unwrap();
    changed[at] = b'A';
    std::fs::write(&path, changed).unwrap();
    let error = Devnet::builder()
        .data(folder.path())
        .start()
        .await
        .err()
        .unwrap();
    assert!(matches!(error, StartError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("events.bin"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_under_load_is_prompt_on_the_same_ports_and_loses_nothing_that_was_answered() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Devnet::builder()
            .data(folder.path())
            .pds(2)
            .account("alice")
    };
    let mut devnet = builder().start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let mut written = Vec::new();
    for round in 0..ROUNDS {
        let urls: Vec<String> = devnet
            .pds()
            .iter()
            .map(|pds| pds.url().to_owned())
            .collect();
        let before = devnet.pds()[0].last_seq();
        let client = Client::log_in(&alice).await;
        let mut streams = Vec::new();
        for pds in devnet.pds() {
            streams.push(Firehose::open(pds.ws_url(), None).await);
        }
        // One waits for an answer that is held back, and is not waited for.
        let faults = devnet.pds()[0].faults();
        let forever = Fault::Slow(Duration::from_secs(3_600));
        faults.inject("com.atproto.server.describeServer", forever, 1);
        let waiting = client.request(reqwest::Method::GET, "server.describeServer");
        let waiting = tokio::spawn(waiting.send());
        // Each keeps its connection, and writes until that fails, or over the restart until it is to stop.
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (client, did, stop) = (client.clone(), alice.did.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut answered = Vec::new();
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let rkey = format!("round{round}-writer{writer}-{number}");
                        let body =
                            json!({ "repo": did, "collection": NOTE, "rkey": rkey, "record": {} });
                        let request = client.request(reqwest::Method::POST, "repo.putRecord");
                        match request.json(&body).send().await {
                            Ok(response) => assert_eq!(response.status(), 200),
                            Err(_) => break,
                        }
                        answered.push(rkey);
                    }
                    answered
                })
            })
            .collect();
        while devnet.pds()[0].last_seq() < before + 20 || faults.counts().slowed == 0 {
            tokio::task::yield_now().await;
        }
        drop(devnet);
        devnet = builder().start().await.unwrap();
        let again: Vec<String> = devnet
            .pds()
            .iter()
            .map(|pds| pds.url().to_owned())
            .collect();
        assert_eq!(again, urls, "the same ports");
        stop.store(true, Ordering::Relaxed);
        assert!(waiting.await.unwrap().is_err(), "its connection was cut");
        for mut stream in streams {
            while stream.message().await.is_some() {}
        }
        for writer in writers {
            written.extend(writer.await.unwrap());
        }
    }
    assert!(!written.is_empty());
    let client = Client::log_in(&alice).await;
    for rkey in written {
        let query = [
            ("repo", alice.did.as_str()),
            ("collection", NOTE),
            ("rkey", &rkey),
        ];
        client.get("repo.getRecord", &query).await.ok();
    }
}
