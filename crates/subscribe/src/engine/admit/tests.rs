//! Frames and times go in, and what is let in comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::{Message, Tid, Value, encode};
use atcomms_repo::{Curve, Repository, SigningKey, Write};

use super::super::{KeyAnswer, Output, Resyncs};
use super::*;
use crate::admission::Budget;
use crate::counters::Counters;
use crate::scope::{Scope, Who};
use crate::trust::{Continuity, Trust};

const SECOND: u64 = 1_000_000;
/// Somewhere in 2027; what is written then is no history.
const NOW: u64 = 1_800_000_000 * SECOND;
const TIME: &str = "2027-01-15T08:00:00.000Z";

#[derive(Clone)]
struct Author {
    did: Did,
    host: &'static str,
    key: SigningKey,
    repository: Repository,
    writes: u64,
}

impl Author {
    fn new(name: &str, host: &'static str) -> Self {
        let did: Did = format!("did:web:{name}.example").parse().unwrap();
        let key = SigningKey::generate(Curve::K256);
        let rev = Tid::from_parts(NOW - 60 * SECOND, 0);
        let (repository, _) = Repository::create(did.clone(), key.clone(), rev);
        Self {
            did,
            host,
            key,
            repository,
            writes: 0,
        }
    }

    /// The frame of a commit with so many messages.
    fn says(&mut self, messages: u64) -> Vec<u8> {
        let reader: Did = "did:web:reader.example".parse().unwrap();
        let message = encode(&Message::new(&self.did, reader, "hello")).unwrap();
        self.writes(messages, message.cbor)
    }

    /// The frame of a commit with one large record.
    fn says_much(&mut self) -> Vec<u8> {
        let text = Value::Text("a".repeat(900_000));
        self.writes(1, Value::Map([("text".to_owned(), text)].into()).to_cbor())
    }

    fn writes(&mut self, messages: u64, record: Vec<u8>) -> Vec<u8> {
        let writes: Vec<Write> = (0..messages)
            .map(|_| {
                self.writes += 1;
                Write::Create {
                    collection: "agent.comms.message".parse().unwrap(),
                    rkey: format!("m{}", self.writes).parse().unwrap(),
                    record: record.clone().into(),
                }
            })
            .collect();
        let rev = Tid::from_parts(NOW - 60 * SECOND + self.writes, 0);
        self.repository.apply(&writes, rev).unwrap().frame(1, TIME)
    }
}

struct Desk {
    engine: Engine,
    counters: Arc<Counters>,
    keys: BTreeMap<Did, (SigningKey, &'static str)>,
    lookups: usize,
}

impl Desk {
    fn new(who: Who, admission: Admission, authors: &[&Author]) -> Self {
        Self::scoped(Scope::new(who, vec![], vec![]), admission, authors)
    }

    fn scoped(scope: Scope, admission: Admission, authors: &[&Author]) -> Self {
        let counters = Arc::new(Counters::new());
        let resyncs = Resyncs {
            allowed: false,
            begins_live: None,
            began_live: None,
        };
        let scope = Arc::new(scope);
        let required = Trust::Verified;
        let mut engine = Engine::new(scope, admission, required, resyncs, counters.clone());
        engine.add_source("relay.example".into(), None);
        let keys = authors.iter().map(|author| {
            let known = (author.key.clone(), author.host);
            (author.did.clone(), known)
        });
        Self {
            engine,
            counters,
            keys: keys.collect(),
            lookups: 0,
        }
    }

    /// Takes a frame in, looks up what is asked for, and gives what is delivered.
    fn takes(&mut self, frame: Vec<u8>, now: u64) -> Vec<Continuity> {
        self.engine.frame(0, frame.into(), now);
        let mut delivered = Vec::new();
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Deliver(delivery) => delivered.push(delivery.continuity),
                Output::Resolve { did, .. } => {
                    self.lookups += 1;
                    // Who is not known there is still being looked up.
                    if let Some((key, host)) = self.keys.get(&did) {
                        let answer = KeyAnswer::Key(key.public(), (*host).into());
                        self.engine.resolved(&did, answer, now);
                    }
                }
                _ => {}
            }
        }
        delivered
    }

    /// The same, and nothing is left that the cursor would have to wait for.
    fn settles(&mut self, frame: Vec<u8>, now: u64) -> Vec<Continuity> {
        let delivered = self.takes(frame, now);
        assert_eq!(self.engine.first_unsettled(0), None, "the cursor moves on");
        delivered
    }

    fn rejected(&self) -> Vec<(&'static str, u64)> {
        self.counters.summary().rejected.into_iter().collect()
    }
}

fn a_minute(events: u64) -> Budget {
    Budget::new(events, Duration::from_secs(60))
}

#[test]
fn who_has_written_too_much_waits_and_the_others_do_not() {
    let mut flooder = Author::new("flooder", "one.example");
    let mut honest = Author::new("honest", "two.example");
    let admission = Admission::new().budget_per_author(a_minute(10));
    let mut desk = Desk::new(Who::Anyone, admission, &[&flooder, &honest]);
    let flood = (0..40).map(|_| desk.settles(flooder.says(1), NOW).len());
    assert_eq!(flood.sum::<usize>(), 10);
    assert_eq!(desk.settles(honest.says(1), NOW), [Continuity::Linked]);
    assert_eq!(desk.rejected(), [("over_budget_author", 30)]);
    let later = desk.settles(flooder.says(1), NOW + 30 * SECOND);
    assert_eq!(
        later,
        [Continuity::Linked],
        "what was refused moved no head, so that its absence shows"
    );
    assert_eq!(
        desk.settles(flooder.says(1), NOW + 30 * SECOND),
        [Continuity::Proven]
    );
    let refused = desk.counters.refused_most();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].who.to_string(), flooder.did.as_str());
    assert_eq!(refused[0].count, 30);
}

#[test]
fn what_comes_twice_or_was_forged_costs_nothing() {
    let mut author = Author::new("author", "one.example");
    let admission = Admission::new().budget_per_author(a_minute(3));
    let mut desk = Desk::new(Who::Anyone, admission, &[&author]);
    let first = author.says(1);
    assert_eq!(desk.settles(first.clone(), NOW).len(), 1);
    for _ in 0..10 {
        assert!(desk.settles(first.clone(), NOW).is_empty(), "it is known");
    }
    let mut forger = author.clone();
    forger
        .repository
        .rotate_key(SigningKey::generate(Curve::K256));
    for _ in 0..10 {
        let forged = forger.says(1);
        assert!(desk.settles(forged, NOW).is_empty(), "it is not signed");
    }
    assert_eq!(desk.rejected(), [("signature", 10)]);
    assert_eq!(desk.settles(author.says(1), NOW).len(), 1);
    assert_eq!(desk.settles(author.says(1), NOW).len(), 1);
    assert!(desk.settles(author.says(1), NOW).is_empty(), "that was all");
    assert!(desk.settles(first, NOW).is_empty());
    let counted = [("over_budget_author", 1), ("signature", 10)];
    assert_eq!(desk.rejected(), counted, "a duplicate is not refused");
    assert_eq!(desk.counters.summary().duplicates, 11);
}

#[test]
fn a_commit_costs_what_it_has_and_is_let_in_whole() {
    let mut author = Author::new("author", "one.example");
    let admission = Admission::new().budget_per_author(a_minute(10));
    let mut desk = Desk::new(Who::Anyone, admission, &[&author]);
    assert_eq!(desk.settles(author.says(8), NOW).len(), 8);
    assert_eq!(desk.settles(author.says(8), NOW).len(), 8, "two were left");
    assert!(desk.settles(author.says(8), NOW + 36 * SECOND).is_empty());
    assert_eq!(desk.settles(author.says(1), NOW + 42 * SECOND).len(), 1);
    assert_eq!(desk.rejected(), [("over_budget_author", 8)]);
}

#[test]
fn many_accounts_of_one_host_are_worth_no_more_than_one() {
    let mut accounts: Vec<Author> = (0..30)
        .map(|n| Author::new(&format!("n{n}"), "flood.example:8443"))
        .collect();
    let mut contact = Author::new("contact", "flood.example:8443");
    let mut honest = Author::new("honest", "two.example");
    let admission = Admission::new()
        .contacts([contact.did.clone()])
        .budget_per_author(a_minute(10))
        .budget_per_host(a_minute(20));
    let mut all: Vec<&Author> = accounts.iter().collect();
    all.extend([&contact, &honest]);
    let mut desk = Desk::new(Who::Anyone, admission, &all);
    let mut delivered = 0;
    for _ in 0..3 {
        for account in &mut accounts {
            delivered += desk.settles(account.says(1), NOW).len();
        }
    }
    assert_eq!(delivered, 20);
    assert_eq!(desk.rejected(), [("over_budget_host", 70)]);
    assert_eq!(desk.settles(honest.says(1), NOW).len(), 1);
    for _ in 0..30 {
        let taken = desk.settles(contact.says(1), NOW).len();
        assert_eq!(taken, 1, "a contact has no budget, wherever it is");
    }
    let refused = desk.counters.refused_most();
    assert_eq!(refused.len(), 1);
    assert_eq!(
        refused[0].who,
        crate::Origin::Host("flood.example:8443".into())
    );
}

#[test]
fn who_is_blocked_or_no_contact_costs_not_even_a_look_up() {
    let mut friend = Author::new("friend", "one.example");
    let mut stranger = Author::new("stranger", "one.example");
    let mut foe = Author::new("foe", "one.example");
    let authors = [&friend, &stranger, &foe];
    let admission = Admission::new()
        .contacts([friend.did.clone(), foe.did.clone()])
        .blocks([foe.did.clone()]);
    let mut desk = Desk::new(Who::Anyone, admission.clone(), &authors);
    let mut strict = Desk::new(Who::Anyone, admission.contacts_only(), &authors);
    for (author, open, closed) in [(&mut friend, 2, 2), (&mut stranger, 2, 0), (&mut foe, 0, 0)] {
        let frame = author.says(2);
        assert_eq!(
            desk.settles(frame.clone(), NOW).len(),
            open,
            "{}",
            author.did
        );
        assert_eq!(strict.settles(frame, NOW).len(), closed, "{}", author.did);
    }
    assert_eq!(desk.rejected(), [("blocked", 2)]);
    assert_eq!(strict.rejected(), [("blocked", 2), ("not_a_contact", 2)]);
    assert_eq!((desk.lookups, strict.lookups), (2, 1));
}

#[test]
fn who_is_followed_has_no_budget() {
    let mut peer = Author::new("peer", "one.example");
    let nothing = Admission::new()
        .contacts_only()
        .budget_per_author(a_minute(0))
        .budget_per_host(a_minute(0));
    let who = Who::AnyoneAnd([peer.did.clone()].into());
    let mut desk = Desk::new(who, nothing, &[&peer]);
    for _ in 0..20 {
        assert_eq!(desk.settles(peer.says(1), NOW).len(), 1);
    }
    assert!(desk.rejected().is_empty());
}

#[test]
fn without_a_budget_nobody_is_looked_up() {
    let mut stranger = Author::new("stranger", "one.example");
    let admission = Admission::new().budget_per_author(a_minute(0));
    let mut desk = Desk::new(Who::Anyone, admission, &[&stranger]);
    assert!(desk.settles(stranger.says(3), NOW).is_empty());
    assert_eq!(desk.rejected(), [("over_budget_author", 3)]);
    assert_eq!(desk.lookups, 0);
}

#[test]
fn one_stranger_does_not_take_the_room_of_the_others() {
    let mut flooder = Author::new("flooder", "one.example");
    let mut honest = Author::new("honest", "two.example");
    let mut desk = Desk::new(Who::Anyone, Admission::new(), &[]);
    for _ in 0..40 {
        assert!(desk.takes(flooder.says_much(), NOW).is_empty());
    }
    let lost = [("held_too_long", 36)];
    assert_eq!(desk.rejected(), lost, "some of its wait, and no more");
    desk.takes(honest.says(1), NOW);
    assert_eq!(desk.rejected(), lost, "there is room for another");
}

#[test]
fn what_is_left_out_is_verified_all_the_same_if_it_is_followed() {
    let mut own = Author::new("own", "one.example");
    let mut peer = Author::new("peer", "one.example");
    let who = Who::AnyoneAnd([own.did.clone()].into());
    let scope = Scope::new(who, vec![], vec![]).leave_out([own.did.clone()]);
    let mut desk = Desk::scoped(scope, Admission::new(), &[&own, &peer]);
    let frame = own.says(1);
    assert!(desk.settles(frame.clone(), NOW).is_empty());
    assert!(desk.settles(frame, NOW).is_empty());
    assert_eq!(desk.counters.summary().duplicates, 1, "it was verified");
    assert_eq!(desk.settles(peer.says(1), NOW).len(), 1);

    let scope = Scope::new(Who::Anyone, vec![], vec![]).leave_out([own.did.clone()]);
    let mut desk = Desk::scoped(scope, Admission::new(), &[]);
    assert!(desk.settles(own.says(1), NOW).is_empty());
    assert_eq!(desk.lookups, 0, "of a stranger, nothing is left to do");
}
