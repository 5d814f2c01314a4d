//! P2: every matching commit of a followed repository is delivered at least once, across restarts, disconnects,
//! expired cursors, a relay that skips, and a change of source. Where the stream cannot be replayed: every
//! record that still exists, and the delete of every one that was known.
//!
//! These are also deliveries once: what comes a second time here is a failure.

#[cfg_attr(
    not(has_reference_pds),
    allow(dead_code, reason = "only for an ignored test")
)]
mod reference;
mod scene;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atcomms::repo::frame::{AccountFrame, Frame};
use atcomms::store::CrashPlan;
use atcomms::subscribe::From;
use atcomms_devnet::Fault;

use self::scene::{Consumer, Scene};

const GET_REPO: &str = "com.atproto.sync.getRepo";

#[tokio::test]
async fn on_first_sight_what_is_there_comes_and_then_what_is_new() {
    let scene = Scene::new().await;
    scene.write("one").await;
    let gone = scene.write("two").await;
    scene.delete(&gone).await;
    scene.write("three").await;
    // The stream does not go back that far.
    scene.relay().faults().outdate_cursors(1);
    scene.skip(1000);
    let mut consumer = scene.at_relay(From::Start).await;
    assert_eq!(consumer.next().await, ("one".to_owned(), false));
    assert_eq!(consumer.next().await, ("three".to_owned(), false));
    scene.relay().faults().clear();
    scene.write("four").await;
    assert_eq!(consumer.next().await, ("four".to_owned(), true));
    assert_eq!(consumer.summary().resyncs, 1);
}

#[tokio::test]
async fn who_begins_live_is_not_told_what_was_there() {
    let scene = Scene::new().await;
    scene.write("before").await;
    let mut consumer = scene.at_relay(From::Live).await;
    consumer.resynced(1).await;
    scene.write("after").await;
    assert_eq!(consumer.next().await, ("after".to_owned(), true));
}

#[tokio::test]
async fn who_begins_live_is_told_what_was_missed_since() {
    let scene = Scene::new().await;
    scene.write("before").await;
    scene
        .pds()
        .faults()
        .inject(GET_REPO, Fault::FailBefore(503), 1);
    let mut consumer = scene.at_relay(From::Live).await;
    scene.skip(1);
    scene.write("missed").await;
    scene.skipped(1).await;
    assert_eq!(consumer.next().await, ("missed".to_owned(), false));
}

#[tokio::test]
async fn what_the_relay_passed_over_comes_before_what_came_after_it() {
    let scene = Scene::new().await;
    let mut consumer = scene.at_relay(From::Live).await;
    consumer.resynced(1).await;
    let gone = scene.write("one").await;
    consumer.until("one").await;
    scene.skip(3);
    scene.write("two").await;
    scene.write("three").await;
    scene.delete(&gone).await;
    scene.skipped(3).await;
    scene.write("four").await;
    scene.write("five").await;
    let texts = consumer.until("five").await;
    let delete = format!("delete {}", gone.rkey().expect("a key"));
    // Among what was missed, when a record was deleted cannot be told.
    let (deleted, written): (Vec<_>, Vec<_>) = texts.iter().partition(|text| **text == delete);
    assert_eq!((deleted.len(), written.len()), (1, 4), "{texts:?}");
    assert_eq!(written, ["two", "three", "four", "five"]);
    assert!(
        texts.iter().take(3).any(|text| *text == delete),
        "{texts:?}"
    );
    assert!(consumer.summary().resyncs > 1, "it was fetched again");
}

#[tokio::test]
async fn what_the_relay_passed_over_last_is_found_by_asking() {
    let scene = Scene::new().await;
    let subscriber = scene.subscriber().sweep_every(Duration::from_secs(1));
    let url = scene.relay().url();
    let mut consumer = scene.consumer(subscriber, url, From::Start).await;
    scene.write("one").await;
    consumer.until("one").await;
    scene.skip(1);
    scene.write("two").await;
    assert_eq!(consumer.next().await, ("two".to_owned(), false));
}

#[tokio::test]
async fn what_happened_while_nobody_looked_comes_though_the_cursor_is_too_old() {
    let scene = Scene::new().await;
    let mut consumer = scene.at_relay(From::Start).await;
    let kept = scene.write("one").await;
    let gone = scene.write("two").await;
    consumer.until("two").await;
    consumer.end().await;
    scene.skip(3);
    scene.delete(&gone).await;
    scene.write("three").await;
    let never_seen = scene.write("four").await;
    scene.skipped(3).await;
    scene.skip(1);
    scene.delete(&never_seen).await;
    scene.skipped(4).await;
    scene.relay().faults().outdate_cursors(1);
    let mut consumer = scene.at_relay(From::Start).await;
    let delete = format!("delete {}", gone.rkey().expect("a key"));
    assert_eq!(consumer.next().await, (delete, false));
    assert_eq!(consumer.next().await, ("three".to_owned(), false));
    let again = scene.delete(&kept);
    again.await;
    let delete = format!("delete {}", kept.rkey().expect("a key"));
    assert_eq!(consumer.next().await, (delete, true));
}

/// Of a repository that is known whole, one commit is passed over, and fetching it fails so often. What comes
/// after it is verified by itself, and not withheld.
async fn one_is_missed(scene: &Scene, failures: u64) -> Consumer {
    let mut consumer = scene.at_relay(From::Live).await;
    consumer.resynced(1).await;
    scene.write("one").await;
    consumer.until("one").await;
    scene.skip(1);
    scene.write("two").await;
    scene.skipped(1).await;
    let faults = scene.pds().faults();
    faults.inject(GET_REPO, Fault::FailBefore(503), failures);
    scene.write("three").await;
    assert_eq!(consumer.next().await, ("three".to_owned(), true));
    consumer
}

#[tokio::test]
async fn a_commit_is_not_withheld_because_the_fetch_fails() {
    let scene = Scene::new().await;
    let mut consumer = one_is_missed(&scene, 2).await;
    assert_eq!(
        consumer.next().await,
        ("two".to_owned(), false),
        "when the PDS answers again"
    );
    scene.write("four").await;
    assert_eq!(consumer.next().await, ("four".to_owned(), true));
}

#[tokio::test]
async fn what_was_missed_is_not_forgotten_by_a_restart() {
    let scene = Scene::new().await;
    let consumer = one_is_missed(&scene, 1000).await;
    consumer.end().await;
    scene.pds().faults().clear();
    let mut consumer = scene.at_relay(From::Start).await;
    assert_eq!(consumer.next().await, ("two".to_owned(), false));
}

#[tokio::test]
async fn another_source_goes_on_where_the_first_one_was() {
    let scene = Scene::new().await;
    let mut consumer = scene.at_relay(From::Start).await;
    scene.write("one").await;
    consumer.until("one").await;
    consumer.end().await;
    scene.write("two").await;
    let url = scene.pds().url();
    let mut consumer = scene.consumer(scene.subscriber(), url, From::Live).await;
    assert_eq!(consumer.next().await.0, "two");
    scene.write("three").await;
    assert_eq!(consumer.next().await.0, "three");
}

#[tokio::test]
async fn a_repository_that_is_set_anew_is_compared_with_what_was_known() {
    let scene = Scene::new().await;
    let mut consumer = scene.at_relay(From::Start).await;
    let gone = scene.write("one").await;
    scene.write("two").await;
    consumer.until("two").await;
    let lost = gone.rkey().expect("a key");
    let reset = scene
        .pds()
        .reset_repository(&scene.alice.did, |_, rkey| *rkey != lost);
    reset.expect("it is set anew");
    let delete = (format!("delete {lost}"), false);
    assert_eq!(consumer.next().await, delete);
    scene.write("three").await;
    assert_eq!(consumer.next().await, ("three".to_owned(), true));
}

#[tokio::test]
async fn an_author_may_move_and_change_the_key() {
    let mut scene = Scene::new().await;
    let mut consumer = scene.at_relay(From::Start).await;
    scene.write("one").await;
    consumer.until("one").await;
    scene.pds().rotate_key(&scene.alice.did).expect("a new key");
    scene.write("two").await;
    assert_eq!(consumer.next().await.0, "two");
    scene.migrate().await;
    scene.write("three").await;
    assert_eq!(consumer.next().await.0, "three");
    scene.skip(1);
    scene.write("four").await;
    scene.skipped(1).await;
    scene.write("five").await;
    assert_eq!(consumer.until("five").await, ["four", "five"]);
}

/// A fetch that fails harms nobody, and is tried again.
async fn fails_once(fault: Fault) {
    let scene = Scene::new().await;
    scene.write("one").await;
    scene.skip(1000);
    scene.pds().faults().inject(GET_REPO, fault, 1);
    scene.relay().faults().outdate_cursors(1);
    let mut consumer = scene.at_relay(From::Start).await;
    assert_eq!(consumer.next().await, ("one".to_owned(), false));
    let counts = scene.pds().faults().counts();
    let fired =
        counts.bodies_endless + counts.redirected + counts.failed_before + counts.answers_lost;
    assert_eq!(fired, 1);
}

#[tokio::test]
async fn a_repository_without_an_end_is_listed_instead() {
    fails_once(Fault::EndlessBody).await;
}

#[tokio::test]
async fn a_way_into_a_private_network_is_not_taken() {
    fails_once(Fault::Redirect("http://10.0.0.1/".to_owned())).await;
}

#[tokio::test]
async fn a_pds_that_fails_is_asked_again() {
    fails_once(Fault::FailBefore(500)).await;
    fails_once(Fault::AnswerLost).await;
}

#[tokio::test]
async fn another_repository_is_not_taken_for_the_one_that_was_asked_for() {
    let scene = Scene::new().await;
    let other = scene
        .pds()
        .create_account("mallory")
        .await
        .expect("an account");
    scene.write("one").await;
    scene.skip(1000);
    scene.relay().faults().outdate_cursors(1);
    let fault = Fault::OtherRepository(other.did);
    scene.pds().faults().inject(GET_REPO, fault, 1);
    let mut consumer = scene.at_relay(From::Start).await;
    assert_eq!(consumer.next().await, ("one".to_owned(), false));
    assert_eq!(scene.pds().faults().counts().repositories_swapped, 1);
}

#[tokio::test]
async fn an_account_that_is_not_active_is_paused_and_comes_back_whole() {
    let scene = Scene::new().await;
    let mut consumer = scene.at_relay(From::Start).await;
    scene.write("one").await;
    scene.write("two").await;
    consumer.waits(2).await;
    scene
        .pds()
        .deactivate(&scene.alice.did)
        .expect("it is hers");
    consumer.waits(0).await;
    assert_eq!(
        consumer.paused().await,
        std::slice::from_ref(&scene.alice.did)
    );
    scene.pds().activate(&scene.alice.did).expect("it is hers");
    scene.write("three").await;
    assert_eq!(consumer.until("three").await, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_pause_outlives_its_process() {
    let scene = Scene::new().await;
    let consumer = scene.at_relay(From::Start).await;
    scene.write("one").await;
    consumer.waits(1).await;
    scene
        .pds()
        .take_down(&scene.alice.did)
        .expect("it is taken down");
    consumer.waits(0).await;
    consumer.end().await;
    scene
        .pds()
        .restore(&scene.alice.did)
        .expect("it is restored");
    let mut consumer = scene.at_relay(From::Start).await;
    assert_eq!(consumer.next().await.0, "one");
}

#[tokio::test]
async fn what_a_deleted_account_wrote_is_not_delivered_any_more() {
    let scene = Scene::new().await;
    let consumer = scene.at_relay(From::Start).await;
    scene.write("one").await;
    consumer.waits(1).await;
    scene
        .pds()
        .delete_account(&scene.alice.did)
        .expect("it is hers");
    consumer.waits(0).await;
    consumer.until_paused(0).await;
    assert_eq!(
        consumer.known(&scene.alice.did).await,
        1,
        "what is known stays"
    );
}

#[tokio::test]
async fn a_relay_cannot_silence_an_account() {
    let scene = Scene::new().await;
    let mut consumer = scene.at_relay(From::Start).await;
    scene.write("one").await;
    consumer.waits(1).await;
    let seq = scene.relay().last_seq() + 1;
    let word = Frame::Account(AccountFrame {
        seq,
        did: scene.alice.did.as_str(),
        active: false,
        status: Some("takendown"),
        time: "2026-01-01T00:00:00.000Z",
    });
    scene.relay().inject_frame(word.encode());
    assert_eq!(consumer.next().await.0, "one");
    scene.write("two").await;
    assert_eq!(consumer.next().await.0, "two");
}

#[tokio::test]
async fn without_a_relay_the_author_is_followed_from_home_to_home() {
    let mut scene = Scene::new().await;
    let mut consumer = scene.at_her_pds(From::Start).await;
    scene.write("one").await;
    assert_eq!(consumer.next().await.0, "one");
    scene.migrate().await;
    scene.write("two").await;
    assert_eq!(consumer.next().await.0, "two");
    consumer.end().await;
    scene.write("three").await;
    let mut consumer = scene.at_her_pds(From::Live).await;
    assert_eq!(consumer.next().await.0, "three");
    scene.write("four").await;
    assert_eq!(consumer.next().await, ("four".to_owned(), true));
}

#[tokio::test]
async fn a_pds_counts_only_for_its_own_accounts() {
    let scene = Scene::new().await;
    let mut consumer = scene.at_a_stranger_and_at_home().await;
    scene.write("one").await;
    assert_eq!(consumer.next().await.0, "one");
    scene.write("two").await;
    assert_eq!(consumer.next().await.0, "two");
    consumer.rejected("other_host").await;
}

/// Where a process dies while a repository is fetched and taken in, and how often it got past there before.
const DEATHS: [(&str, u64); 8] = [
    ("take_in.before_commit", 1),
    ("take_in.after_commit", 1),
    ("take_in.before_commit", 2),
    ("take_in.after_commit", 2),
    ("take_in.before_commit", 3),
    ("take_in.after_commit", 3),
    ("ack.before_commit", 2),
    ("ack.after_commit", 2),
];

#[tokio::test]
async fn a_death_at_any_step_of_a_resync_loses_and_doubles_nothing() {
    for (point, nth) in DEATHS {
        let scene = Scene::new().await;
        let mut consumer = scene.at_relay(From::Start).await;
        let gone = scene.write("one").await;
        consumer.until("one").await;
        consumer.end().await;
        scene.skip(3);
        scene.write("two").await;
        scene.write("three").await;
        scene.delete(&gone).await;
        scene.skipped(3).await;
        scene.write("four").await;

        let reached = AtomicU64::new(0);
        let plan = CrashPlan::new(move |at| {
            at == point && reached.fetch_add(1, Ordering::SeqCst) + 1 == nth
        });
        let mut consumer = scene.dies_at_relay(plan.clone()).await;
        let mut told = Vec::new();
        while told.len() < 4
            && let Some(text) = consumer.next_alive(&plan).await
        {
            told.push(text);
        }
        drop(consumer);
        // What a process acknowledged as it died counts, and it cannot tell.
        let doubtful = point.starts_with("ack.after");
        let mut consumer = scene.at_relay(From::Start).await;
        scene.write("five").await;
        let delete = format!("delete {}", gone.rkey().expect("a key"));
        let mut expected = vec![delete.as_str(), "two", "three", "four", "five"];
        let unseen = usize::from(doubtful && plan.is_dead());
        while told.len() < expected.len() - unseen {
            told.push(consumer.next().await.0);
        }
        if unseen > 0 {
            expected.retain(|text| told.iter().any(|told| told == text));
        }
        scene.write("the end").await;
        assert_eq!(
            consumer.next().await.0,
            "the end",
            "{point} {nth}: {told:?}"
        );
        told.sort();
        expected.sort_unstable();
        assert_eq!(told, expected, "{point} {nth}");
    }
}
