//! What has expired is taken out of the repository, and nothing else.

use atcomms::lexicon::{Broadcast, Datetime, Message};
use atcomms::publish::{Publisher, Session};

use crate::desk::Desk;

const MINUTE: i64 = 60_000;

#[test]
fn what_has_expired_is_deleted_and_nothing_else() {
    let desk = Desk::new();
    let me = desk.me.clone();
    let now = Datetime::now().unix_millis();
    let at = |minutes: i64| Datetime::from_unix_millis(now + minutes * MINUTE);
    desk.block_on(async {
        let pds = me.pds.parse().expect("a URL");
        let session = Session::login(pds, me.did.as_str(), me.password.clone().into()).await;
        let publisher = Publisher::temporary(session.expect("a session")).expect("a store");
        let message = |text: &str| Message::new(me.did.clone(), me.did.clone(), text);
        for (text, expires_at) in [
            ("an hour ago", Some(at(-60))),
            ("six minutes ago", Some(at(-6))),
            ("just now: clocks differ", Some(at(-2))),
            ("in an hour", Some(at(60))),
            ("never", None),
        ] {
            let mut message = message(text);
            message.expires_at = expires_at;
            publisher.publish(message).await.expect("a message");
        }
        let broadcast = Broadcast::new(me.did.clone(), "old news").created_at(at(-60));
        let broadcast = broadcast.ttl_seconds(60);
        publisher.publish(broadcast).await.expect("a broadcast");
    });
    assert_eq!(desk.texts().len(), 5);

    let (pruned, _) = desk.ok(&["prune", "--json"]);
    assert_eq!(
        (
            &pruned[0]["expired"],
            &pruned[0]["deleted"],
            &pruned[0]["forgotten"]
        ),
        (&3.into(), &3.into(), &0.into()),
        "{pruned:?}"
    );
    let mut left = desk.texts();
    left.sort();
    assert_eq!(left, ["in an hour", "just now: clocks differ", "never"]);
    let (again, said) = desk.ok(&["prune", "--json"]);
    assert_eq!((&again[0]["expired"], said.as_str()), (&0.into(), ""));
    assert!(desk.outbox().is_empty());
}
