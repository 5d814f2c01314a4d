//! Replays: frames as they are, and the documents that go with them.

use std::collections::HashMap;
use std::path::Path;

use atcomms_devnet::{Devnet, PdsUrl, Recording, Replay};
use atcomms_repo::frame::{AccountFrame, Frame, Kind, peek};
use bytes::Bytes;
use serde_json::json;

use crate::common::{Client, Firehose, Verifier, alice, document, seq};

fn account(seq: i64) -> Bytes {
    let frame = AccountFrame {
        seq,
        did: "did:plc:abcdefghijklmnopqrstuvwx",
        active: true,
        status: None,
        time: "2026-01-01T00:00:00.000Z",
    };
    Frame::Account(frame).encode().into()
}

#[tokio::test]
async fn broken_frames_are_served_as_they_are_and_pushed_ones_live() {
    let broken = Bytes::from_static(b"\xff not a frame");
    let frames = vec![
        account(3),
        broken.clone(),
        account(4),
        Bytes::new(),
        account(7),
    ];
    let replay = Replay::start(frames.clone(), HashMap::new()).await.unwrap();
    let mut all = Firehose::open(replay.ws_url(), Some(0)).await;
    assert_eq!(all.take(5).await, frames);
    let mut later = Firehose::open(replay.ws_url(), Some(3)).await;
    assert_eq!(later.take(4).await, frames[1..]);
    let mut live = Firehose::open(replay.ws_url(), None).await;
    replay.push(broken.clone());
    replay.push(account(8));
    for stream in [&mut all, &mut later, &mut live] {
        assert_eq!(stream.take(2).await, [broken.clone(), account(8)]);
    }
    assert_eq!(replay.faults().disconnect(), 3);
}

#[tokio::test]
async fn a_devnets_own_log_is_replayed_with_its_documents() {
    let (devnet, alice, client) = alice().await;
    for number in 0..10 {
        client
            .put(&alice.did, &format!("key{number}"), "text")
            .await;
    }
    let frames = Firehose::open(devnet.pds()[0].ws_url(), Some(0))
        .await
        .take(14)
        .await;
    let recorded = document(&Client::new(devnet.plc_url()), alice.did.as_str()).await;
    drop(devnet);

    let builder = || {
        Replay::builder()
            .frames(frames.clone())
            .documents([(alice.did.clone(), recorded.clone())])
    };
    let replay = builder().start().await.unwrap();
    let mut verifier = Verifier::new(replay.plc_url());
    let mut stream = Firehose::open(replay.ws_url(), Some(4)).await;
    for frame in stream.take(10).await {
        assert_eq!(verifier.verify(&frame).await.ops().len(), 1);
    }
    let plc = Client::new(replay.plc_url());
    assert_eq!(
        document(&plc, alice.did.as_str()).await,
        recorded,
        "as it was"
    );
    let resolved = plc
        .get("identity.resolveHandle", &[("handle", "alice.test")])
        .await
        .ok();
    assert_eq!(resolved, json!({ "did": alice.did }));

    let moved = builder().pds_url(PdsUrl::Replay).start().await.unwrap();
    let document = document(&Client::new(moved.plc_url()), alice.did.as_str()).await;
    assert_eq!(document["service"][0]["serviceEndpoint"], moved.plc_url());
    moved.shutdown().await;
}

#[tokio::test]
async fn the_log_in_a_data_folder_is_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::builder()
        .data(folder.path())
        .account("alice")
        .start()
        .await
        .unwrap();
    let frames = Firehose::open(devnet.pds()[0].ws_url(), Some(0))
        .await
        .take(4)
        .await;
    let alice = devnet.accounts().remove(0);
    let recorded = document(&Client::new(devnet.plc_url()), alice.did.as_str()).await;
    devnet.shutdown().await;
    let log = folder.path().join("pds-1/events.bin");
    std::fs::rename(log, folder.path().join("frames.bin")).unwrap();
    let known = json!({ alice.did.as_str(): { "didDoc": recorded } });
    std::fs::write(folder.path().join("dids.json"), known.to_string()).unwrap();
    let replay = Replay::from_recording(folder.path()).await.unwrap();
    let mut stream = Firehose::open(replay.ws_url(), Some(0)).await;
    assert_eq!(stream.take(4).await, frames);
}

#[tokio::test]
async fn the_committed_recording_is_played_back_whole_and_in_order() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/recording");
    play_back(folder.as_ref(), 2_884, 7).await;
}

#[tokio::test]
#[cfg_attr(
    not(has_corpus),
    ignore = "set ATCOMMS_CORPUS to the folder of the recorded firehose"
)]
async fn the_whole_corpus_is_played_back_in_order() {
    let folder = std::env::var_os("ATCOMMS_CORPUS").expect("ATCOMMS_CORPUS was set at build time");
    play_back(folder.as_ref(), 20_427, 50).await;
}

async fn play_back(folder: &Path, frames: usize, accounts: usize) {
    let recording = Recording::read(folder).unwrap();
    assert_eq!(recording.frames.len(), frames);
    assert_eq!(recording.documents.len(), accounts);
    let replay = Replay::from_recording(folder).await.unwrap();
    let mut stream = Firehose::open(replay.ws_url(), Some(0)).await;
    assert!(
        stream.take(frames).await == recording.frames,
        "the frames, byte for byte"
    );
    let middle = recording.frames.len() / 2;
    let cursor = seq(&recording.frames[middle]);
    let mut later = Firehose::open(replay.ws_url(), Some(cursor)).await;
    assert_eq!(later.next().await, recording.frames[middle + 1]);

    let mut verifier = Verifier::new(replay.plc_url());
    let commits = recording.frames.iter();
    let mut commits = commits.filter(|frame| peek(frame).unwrap().kind() == Kind::Commit);
    verifier.verify(commits.next_back().unwrap()).await;
}
