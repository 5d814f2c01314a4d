//! `atcomms doctor`: everything is fine, or it says what is not and what to do.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::desk::Desk;
use crate::support::{atcomms, lines, run, said};

/// The checks by their names.
fn checks(printed: Vec<Value>) -> BTreeMap<String, Value> {
    let name = |check: &Value| check["check"].as_str().expect("a name").to_owned();
    printed
        .into_iter()
        .map(|check| (name(&check), check))
        .collect()
}

const ALL: [&str; 9] = [
    "budget",
    "clock",
    "identity",
    "login",
    "null-swap",
    "outbox",
    "session",
    "store",
    "stream",
];

fn all_is_well(checks: &BTreeMap<String, Value>) {
    let names: Vec<&str> = checks.keys().map(String::as_str).collect();
    assert_eq!(names, ALL);
    for (name, check) in checks {
        assert_eq!(check["state"], "ok", "{name}: {check}");
        assert!(check["remedy"].is_null(), "{check}");
    }
    let null_swap = checks["null-swap"]["found"].as_str();
    assert!(
        null_swap.is_some_and(|found| found.contains("honours")),
        "{null_swap:?}"
    );
}

#[test]
fn all_is_well_on_the_devnet() {
    let desk = Desk::new();
    all_is_well(&checks(desk.ok(&["doctor", "--json"]).0));
    assert!(desk.texts().is_empty(), "what it writes it deletes");
    assert!(desk.outbox().is_empty());
}

#[test]
fn a_relay_has_the_newest_commit_or_does_not_know_the_account() {
    let desk = Desk::new();
    let head = |relay: &str| {
        let printed = desk.ok(&["doctor", "--json", "--source", relay]).0;
        checks(printed).remove("head").expect("it is looked at")
    };
    let good = head(desk.relay());
    assert_eq!(good["state"], "ok", "{good}");
    let elsewhere = Desk::new();
    let unknown = head(elsewhere.relay());
    assert_eq!(unknown["state"], "mind", "{unknown}");
    let remedy = unknown["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("requestCrawl"), "{remedy}");
}

#[test]
fn what_is_wrong_has_a_remedy() {
    let mut desk = Desk::new();
    desk.stop();
    desk.send("waits", &[]);
    let output = desk.run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let checks = checks(lines(&output.stdout));
    assert_eq!(checks["store"]["state"], "ok");
    assert_eq!(checks["session"]["state"], "bad");
    let remedy = checks["session"]["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("log in again"), "{remedy}");
    let waiting = checks["outbox"]["found"].as_str();
    assert!(
        waiting.is_some_and(|found| found.contains("1 to write")),
        "{waiting:?}"
    );
    assert!(!checks.contains_key("null-swap"), "nobody was there to ask");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
async fn all_is_well_on_the_reference_pds() {
    use atcomms_reference_pds::{Options, ReferencePds};
    let pds = ReferencePds::start(Options::default()).await;
    let pds = pds.expect("the reference PDS starts");
    let alice = pds.create_account("alice").await.expect("an account");
    let folder = tempfile::tempdir().expect("a folder");
    let url = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    let (plc, pds_url) = (url(pds.plc_url()), url(pds.url()));
    let doctored = tokio::task::spawn_blocking(move || {
        let command = || atcomms(&folder.path().join("store.sqlite3"), &plc);
        let login = ["login", &alice.handle, "--pds", &pds_url];
        let login = run(&mut command(), &login, &alice.password);
        assert!(login.status.success(), "{}", said(&login));
        run(&mut command(), &["doctor", "--json"], "")
    });
    let doctored = doctored.await.expect("it ran");
    assert!(doctored.status.success(), "{}", said(&doctored));
    all_is_well(&checks(lines(&doctored.stdout)));
}
