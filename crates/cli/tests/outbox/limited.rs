//! Rate limits: what they do not allow waits, and the command line says until when.

use std::time::Duration;

use atcomms_devnet::{Limit, RateLimits};

use crate::desk::Desk;

#[test]
fn what_the_limits_do_not_allow_waits_and_says_until_when() {
    // Two lone messages.
    let hour = Limit::new(4, Duration::from_secs(3_600));
    let desk = Desk::limited(Some(RateLimits::default().hour(hour)));
    assert_eq!(
        desk.budget()["limited"],
        serde_json::Value::Null,
        "not asked yet"
    );
    desk.send("one", &[]);
    desk.send("two", &[]);
    let (third, said) = desk.send("three", &[]);
    assert_eq!(third["state"], "pending");
    assert!(said.contains("rate limit"), "{said}");
    assert_eq!(desk.texts(), ["one", "two"]);

    let budget = desk.budget();
    assert_eq!(
        (&budget["limited"], &budget["waiting"]),
        (&true.into(), &1.into())
    );
    let limits = budget["limits"].as_array().expect("limits");
    let hour = limits.iter().find(|limit| limit["size"] == 4);
    let hour = hour.expect("the PDS has told of it");
    assert_eq!(
        (&hour["used"], &hour["left"], &hour["told"]),
        (&4.into(), &0.into(), &true.into())
    );
    assert!(budget["next_at"].is_string());
    assert_eq!(budget["next_at"], hour["resets_at"], "{budget}");
    let next_at = budget["next_at"].as_str().expect("a time");
    let output = desk.run(&["budget"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        told.contains("4 of 4 points of writes") && told.contains(next_at),
        "{told}"
    );

    // It was never sent: it can be given up, and then nothing waits.
    let uri = third["uri"].as_str().expect("a URI");
    let (left, _) = desk.ok(&["outbox", "--drop", uri, "--json"]);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(desk.budget()["waiting"], 0);
    assert_eq!(desk.texts(), ["one", "two"]);
}
