//! A PDS that is away: what is sent waits, and goes with the next command that sends.

use crate::desk::Desk;

#[test]
fn what_is_sent_while_the_pds_is_away_waits_and_is_delivered_by_the_next_command() {
    let mut desk = Desk::new();
    desk.send("before", &[]);
    assert_eq!(desk.budget()["limited"], false, "this PDS has no limits");
    desk.stop();
    let (first, said) = desk.send("first", &["--once", "first"]);
    assert_eq!(
        (&first["state"], &first["rev"]),
        (&"pending".into(), &serde_json::Value::Null)
    );
    assert!(first["cid"].is_string(), "its hash is known: {first}");
    assert!(
        said.contains("not written yet") && said.contains("no connection"),
        "{said}"
    );
    let report = desk.file("report.txt", b"build, green");
    let (second, _) = desk.send("second", &["--attach", &report]);
    assert_eq!(second["state"], "pending");
    std::fs::remove_file(report).expect("the store has its own copy");
    let waits = desk.fails(1, &["send", desk.me.did.as_str(), "third", "--wait"]);
    assert!(
        waits.contains("waits") && waits.contains("at://"),
        "{waits}"
    );

    let waiting = desk.outbox();
    let states: Vec<_> = waiting
        .iter()
        .map(|entry| entry["state"].as_str())
        .collect();
    assert_eq!(states, [Some("pending"); 3], "{waiting:?}");
    assert_eq!(
        (&waiting[0]["uri"], &waiting[1]["uri"]),
        (&first["uri"], &second["uri"])
    );
    assert!(
        waiting[0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("no connection")),
        "{waiting:?}"
    );
    assert!(waiting[0]["attempts"].as_u64() > Some(0), "{waiting:?}");
    let budget = desk.budget();
    assert_eq!(
        (&budget["waiting"], &budget["next_at"]),
        (&3.into(), &serde_json::Value::Null)
    );
    assert_eq!(budget["oldest"], waiting[0]["accepted_at"]);
    // Again with the same key: the same one, which still waits.
    assert_eq!(desk.send("first", &["--once", "first"]).0, first);
    assert_eq!(desk.outbox().len(), 3);

    desk.back();
    // What stood in its way does so no more: the same command again finds that out.
    let (receipt, _) = desk.send("first", &["--once", "first"]);
    assert_eq!(
        (&receipt["state"], &receipt["cid"]),
        (&"written".into(), &first["cid"])
    );
    let (after, _) = desk.send("after", &[]);
    assert_eq!(after["state"], "written");
    assert_eq!(
        desk.texts(),
        ["before", "first", "second", "third", "after"]
    );
    assert!(desk.outbox().is_empty(), "nothing waits any more");
    assert_eq!(desk.budget()["waiting"], 0);
    let (all, _) = desk.ok(&["outbox", "--all", "--json"]);
    assert!(
        all.iter().all(|entry| entry["state"] == "written"),
        "{all:?}"
    );
    assert_eq!(all.len(), 5, "{all:?}");
}

#[test]
fn the_outbox_is_sent_on_demand() {
    let mut desk = Desk::new();
    desk.stop();
    let (sent, _) = desk.send("waits", &[]);
    // As long as the PDS is away, flushing ends all the same, and shows what is left.
    let (left, _) = desk.ok(&["outbox", "--flush", "--json"]);
    assert_eq!((left.len(), &left[0]["uri"]), (1, &sent["uri"]));
    desk.back();
    let (left, said) = desk.ok(&["outbox", "--flush", "--json"]);
    assert!(left.is_empty(), "{left:?} {said}");
    assert_eq!(desk.texts(), ["waits"]);
}
