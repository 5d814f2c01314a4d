//! `com.atproto.sync.subscribeRepos`: cursors, replay, errors, and being cut off.

use std::time::Duration;

use atcomms_devnet::Devnet;
use atcomms_repo::frame::{Frame, decode};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::common::{Client, Firehose, alice, kinds, seqs};

#[tokio::test]
async fn a_cursor_replays_what_comes_after_it_and_goes_on_live() {
    let (devnet, alice, client) = alice().await;
    let pds = &devnet.pds()[0];
    for number in 0..20 {
        client
            .put(&alice.did, &format!("key{number}"), "text")
            .await;
    }
    let mut all = Firehose::open(pds.ws_url(), Some(0)).await;
    let frames = all.take(24).await;
    assert_eq!(seqs(&frames), (1..=24).collect::<Vec<_>>());

    let mut later = Firehose::open(pds.ws_url(), Some(21)).await;
    assert_eq!(later.take(3).await, frames[21..]);

    let mut live = Firehose::open(pds.ws_url(), None).await;
    let mut at_the_end = Firehose::open(pds.ws_url(), Some(24)).await;
    client.put(&alice.did, "live", "text").await;
    let next = live.next().await;
    assert_eq!(seqs(std::slice::from_ref(&next)), [25]);
    for stream in [&mut all, &mut later, &mut at_the_end] {
        assert_eq!(stream.next().await, next);
    }
    assert_eq!(pds.last_seq(), 25);
}

#[tokio::test]
async fn a_replay_while_others_write_has_no_gap_and_no_duplicate() {
    let (devnet, alice, client) = alice().await;
    let pds = devnet.pds()[0].clone();
    let writing = tokio::spawn(async move {
        for number in 0..200 {
            client
                .put(&alice.did, &format!("key{number}"), "text")
                .await;
        }
    });
    for _ in 0..5 {
        let mut stream = Firehose::open(pds.ws_url(), Some(0)).await;
        let count = usize::try_from(pds.last_seq()).unwrap() + 10;
        let frames = stream.take(count).await;
        assert_eq!(
            seqs(&frames),
            (1..=i64::try_from(count).unwrap()).collect::<Vec<_>>()
        );
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn a_cursor_of_the_future_or_of_no_number_is_an_error_frame_and_close_code_1008() {
    let (devnet, _, _) = alice().await;
    let ws_url = devnet.pds()[0].ws_url();
    for (cursor, expected) in [
        ("5", "FutureCursor"),
        ("99999", "FutureCursor"),
        ("soon", "InvalidRequest"),
    ] {
        let url = format!("{ws_url}/xrpc/com.atproto.sync.subscribeRepos?cursor={cursor}");
        let mut stream = Firehose(connect_async(url).await.unwrap().0);
        let frame = stream.next().await;
        let Frame::Error(error) = decode(&frame).unwrap() else {
            panic!("not an error: {frame:?}");
        };
        assert_eq!(error.error, expected, "cursor {cursor}");
        let Some(Message::Close(Some(close))) = stream.message().await else {
            panic!("not closed");
        };
        assert_eq!(
            (close.code, close.reason.as_str()),
            (CloseCode::Policy, expected)
        );
        assert!(stream.message().await.is_none());
    }
}

#[tokio::test]
async fn a_cursor_before_the_window_gets_an_info_and_then_what_is_left() {
    let devnet = Devnet::builder()
        .backfill_window(Duration::ZERO)
        .account("alice")
        .start()
        .await
        .unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    let mut stream = Firehose::open(devnet.pds()[0].ws_url(), Some(0)).await;
    let frame = stream.next().await;
    let Frame::Info(info) = decode(&frame).unwrap() else {
        panic!("not an info: {frame:?}");
    };
    assert_eq!(info.name, "OutdatedCursor");
    client.put(&alice.did, "live", "text").await;
    assert_eq!(seqs(&[stream.next().await]), [5], "the stream goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_subscriber_that_takes_nothing_is_cut_off_and_one_that_reads_is_not() {
    let devnet = Devnet::builder()
        .max_subscription_lag(3)
        .account("alice")
        .start()
        .await
        .unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    let ws_url = devnet.pds()[0].ws_url();
    let mut slow = Firehose::open(ws_url, None).await;
    let mut fast = Firehose::open(ws_url, None).await;
    let reading = tokio::spawn(async move { seqs(&fast.take(60).await) });
    // More than the socket's buffers on both sides take.
    let text = "x".repeat(900_000);
    for number in 0..60 {
        client.put(&alice.did, &format!("key{number}"), &text).await;
    }
    assert_eq!(reading.await.unwrap(), (5..65).collect::<Vec<_>>());
    let mut taken = 0;
    let error = loop {
        let frame = slow.next().await;
        match decode(&frame).unwrap() {
            Frame::Error(error) => break error.error.to_owned(),
            _ => taken += 1,
        }
    };
    assert_eq!(error, "ConsumerTooSlow");
    assert!(taken < 60, "it was cut off before the end, after {taken}");
    assert!(matches!(
        slow.message().await,
        Some(Message::Close(_)) | None
    ));
}

#[tokio::test]
async fn a_ping_is_answered_and_a_close_too() {
    let (devnet, _, _) = alice().await;
    let mut stream = Firehose::open(devnet.pds()[0].ws_url(), None).await;
    stream
        .0
        .send(Message::Ping("still there?".into()))
        .await
        .unwrap();
    assert_eq!(
        stream.message().await,
        Some(Message::Pong("still there?".into()))
    );
    stream.0.close(None).await.unwrap();
    assert!(matches!(stream.0.next().await, Some(Ok(Message::Close(_)))));
    assert!(stream.0.next().await.is_none());
}

#[tokio::test]
async fn deactivation_activation_and_a_new_handle_are_told_in_the_reference_pdss_order() {
    let (devnet, alice, client) = alice().await;
    let mut stream = Firehose::open(devnet.pds()[0].ws_url(), None).await;
    client
        .post("identity.updateHandle", json!({ "handle": "alicia.test" }))
        .await
        .ok();
    client
        .post("server.deactivateAccount", json!({}))
        .await
        .ok();
    client.post_nothing("server.activateAccount").await.ok();
    let frames = stream.take(5).await;
    assert_eq!(
        kinds(&frames),
        ["Identity", "Account", "Account", "Identity", "Sync"]
    );
    let Frame::Identity(identity) = decode(&frames[0]).unwrap() else {
        panic!()
    };
    assert_eq!(identity.handle, Some("alicia.test"));
    let Frame::Account(account) = decode(&frames[1]).unwrap() else {
        panic!()
    };
    assert_eq!(
        (account.active, account.status),
        (false, Some("deactivated"))
    );
    let Frame::Account(account) = decode(&frames[2]).unwrap() else {
        panic!()
    };
    assert_eq!((account.active, account.status), (true, None));
    let Frame::Sync(sync) = decode(&frames[4]).unwrap() else {
        panic!()
    };
    let latest = client
        .get("sync.getLatestCommit", &[("did", alice.did.as_str())])
        .await
        .ok();
    assert_eq!(latest["rev"], sync.rev);
}

#[tokio::test]
async fn disconnect_cuts_every_stream_and_says_how_many() {
    let (devnet, alice, client) = alice().await;
    let pds = &devnet.pds()[0];
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Firehose::open(pds.ws_url(), Some(0)).await);
    }
    for stream in &mut streams {
        stream.take(4).await;
    }
    assert_eq!(pds.faults().disconnect(), 3);
    for stream in &mut streams {
        assert!(
            stream.message().await.is_none(),
            "no close frame: the connection is gone"
        );
    }
    client.put(&alice.did, "key", "text").await;
    let mut again = Firehose::open(pds.ws_url(), Some(4)).await;
    assert_eq!(seqs(&[again.next().await]), [5]);
    assert_eq!(pds.faults().counts().streams_cut, 3);
}

#[tokio::test]
async fn shutdown_gives_subscribers_what_is_logged_and_closes_with_going_away() {
    let (devnet, alice, client) = alice().await;
    let mut stream = Firehose::open(devnet.pds()[0].ws_url(), Some(0)).await;
    for number in 0..50 {
        client
            .put(&alice.did, &format!("key{number}"), "text")
            .await;
    }
    let reading = tokio::spawn(async move {
        let frames = stream.take(54).await;
        (seqs(&frames), stream.message().await)
    });
    devnet.shutdown().await;
    let (seqs, close) = reading.await.unwrap();
    assert_eq!(seqs, (1..=54).collect::<Vec<_>>());
    assert!(matches!(close, Some(Message::Close(Some(close))) if close.code == CloseCode::Away));
    assert!(
        client.http.get(&client.url).send().await.is_err(),
        "the port is closed"
    );
}

#[tokio::test]
async fn without_a_websocket_the_stream_is_not_a_method() {
    let (_devnet, _, client) = alice().await;
    let answer = client.get("sync.subscribeRepos", &[]).await;
    assert_eq!(answer.error(), (400, "InvalidRequest"));
}
