//! `atcomms watch --jetstream`: proven by default, and on its word for who asks for that.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use atcomms::Agent;
use atcomms_devnet::Devnet;
use serde_json::{Value, json};

use support::{atcomms, lines, run, said};

#[tokio::test(flavor = "multi_thread")]
async fn a_jetstream_is_watched() {
    let net = Devnet::builder()
        .account("alice")
        .start()
        .await
        .expect("a network");
    let account = net.accounts().remove(0);
    let builder = Agent::builder().plc(net.plc_url().parse().expect("a URL"));
    let builder = builder.pds(account.pds.parse().expect("a URL"));
    let alice = builder.login(account.handle, account.password.into()).await;
    let alice = alice.expect("she is logged in");
    let sent = alice.send(alice.did().clone(), "The build is green.").await;
    let sent = sent.expect("it is sent");

    let folder = tempfile::tempdir().expect("a folder");
    let (jetstream, plc) = (net.jetstream().url(), net.plc_url());
    let watch = [
        "watch",
        "--jetstream",
        jetstream,
        "--from",
        "start",
        "--idle",
        "1s",
        "--json",
    ];
    let ran = |words: &[&str]| {
        let mut command = atcomms(&folder.path().join("store.sqlite3"), plc);
        tokio::task::block_in_place(|| run(&mut command, words, ""))
    };
    for trust in ["verified", "relayed", "jetstream"] {
        for durable in [false, true] {
            let more = match durable {
                true => vec!["--trust", trust, "--durable", trust],
                false => vec!["--trust", trust],
            };
            let output = ran(&[&watch[..], &more].concat());
            assert!(output.status.success(), "{}", said(&output));
            let printed = lines(&output.stdout);
            assert_eq!(printed.len(), 1, "{printed:?}");
            let line = &printed[0];
            // Not to be had on a relay's word: it is proven.
            let expected = if trust == "jetstream" {
                "jetstream"
            } else {
                "verified"
            };
            assert_eq!(line["trust"], expected);
            assert_eq!(line["commit"] == Value::Null, trust == "jetstream");
            assert_eq!(line["uri"], json!(sent.uri));
            assert_eq!(
                line["source"],
                format!("{}/subscribe", net.jetstream().ws_url())
            );
            assert_eq!(line["record"]["content"]["text"], "The build is green.");
        }
    }

    let path = format!("{jetstream}/subscribe");
    let file = folder.path().join("stream.bin");
    let file = file.to_str().expect("a path");
    for words in [
        &["watch", "--jetstream", &path][..],
        &["watch", "--source", &path],
        &["record", file, "--source", &path],
    ] {
        let output = ran(words);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("Jetstream"), "{}", said(&output));
    }
    assert!(!std::path::Path::new(file).exists());
}
