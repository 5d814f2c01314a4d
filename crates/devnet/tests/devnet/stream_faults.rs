//! Faults of a stream's events: each fires on the event that it is for, is counted, and does what it says.

use std::time::Duration;

use atcomms_devnet::{Account, Devnet, FaultCounts, Forgery, StreamFault};
use atcomms_repo::frame::{Frame, InfoFrame, decode, peek};
use atcomms_repo::verify::{Limits, VerifyError, verify_commit};
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Client, Firehose, PATIENCE, Verifier, kinds, now_micros, seqs};

/// Counts in which only what `set` sets is not 0.
fn only(set: impl FnOnce(&mut FaultCounts)) -> FaultCounts {
    let mut counts = FaultCounts::default();
    set(&mut counts);
    counts
}

/// Two PDSs, an account on each with its client, and a live subscription to the relay.
async fn network() -> (Devnet, [(Account, Client); 2], Firehose) {
    let builder = Devnet::builder().pds(2).account("alice").account("bob");
    let devnet = builder.start().await.unwrap();
    let mut writers = Vec::new();
    for account in devnet.accounts() {
        let client = Client::log_in(&account).await;
        writers.push((account, client));
    }
    let stream = Firehose::open(devnet.relay().ws_url(), None).await;
    let writers = writers.try_into().ok().unwrap();
    (devnet, writers, stream)
}

async fn put((account, client): &(Account, Client), rkey: &str) {
    client.put(&account.did, rkey, "text").await;
}

/// The record keys that frames are about.
fn rkeys(frames: &[Bytes]) -> Vec<String> {
    let path = |frame: &Bytes| {
        let path = peek(frame).unwrap().op_paths().next().unwrap();
        path.split('/').nth(1).unwrap().to_owned()
    };
    frames.iter().map(path).collect()
}

/// Verifies a commit with the key of an account.
async fn verify(plc: &str, of: &Account, frame: &[u8]) -> Result<(), VerifyError> {
    let Frame::Commit(commit) = decode(frame).unwrap() else {
        panic!("not a commit");
    };
    let key = Verifier::new(plc).key(of.did.as_str()).await;
    verify_commit(&commit, &key, now_micros(), &Limits::default()).map(|_| ())
}

#[tokio::test]
async fn a_skipped_event_is_missing_live_and_in_every_replay() {
    let (devnet, [alice, bob], mut stream) = network().await;
    let faults = devnet.relay().faults();
    faults.inject_stream_of(&bob.0.did, StreamFault::Skip, 2);
    for rkey in ["one", "two", "three"] {
        put(&alice, &format!("alice-{rkey}")).await;
        put(&bob, &format!("bob-{rkey}")).await;
    }
    let frames = stream.take(4).await;
    let expected = ["alice-one", "alice-two", "alice-three", "bob-three"];
    assert_eq!(rkeys(&frames), expected);
    assert_eq!(seqs(&frames), [9, 11, 13, 14]);
    assert_eq!(faults.counts(), only(|counts| counts.events_skipped = 2));
    let mut replay = Firehose::open(devnet.relay().ws_url(), Some(8)).await;
    assert_eq!(replay.take(4).await, frames);
    put(&bob, "bob-four").await;
    assert_eq!(seqs(&[stream.next().await]), [15]);
}

#[tokio::test]
async fn a_skipped_last_event_is_no_future_cursor() {
    let (devnet, [alice, _], _) = network().await;
    devnet.relay().faults().inject_stream(StreamFault::Skip, 1);
    put(&alice, "skipped").await;
    assert_eq!(devnet.relay().last_seq(), 9);
    let mut stream = Firehose::open(devnet.relay().ws_url(), Some(9)).await;
    put(&alice, "shown").await;
    assert_eq!(rkeys(&[stream.next().await]), ["shown"]);
}

#[tokio::test]
async fn a_duplicate_comes_twice_with_one_number() {
    let (devnet, [alice, _], mut stream) = network().await;
    let faults = devnet.relay().faults();
    faults.inject_stream(StreamFault::Duplicate, 1);
    put(&alice, "one").await;
    put(&alice, "two").await;
    let frames = stream.take(3).await;
    assert_eq!(frames[0], frames[1]);
    assert_eq!(seqs(&frames), [9, 9, 10]);
    assert_eq!(faults.counts(), only(|counts| counts.events_duplicated = 1));
}

#[tokio::test]
async fn a_reordered_event_comes_after_another_repositorys_and_its_own_repository_waits() {
    let (devnet, [alice, bob], mut stream) = network().await;
    let faults = devnet.relay().faults();
    faults.inject_stream(StreamFault::Reorder, 1);
    put(&alice, "alice-one").await;
    put(&alice, "alice-two").await;
    assert_eq!(faults.counts().events_reordered, 0, "nothing passed it yet");
    put(&bob, "bob-one").await;
    put(&bob, "bob-two").await;
    let frames = stream.take(4).await;
    let expected = ["bob-one", "alice-one", "alice-two", "bob-two"];
    assert_eq!(rkeys(&frames), expected);
    assert_eq!(seqs(&frames), [9, 10, 11, 12], "numbers only grow");
    assert_eq!(faults.counts(), only(|counts| counts.events_reordered = 1));
    let mut verifier = Verifier::new(devnet.plc_url());
    for frame in &frames {
        verifier.verify(frame).await;
    }
}

#[tokio::test]
async fn a_truncated_frame_is_the_first_half_of_what_the_pds_has_whole() {
    let (devnet, [alice, _], mut stream) = network().await;
    let faults = devnet.relay().faults();
    faults.inject_stream(StreamFault::Truncate, 1);
    put(&alice, "one").await;
    put(&alice, "two").await;
    let half = stream.next().await;
    assert!(decode(&half).is_err());
    let whole = Firehose::open(devnet.pds()[0].ws_url(), Some(4))
        .await
        .next()
        .await;
    assert_eq!(half.len(), whole.len() / 2);
    assert_eq!(rkeys(&[stream.next().await]), ["two"]);
    assert_eq!(faults.counts(), only(|counts| counts.frames_truncated = 1));
}

#[tokio::test]
async fn each_forgery_is_found_by_the_check_that_it_is_for_and_by_no_earlier_one() {
    let (devnet, [alice, bob], mut stream) = network().await;
    let plc = devnet.plc_url().to_owned();
    let faults = devnet.relay().faults();
    let forgeries = [
        (Forgery::Record, "op_not_in_tree"),
        (Forgery::Block, "block_hash"),
        (Forgery::Node, "block_hash"),
        (Forgery::DetachedNode, "mst_incomplete"),
        (Forgery::Signature, "signature"),
        (Forgery::Did(bob.0.did.clone()), "other_did"),
    ];
    for (number, (forgery, reason)) in (1..).zip(forgeries) {
        faults.inject_stream(StreamFault::Forge(forgery.clone()), 1);
        put(&alice, &format!("forged{number}")).await;
        put(&alice, &format!("good{number}")).await;
        let forged = stream.next().await;
        let named = if reason == "other_did" {
            &bob.0
        } else {
            &alice.0
        };
        assert_eq!(peek(&forged).unwrap().did(), Some(named.did.as_str()));
        let error = verify(&plc, named, &forged).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{forgery:?}: {error}");
        let good = stream.next().await;
        verify(&plc, &alice.0, &good).await.unwrap();
        assert_eq!(
            faults.counts(),
            only(|counts| counts.frames_forged = number)
        );
    }
}

#[tokio::test]
async fn a_forgery_waits_for_a_commit_and_a_clear_forgets_it() {
    let (devnet, [alice, _], mut stream) = network().await;
    let faults = devnet.relay().faults();
    let forge = StreamFault::Forge(Forgery::Signature);
    faults.inject_stream(forge.clone(), 1);
    let pds = &devnet.pds()[0];
    pds.change_handle(&alice.0.did, "alicia").unwrap();
    assert_eq!(kinds(&[stream.next().await]), ["Identity"]);
    assert_eq!(faults.counts().frames_forged, 0);
    put(&alice, "forged").await;
    assert_eq!(faults.counts().frames_forged, 1);
    stream.next().await;
    faults.inject_stream(forge, 1);
    faults.clear();
    put(&alice, "good").await;
    let frame = stream.next().await;
    verify(devnet.plc_url(), &alice.0, &frame).await.unwrap();
    assert_eq!(faults.counts(), only(|counts| counts.frames_forged = 1));
}

#[tokio::test]
async fn a_pdss_own_fault_reaches_the_relay_and_a_restart_has_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Devnet::builder().data(folder.path()).account("alice");
    let devnet = builder().start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let writer = (alice.clone(), Client::log_in(&alice).await);
    let faults = devnet.pds()[0].faults();
    faults.inject_stream(StreamFault::Forge(Forgery::Record), 1);
    put(&writer, "key").await;
    let plc = devnet.plc_url().to_owned();
    for ws_url in [devnet.pds()[0].ws_url(), devnet.relay().ws_url()] {
        let frame = Firehose::open(ws_url, Some(4)).await.next().await;
        assert!(verify(&plc, &alice, &frame).await.is_err(), "{ws_url}");
    }
    assert_eq!(faults.counts(), only(|counts| counts.frames_forged = 1));
    drop(devnet);
    let devnet = builder().start().await.unwrap();
    let mut stream = Firehose::open(devnet.pds()[0].ws_url(), Some(4)).await;
    verify(&plc, &alice, &stream.next().await).await.unwrap();
}

#[tokio::test]
async fn a_stalled_stream_is_silent_and_then_goes_on_where_it_was() {
    let (devnet, [alice, _], mut stream) = network().await;
    let faults = devnet.relay().faults();
    put(&alice, "before").await;
    stream.next().await;
    assert_eq!(faults.stall(Duration::MAX), 1);
    stream.0.send(Message::Ping("there?".into())).await.unwrap();
    let mut late = Firehose::open(devnet.relay().ws_url(), Some(8)).await;
    put(&alice, "meanwhile").await;
    // Another stream of the same PDS has it: time enough has passed for this one to speak.
    let mut other = Firehose::open(devnet.pds()[0].ws_url(), Some(5)).await;
    assert_eq!(rkeys(&[other.next().await]), ["meanwhile"]);
    assert!(stream.0.next().now_or_never().is_none(), "not even a pong");
    assert!(late.0.next().now_or_never().is_none(), "nor a new one");
    faults.resume();
    let mut frames = Vec::new();
    while frames.is_empty() {
        // The pong comes with it, before or after.
        if let Some(Message::Binary(frame)) = stream.message().await {
            frames.push(frame);
        }
    }
    assert_eq!(rkeys(&frames), ["meanwhile"]);
    assert_eq!(rkeys(&late.take(2).await), ["before", "meanwhile"]);
    assert_eq!(faults.counts(), only(|counts| counts.streams_stalled = 1));
    faults.stall(Duration::from_millis(20));
    put(&alice, "after").await;
    assert_eq!(rkeys(&[late.next().await]), ["after"], "it ends by itself");
}

#[tokio::test]
async fn a_stalled_stream_can_be_cut_and_the_server_stops_all_the_same() {
    let (devnet, _, mut stream) = network().await;
    let faults = devnet.relay().faults();
    faults.stall(Duration::MAX);
    assert_eq!(faults.disconnect(), 1);
    assert!(stream.message().await.is_none());
    let mut silent = Firehose::open(devnet.relay().ws_url(), Some(0)).await;
    let stopping = tokio::spawn(devnet.shutdown());
    while silent.message().await.is_some() {}
    tokio::time::timeout(PATIENCE, stopping)
        .await
        .expect("it stops")
        .unwrap();
}

#[tokio::test]
async fn an_outdated_cursor_on_demand_loses_what_was_before() {
    let (devnet, [alice, _], _) = network().await;
    let faults = devnet.relay().faults();
    faults.outdate_cursors(1);
    let mut live = Firehose::open(devnet.relay().ws_url(), None).await;
    let mut outdated = Firehose::open(devnet.relay().ws_url(), Some(0)).await;
    let frame = outdated.next().await;
    assert!(
        matches!(decode(&frame), Ok(Frame::Info(info)) if info.name == "OutdatedCursor"),
        "{frame:?}"
    );
    put(&alice, "key").await;
    for stream in [&mut outdated, &mut live] {
        assert_eq!(seqs(&[stream.next().await]), [9]);
    }
    assert_eq!(faults.counts(), only(|counts| counts.cursors_outdated = 1));
    let mut again = Firehose::open(devnet.relay().ws_url(), Some(0)).await;
    assert_eq!(seqs(&[again.next().await]), [1], "once");
}

#[tokio::test]
async fn an_injected_frame_comes_as_it_is_and_the_numbers_go_on_behind_it() {
    let (devnet, [alice, _], mut stream) = network().await;
    let relay = devnet.relay();
    let info = Frame::Info(InfoFrame {
        name: "Anything",
        message: None,
    });
    relay.inject_frame(info.encode());
    relay.inject_frame(&b"not a frame"[..]);
    assert_eq!(stream.next().await, info.encode());
    assert_eq!(stream.next().await, "not a frame");
    put(&alice, "key").await;
    let frame = stream.next().await;
    assert_eq!(seqs(std::slice::from_ref(&frame)), [9]);
    let Frame::Commit(mut commit) = decode(&frame).unwrap() else {
        panic!("not a commit");
    };
    commit.seq = 100;
    let far = Frame::Commit(commit).encode();
    relay.inject_frame(far.clone());
    assert_eq!(stream.next().await, far);
    put(&alice, "next").await;
    assert_eq!(seqs(&[stream.next().await]), [101]);
    assert_eq!(
        relay.faults().counts(),
        only(|counts| counts.frames_injected = 3)
    );
}

#[tokio::test]
async fn a_jetstream_skips_repeats_and_makes_up_records() {
    let (devnet, [alice, _], _) = network().await;
    let faults = devnet.jetstream().faults();
    faults.inject_stream(StreamFault::Skip, 1);
    faults.inject_stream(StreamFault::Duplicate, 1);
    faults.inject_stream(StreamFault::Forge(Forgery::Record), 1);
    for rkey in ["skipped", "twice", "forged", "good"] {
        put(&alice, rkey).await;
    }
    let url = devnet.jetstream().ws_url();
    let url = format!("{url}/subscribe?cursor=0&wantedCollections=com.example.note");
    let mut socket = connect_async(url).await.unwrap().0;
    let mut events: Vec<Value> = Vec::new();
    while events.len() < 8 {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        let text = next.unwrap().unwrap().into_text().unwrap();
        events.push(serde_json::from_str(&text).unwrap());
    }
    // The four before are of the accounts.
    let events = events.split_off(4);
    let rkeys: Vec<&str> = events
        .iter()
        .map(|event| event["commit"]["rkey"].as_str().unwrap())
        .collect();
    assert_eq!(rkeys, ["twice", "twice", "forged", "good"]);
    let times: Vec<i64> = events
        .iter()
        .map(|event| event["time_us"].as_i64().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    let query = [
        ("repo", alice.0.did.as_str()),
        ("collection", "com.example.note"),
        ("rkey", "forged"),
    ];
    let real = alice.1.get("repo.getRecord", &query).await.ok();
    let forged = &events[2]["commit"];
    assert_ne!(forged["cid"], real["cid"], "a record that is not there");
    assert_eq!(forged["record"]["forged"], true);
    assert_eq!(events[3]["commit"]["record"]["text"], "text");
    let expected = only(|counts| {
        counts.events_skipped = 1;
        counts.events_duplicated = 1;
        counts.frames_forged = 1;
    });
    assert_eq!(faults.counts(), expected);
    let relayed = devnet.relay().faults().counts();
    assert_eq!(relayed, FaultCounts::default(), "the relay has the truth");
}
