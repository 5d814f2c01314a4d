//! The same key again is the same message, whatever killed the command before.

use std::os::unix::process::ExitStatusExt;

use crate::desk::Desk;
use crate::support::{run, said};

/// Where `send` dies, and whether the message was accepted by then.
const POINTS: [(&str, bool); 9] = [
    ("accept.before_commit", false),
    ("accept.after_commit", true),
    ("sent.before_commit", true),
    ("sent.after_commit", true),
    ("write.before", true),
    ("write.after", true),
    ("server.before_commit", true),
    ("settle.before_commit", true),
    ("settle.after_commit", true),
];

const SIGKILL: i32 = 9;

#[test]
fn a_message_is_sent_once_wherever_the_command_was_killed() {
    // What is told of the server is told once: its point needs a store of its own.
    for (point, accepted) in POINTS {
        let desk = Desk::new();
        let words = [
            "send",
            desk.me.did.as_str(),
            "once",
            "--once",
            "key",
            "--json",
        ];
        let mut command = desk.command();
        command.env("ATCOMMS_CRASH", format!("{point}:1"));
        let killed = run(&mut command, &words, "");
        let (status, said) = (killed.status, said(&killed));
        assert_eq!(status.signal(), Some(SIGKILL), "{point}: {status}: {said}");
        let printed = String::from_utf8_lossy(&killed.stdout);
        assert_eq!(printed, "", "{point}: it printed a receipt");
        let (all, _) = desk.ok(&["outbox", "--all", "--json"]);
        assert_eq!(all.len(), usize::from(accepted), "{point}: {all:?}");

        let (receipt, _) = desk.send("once", &["--once", "key"]);
        assert_eq!(receipt["state"], "written", "{point}: {receipt}");
        if accepted {
            assert_eq!(receipt["uri"], all[0]["uri"], "{point}: the same one");
        }
        let (again, _) = desk.send("once, and differently", &["--once", "key"]);
        assert_eq!(
            (&again["uri"], &again["cid"]),
            (&receipt["uri"], &receipt["cid"]),
            "{point}: the first one's receipt"
        );
        let messages = desk.messages();
        let [(uri, cid, text)] = messages.as_slice() else {
            panic!("{point}: one message, not {messages:?}");
        };
        assert_eq!(text, "once", "{point}");
        assert_eq!(
            (&receipt["uri"], &receipt["cid"]),
            (&(*uri).clone().into(), &(*cid).clone().into())
        );
        assert!(desk.outbox().is_empty(), "{point}: nothing waits");
    }
}

#[test]
fn a_key_of_one_thing_is_not_that_of_another() {
    let desk = Desk::new();
    desk.send("one", &["--once", "key"]);
    let said = desk.fails(2, &["broadcast", "another", "--once", "key"]);
    assert!(said.contains("\"key\"") && said.contains("at://"), "{said}");
    let said = desk.fails(2, &["send", desk.me.did.as_str(), "x", "--once", ""]);
    assert!(said.contains("between 1 and 512 bytes"), "{said}");
    assert_eq!(desk.texts(), ["one"]);
}
