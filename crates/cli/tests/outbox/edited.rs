//! The outbox as a person edits it.

use crate::desk::Desk;

/// More than the PDS takes, which it tells when it is asked.
const LARGE: usize = 6 << 20;

#[test]
fn what_has_failed_is_shown_sent_again_and_given_up() {
    let desk = Desk::new();
    let large = desk.file("large.bin", &vec![7; LARGE]);
    let send = ["send", desk.me.did.as_str(), "too much", "--attach", &large];
    let said = desk.fails(2, &send);
    assert!(said.contains("bytes"), "{said}");
    let failed = desk.outbox();
    assert_eq!((failed.len(), &failed[0]["state"]), (1, &"failed".into()));
    let reason = failed[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("6291456 bytes"), "{reason}");
    // The limit is known now: the same is refused before it is kept.
    desk.fails(2, &send);
    assert_eq!(desk.outbox(), failed, "nothing was added");

    let uri = failed[0]["uri"].as_str().expect("a URI");
    let (again, _) = desk.ok(&["outbox", "--retry", uri, "--json"]);
    assert_eq!(again[0]["state"], "pending", "{again:?}");
    let (again, _) = desk.ok(&["outbox", "--flush", "--json"]);
    assert_eq!(again[0]["state"], "failed", "{again:?}");
    let (left, _) = desk.ok(&["outbox", "--drop", uri, "--json"]);
    assert!(left.is_empty(), "{left:?}");
    assert!(desk.texts().is_empty(), "it was never written");
    let blobs = desk.state().with_file_name("store.sqlite3-blobs");
    let files = std::fs::read_dir(blobs).expect("a folder").count();
    assert_eq!(files, 0, "its attachment is gone too");
}

#[test]
fn what_is_not_in_the_outbox_is_not_edited() {
    let desk = Desk::new();
    let (sent, _) = desk.send("written", &[]);
    let uri = sent["uri"].as_str().expect("a URI");
    for edit in ["--retry", "--drop"] {
        let said = desk.fails(2, &["outbox", edit, uri]);
        assert!(
            said.contains(uri) && said.contains("outbox --all"),
            "{said}"
        );
        desk.fails(2, &["outbox", edit, "not a URI"]);
        desk.fails(2, &["outbox", edit]);
    }
    for wrong in [
        ["send", "--priority", "9", desk.me.did.as_str(), "x"].as_slice(),
        &["outbox", "--frobnicate"],
        &["budget", "everything"],
        &["prune", "--older", "1h"],
        &["doctor", "--heal"],
    ] {
        desk.fails(2, wrong);
    }
    assert_eq!(desk.texts(), ["written"]);
}

#[test]
fn nobody_who_is_not_logged_in_has_an_outbox() {
    let desk = Desk::new();
    std::fs::remove_file(desk.state()).expect("the store");
    for words in [["outbox"], ["budget"], ["prune"], ["doctor"]] {
        let output = desk.run(&words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8_lossy(&all).into_owned();
        assert!(all.contains("atcomms login"), "{words:?}: {all}");
    }
}
