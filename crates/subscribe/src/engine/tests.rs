//! What went wrong once. The rest is in the simulation.

use atcomms_repo::{Curve, Repository, SigningKey, TidClock};

use super::*;
use crate::scope::Who;
use crate::snapshot::FetchFailure;

const NOW: u64 = 1_767_225_600_000_000;

/// A repository, and an engine that follows it and knows all of it.
fn whole() -> (Repository, TidClock, Engine) {
    let did: Did = "did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse().unwrap();
    let mut clock = TidClock::new(0);
    let key = SigningKey::generate(Curve::K256);
    let (repository, _) = Repository::create(did.clone(), key, clock.next(NOW));
    let scope = Scope::new(Who::Peers([did.clone()].into()), vec![], vec![]);
    let resyncs = Resyncs {
        allowed: true,
        begins_live: None,
        began_live: None,
    };
    let counters = Arc::new(Counters::new());
    let (scope, admission) = (Arc::new(scope), Admission::default());
    let mut engine = Engine::new(scope, admission, Trust::Verified, resyncs, counters);
    engine.add_source("relay".into(), None);
    engine.remember(&did, head(&repository), Standing::Whole);
    (repository, clock, engine)
}

fn head(repository: &Repository) -> Head {
    Head {
        rev: repository.head().rev(),
        data: repository.head().data(),
    }
}

fn outputs(engine: &mut Engine) -> Vec<Output> {
    std::iter::from_fn(|| engine.poll()).collect()
}

#[test]
fn what_is_missed_is_said_to_the_store_before_it_is_fetched() {
    let (mut repository, mut clock, mut engine) = whole();
    repository.apply(&[], clock.next(NOW)).unwrap();
    let sync = repository.sync_frame(7, "2026-01-01T00:00:00.000Z");
    engine.frame(0, sync.into(), NOW);
    assert!(
        matches!(&outputs(&mut engine)[..], [Output::Broken { did }] if did == repository.did()),
        "the cursor passes the frame now, and the process may die before the fetch"
    );
}

#[test]
fn commits_that_are_let_go_without_a_key_ask_for_it() {
    let (mut repository, mut clock, mut engine) = whole();
    let (did, time) = (repository.did().clone(), "2026-01-01T00:00:00.000Z");
    repository.apply(&[], clock.next(NOW)).unwrap();
    engine.frame(0, repository.sync_frame(7, time).into(), NOW);
    engine.fetching(&did, NOW);
    let applied = repository.apply(&[], clock.next(NOW)).unwrap();
    engine.frame(0, applied.frame(8, time).into(), NOW);
    engine.resolved(
        &did,
        KeyAnswer::Key(repository.key().public(), "pds.example".into()),
        NOW,
    );
    let identity = Frame::Identity(frame::IdentityFrame {
        seq: 9,
        did: did.as_str(),
        time,
        handle: None,
    });
    engine.frame(0, identity.encode().into(), NOW);
    outputs(&mut engine);
    let failure = FetchFailure::NotServed("RepoDeactivated".to_owned());
    engine.fetched(&did, Err(failure), NOW);
    let asks = |output: &Output| matches!(output, Output::Resolve { .. });
    assert!(
        outputs(&mut engine).iter().any(asks),
        "else the commit waits for another one, and the cursor for it"
    );
}
