//! Raises what a Jetstream says to what is verified, by a proof of the record from its author's PDS.
//!
//! A proof is of the present: that the record is in the repository, or is not, at a signed commit which is as
//! new as the event or newer. An event that the proof does not confirm was superseded since, or never was. The
//! events of one repository are asked for one by one, in their order; those of others pass them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use atcomms_lexicon::{Did, Nsid, RecordKey, Value};
use atcomms_repo::frame::Action;

use super::hearsay::{Fate, Text, Word};
use super::held::{RETRY_AFTER, RETRY_AT_MOST};
use super::{Engine, Output};
use crate::proof::Proof;
use crate::trust::Trust;

/// Events of one repository that wait for their proofs: a busy agent's minute.
const WAITING_PER_REPOSITORY: usize = 256;
/// Events that wait for their proofs; with the question that each repository asks, a few kilobytes each.
const WAITING: usize = 8192;
/// What strangers may take of them, so that they cannot push out those that are followed.
const WAITING_OF_STRANGERS: usize = WAITING / 2;
/// How often a stranger's PDS is asked: with the waits between, half a minute.
const STRANGER_ATTEMPTS: u32 = 7;
/// How often the PDS of a followed repository is asked: ten minutes, as long as an update of a server takes.
const FOLLOWED_ATTEMPTS: u32 = 25;

/// What asking for a proof brought.
#[derive(Debug)]
pub(crate) enum ProofAnswer {
    /// The record is there, or is not.
    Proof(Box<Proof>),
    /// Nobody could say for now.
    Unavailable(String),
    /// There is no proof, and asking again will not help.
    None(String),
}

/// A question for a proof. There is one at a time for each repository.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) did: Did,
    pub(crate) collection: Nsid,
    pub(crate) rkey: RecordKey,
    /// Whether the repository is followed by name.
    pub(crate) followed: bool,
    /// Not to be asked before.
    pub(crate) after: Duration,
}

/// The events of one repository; the first one is asked for.
#[derive(Debug, Default)]
struct Queue {
    words: VecDeque<Word>,
    /// Questions in a row that nobody could answer.
    attempts: u32,
}

#[derive(Debug, Default)]
pub(super) struct Raising {
    queues: HashMap<Did, Queue>,
    waiting: usize,
}

impl Raising {
    /// Whether just this event waits already.
    pub(super) fn has(&self, word: &Word) -> bool {
        self.queues.get(&word.did).is_some_and(|queue| {
            let mut words = queue.words.iter();
            words.any(|other| {
                (other.rev, &other.collection, &other.rkey)
                    == (word.rev, &word.collection, &word.rkey)
            })
        })
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn first(&self, did: &Did) -> Option<&Word> {
        self.queues.get(did)?.words.front()
    }

    fn take_first(&mut self, did: &Did) -> Option<Word> {
        let word = self.queues.get_mut(did)?.words.pop_front()?;
        self.waiting -= 1;
        Some(word)
    }
}

impl Engine {
    /// Takes an event in whose proof is to be asked for.
    pub(super) fn raise(&mut self, word: Word) {
        let did = word.did.clone();
        let room = match self.scope.follows(did.as_str()) {
            true => WAITING,
            false => WAITING_OF_STRANGERS,
        };
        let ahead = self.raising.queues.get(&did);
        let ahead = ahead.map_or(0, |queue| queue.words.len());
        if ahead >= WAITING_PER_REPOSITORY || self.raising.waiting >= room {
            self.counters.rejected("held_too_long");
            // Said, for no cursor comes back to it.
            tracing::warn!(%did, "an event is lost: too many wait for their proofs");
            self.settle(&word);
            return;
        }
        let queue = self.raising.queues.entry(did.clone()).or_default();
        queue.words.push_back(word);
        self.raising.waiting += 1;
        if ahead == 0 {
            self.ask_for_proof(&did, Duration::ZERO);
        }
    }

    /// Takes in the answer to an [`Output::Prove`].
    pub(crate) fn proven(&mut self, did: &Did, answer: ProofAnswer) {
        let followed = self.scope.follows(did.as_str());
        let Some(queue) = self.raising.queues.get_mut(did) else {
            return;
        };
        let Some(first) = queue.words.front() else {
            return;
        };
        let answer = match answer {
            ProofAnswer::Proof(proof) if proof.rev < first.rev => {
                ProofAnswer::Unavailable(format!(
                    "its PDS is at rev {} and not yet at {}",
                    proof.rev, first.rev
                ))
            }
            answer => answer,
        };
        let most = match followed {
            true => FOLLOWED_ATTEMPTS,
            false => STRANGER_ATTEMPTS,
        };
        let proof = match answer {
            ProofAnswer::Unavailable(why) if queue.attempts.saturating_add(1) < most => {
                // Said once, not at every try.
                if queue.attempts == 0 {
                    tracing::warn!(%did, "an event waits for its proof: {why}");
                }
                let doublings = queue.attempts.min(16);
                queue.attempts += 1;
                let after = RETRY_AT_MOST.min(RETRY_AFTER * 2u32.saturating_pow(doublings));
                self.ask_for_proof(did, after);
                return;
            }
            // The next one is tried once: what is down for so long is not waited for at each event.
            ProofAnswer::Unavailable(why) => Err(why),
            ProofAnswer::None(why) => {
                queue.attempts = 0;
                Err(why)
            }
            ProofAnswer::Proof(proof) => {
                queue.attempts = 0;
                Ok(proof)
            }
        };
        if let Some(word) = self.raising.take_first(did) {
            match proof {
                Ok(proof) => {
                    if self.weigh(&word, *proof) {
                        self.settle_proven(&word);
                    } else {
                        self.settle(&word);
                    }
                }
                Err(why) => {
                    match followed {
                        true => {
                            tracing::warn!(%did, path = word.path(), "an event is not proven: {why}")
                        }
                        false => {
                            tracing::debug!(%did, path = word.path(), "an event is not proven: {why}")
                        }
                    }
                    self.counters.rejected("unproven");
                    self.settle(&word);
                }
            }
        }
        self.ask_for_proof(did, Duration::ZERO);
    }

    /// Asks for the proof of a repository's first event; one that meanwhile came otherwise needs none.
    fn ask_for_proof(&mut self, did: &Did, after: Duration) {
        while let Some(first) = self.raising.first(did).cloned() {
            if !self.is_known(&first) {
                self.questions.push_back(Output::Prove(Question {
                    did: did.clone(),
                    collection: first.collection,
                    rkey: first.rkey,
                    followed: self.scope.follows(did.as_str()),
                    after,
                }));
                return;
            }
            self.counters.duplicates(1);
            self.raising.take_first(did);
            self.settle(&first);
        }
        self.raising.queues.remove(did);
    }

    /// Holds an event against a proof; false if it is not confirmed, or not new.
    fn weigh(&mut self, word: &Word, proof: Proof) -> bool {
        if self.is_known(word) {
            self.counters.duplicates(1);
            return false;
        }
        let bytes = match (word.action, proof.record) {
            (Action::Delete, None) => None,
            (Action::Create | Action::Update, Some((cid, bytes))) if word.cid == Some(cid) => {
                Some(bytes)
            }
            _ => {
                tracing::debug!(did = %word.did, path = word.path(), "an event was superseded");
                self.counters.rejected("superseded");
                self.note(word, Fate::Dropped);
                return false;
            }
        };
        let map = match bytes.as_deref().map(Value::from_cbor) {
            None => Ok(None),
            Some(Ok(Value::Map(map))) => Ok(Some(map)),
            Some(Ok(_)) => Err("a record must be a map".to_owned()),
            Some(Err(error)) => Err(error.to_string()),
        };
        let text = Text { map, bytes };
        self.tell(word, text, Trust::Verified, Some(proof.commit));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use atcomms_lexicon::{Cid, Tid, cid_for_cbor};
    use serde_json::json;

    use super::*;
    use crate::admission::Admission;
    use crate::counters::Counters;
    use crate::engine::Resyncs;
    use crate::scope::{Scope, Who};

    const NOW: u64 = 1_725_911_162_000_000;
    const ALICE: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    const BOB: &str = "did:plc:44ybard66vv44zksje25o7dz";

    fn engine() -> Engine {
        let scope = Scope::new(Who::Anyone, Vec::new(), Vec::new());
        let resyncs = Resyncs {
            allowed: false,
            begins_live: None,
            began_live: None,
        };
        let (scope, counters) = (Arc::new(scope), Arc::new(Counters::new()));
        let admission = Admission::default();
        let mut engine = Engine::new(scope, admission, Trust::Verified, resyncs, counters);
        engine.add_source("ws://localhost/subscribe".into(), None);
        engine
    }

    fn rev(n: u64) -> Tid {
        Tid::from_parts(NOW - 1_000_000 + n, 0)
    }

    /// The record that is there after the n-th commit.
    fn record(n: u64) -> Vec<u8> {
        Value::from_json(json!({ "n": n })).unwrap().to_cbor()
    }

    fn cid(n: u64) -> Cid {
        cid_for_cbor(&record(n))
    }

    /// Somebody's n-th commit, with one operation.
    fn hear(engine: &mut Engine, did: &str, n: u64, rkey: &str, time: i64) {
        let event = json!({
            "did": did, "time_us": time, "kind": "commit", "commit": {
                "rev": rev(n).to_string(), "operation": "create", "collection": "agent.comms.note",
                "rkey": rkey, "record": { "n": n }, "cid": cid(n).to_string(),
            },
        });
        assert_eq!(
            engine.word(0, event.to_string().as_bytes(), NOW),
            Some(time)
        );
    }

    fn proof(n: u64) -> ProofAnswer {
        ProofAnswer::Proof(Box::new(Proof {
            rev: rev(n),
            commit: cid_for_cbor(b"commit"),
            record: Some((cid(n), record(n).into())),
        }))
    }

    fn answer(engine: &mut Engine, did: &str, answer: ProofAnswer) {
        engine.proven(&did.parse().unwrap(), answer);
    }

    /// What the engine asks and delivers, in a word each.
    fn outputs(engine: &mut Engine) -> Vec<String> {
        let mut outputs = Vec::new();
        while let Some(output) = engine.poll() {
            outputs.push(match output {
                Output::Prove(question) => format!("prove {} {:?}", question.rkey, question.after),
                Output::Deliver(delivery) => format!("deliver {}", delivery.rkey),
                Output::Settled { seq, .. } => format!("settled {seq}"),
                other => panic!("{other:?}"),
            });
        }
        outputs
    }

    #[test]
    fn one_repositorys_events_keep_their_order_and_no_cursor_passes_them() {
        let mut engine = engine();
        hear(&mut engine, ALICE, 1, "one", 7);
        hear(&mut engine, ALICE, 2, "two", 7);
        hear(&mut engine, BOB, 1, "his", 7);
        assert_eq!(outputs(&mut engine), ["prove one 0ns", "prove his 0ns"]);
        answer(&mut engine, BOB, proof(1));
        assert_eq!(outputs(&mut engine), ["deliver his", "settled 7"]);
        assert_eq!(
            engine.first_unsettled(0),
            Some(7),
            "hers of the same time wait"
        );
        answer(&mut engine, ALICE, proof(1));
        assert_eq!(
            outputs(&mut engine),
            ["prove two 0ns", "deliver one", "settled 7"]
        );
        assert_eq!(engine.first_unsettled(0), Some(7));
        answer(&mut engine, ALICE, proof(2));
        assert_eq!(outputs(&mut engine), ["deliver two", "settled 7"]);
        assert_eq!(engine.first_unsettled(0), None);
        assert!(engine.raising.queues.is_empty());
    }

    #[test]
    fn what_comes_again_while_it_waits_is_a_duplicate() {
        let mut engine = engine();
        hear(&mut engine, ALICE, 1, "one", 7);
        hear(&mut engine, ALICE, 1, "one", 7);
        assert_eq!(outputs(&mut engine), ["prove one 0ns"]);
        assert_eq!(engine.first_unsettled(0), Some(7), "the first still waits");
        answer(&mut engine, ALICE, proof(1));
        assert_eq!(outputs(&mut engine), ["deliver one", "settled 7"]);
        hear(&mut engine, ALICE, 1, "one", 7);
        assert_eq!(outputs(&mut engine), [""; 0]);
        assert_eq!(engine.counters.summary().duplicates, 2);
        hear(&mut engine, ALICE, 1, "of-the-same-commit", 8);
        assert_eq!(outputs(&mut engine), ["prove of-the-same-commit 0ns"]);
    }

    #[test]
    fn nobody_is_asked_for_ever_and_what_is_down_is_not_waited_for_again() {
        let mut engine = engine();
        let down = || ProofAnswer::Unavailable("it is down".to_owned());
        hear(&mut engine, ALICE, 1, "one", 7);
        hear(&mut engine, ALICE, 2, "two", 8);
        let mut waits = Vec::new();
        loop {
            let outputs = outputs(&mut engine);
            if outputs.contains(&"settled 7".to_owned()) {
                assert_eq!(outputs, ["prove two 0ns", "settled 7"]);
                break;
            }
            waits.extend(outputs);
            answer(&mut engine, ALICE, down());
        }
        let expected = [
            "prove one 0ns",
            "prove one 500ms",
            "prove one 1s",
            "prove one 2s",
            "prove one 4s",
            "prove one 8s",
            "prove one 16s",
        ];
        assert_eq!(waits, expected);
        answer(&mut engine, ALICE, down());
        assert_eq!(outputs(&mut engine), ["settled 8"], "tried once");
        let rejected = engine.counters.summary().rejected;
        assert_eq!(rejected.get("unproven"), Some(&2), "{rejected:?}");
    }

    #[test]
    fn a_proof_that_is_older_than_the_event_says_nothing_yet() {
        let mut engine = engine();
        hear(&mut engine, ALICE, 2, "two", 7);
        answer(&mut engine, ALICE, proof(1));
        assert_eq!(outputs(&mut engine), ["prove two 0ns", "prove two 500ms"]);
        answer(&mut engine, ALICE, proof(3));
        assert_eq!(outputs(&mut engine), ["settled 7"]);
        let rejected = engine.counters.summary().rejected;
        assert_eq!(rejected.get("superseded"), Some(&1), "{rejected:?}");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut engine = engine();
        let over = WAITING_PER_REPOSITORY as u64 + 10;
        for n in 0..over {
            hear(&mut engine, ALICE, n, &format!("m{n}"), 7);
        }
        assert_eq!(engine.raising.waiting(), WAITING_PER_REPOSITORY);
        for n in 0..WAITING_OF_STRANGERS {
            hear(&mut engine, &format!("did:web:n{n}.example"), 1, "x", 7);
        }
        assert_eq!(engine.raising.waiting(), WAITING_OF_STRANGERS);
        assert!(engine.raising.queues.len() <= WAITING_OF_STRANGERS);
        let rejected = engine.counters.summary().rejected;
        assert_eq!(
            rejected.get("held_too_long"),
            Some(&(10 + WAITING_PER_REPOSITORY as u64))
        );
        engine.give_up(NOW);
        let rejected = engine.counters.summary().rejected;
        assert_eq!(
            rejected.get("unproven"),
            Some(&(WAITING_OF_STRANGERS as u64))
        );
    }
}
