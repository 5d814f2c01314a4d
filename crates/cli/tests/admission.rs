//! `atcomms watch` lets in whom its words let in, and says of whom it refused how much.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use atcomms::Agent;
use atcomms_devnet::Devnet;
use serde_json::{Value, json};

use support::{atcomms, lines, run, said};

/// How many messages each writes.
const MESSAGES: usize = 6;

struct Network {
    devnet: Devnet,
    /// By handle.
    dids: BTreeMap<String, String>,
}

impl Network {
    /// Three who have written.
    async fn new() -> Self {
        let names = ["alice", "bob", "carol"];
        let builder = names
            .iter()
            .fold(Devnet::builder(), |builder, name| builder.account(*name));
        let devnet = builder.start().await.expect("the devnet starts");
        let mut dids = BTreeMap::new();
        for account in devnet.accounts() {
            let agent = Agent::builder()
                .plc(devnet.plc_url().parse().expect("a URL"))
                .pds(account.pds.parse().expect("a URL"))
                .login(account.handle.clone(), account.password.into())
                .await
                .expect("a login");
            for n in 0..MESSAGES {
                let text = format!("{n}");
                let sent = agent.send(agent.did().clone(), text).await;
                sent.expect("a message is written");
            }
            dids.insert(account.handle.to_string(), account.did.to_string());
        }
        Self { devnet, dids }
    }

    /// Watches all of it, with these words more; gives how many were printed of each, and what was said.
    async fn watch(&self, words: &[&str]) -> (BTreeMap<String, usize>, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = atcomms(&folder.path().join("store.sqlite3"), self.devnet.plc_url());
        let source = self.devnet.pds()[0].ws_url();
        let mut all = vec![
            "watch", "--from", "start", "--idle", "1s", "--source", source,
        ];
        all.extend(words);
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let output = tokio::task::spawn_blocking(move || {
            let words: Vec<&str> = all.iter().map(String::as_str).collect();
            run(&mut command, &words, "")
        });
        let output = output.await.expect("it runs");
        assert!(output.status.success(), "{}", said(&output));
        let mut printed = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let name = self.dids.iter().find(|(_, did)| line.contains(*did));
            let (name, _) = name.expect("a line names its author");
            *printed.entry(name.clone()).or_default() += 1;
        }
        (printed, said(&output))
    }
}

fn counts(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let counts = of.iter().map(|(name, count)| ((*name).to_owned(), *count));
    counts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_blocks_and_budgets_say_who_is_let_in() {
    let network = Network::new().await;
    let (printed, said) = network
        .watch(&[
            "--block",
            "bob.test",
            "--contact",
            "carol.test",
            "--author-budget",
            "4/1h",
        ])
        .await;
    assert_eq!(
        printed,
        counts(&[("alice.test", 4), ("carol.test", MESSAGES)])
    );
    let bob = format!(
        "refused of {}: 6 for blocked, since 2",
        network.dids["bob.test"]
    );
    let alice = &network.dids["alice.test"];
    let alice = format!("refused of {alice}: 2 for over_budget_author, since 2");
    assert!(said.contains(&bob) && said.contains(&alice), "{said}");

    let (printed, said) = network.watch(&["--leave-out", "bob.test"]).await;
    let two = [("alice.test", MESSAGES), ("carol.test", MESSAGES)];
    assert_eq!(printed, counts(&two));
    assert!(!said.contains("refused"), "{said}");

    let (printed, said) = network.watch(&["--host-budget", "7/1h"]).await;
    assert_eq!(printed.values().sum::<usize>(), 7);
    let host = network.devnet.pds()[0].url().replace("http://", "");
    let refused = format!("refused of host {host}: 11 for over_budget_host");
    assert!(said.contains(&refused), "{refused}: {said}");

    let strict = ["--contact", "carol.test", "--only-contacts", "--json"];
    let (printed, said) = network.watch(&strict).await;
    assert_eq!(printed, counts(&[("carol.test", MESSAGES)]));
    let last = said.lines().last().unwrap_or_default();
    let summary: Value = lines(last.as_bytes()).remove(0);
    let others = 2 * MESSAGES;
    assert_eq!(summary["rejected"], json!({ "not_a_contact": others }));
    let fields = summary.as_object().expect("an object").keys();
    assert_eq!(fields.count(), 6, "the summary is as it is documented");
}

#[test]
fn words_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for words in [
        &["watch", "--only-contacts"][..],
        &["watch", "--peer", "a.test", "--contact", "b.test"],
        &["watch", "--author-budget", "100"],
    ] {
        let store = folder.path().join("store.sqlite3");
        let output = run(&mut atcomms(&store, "http://localhost:1"), words, "");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}
