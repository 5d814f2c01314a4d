//! More to write than the PDS takes: nothing is sent that it would refuse, what waits knows until when,
//! and everything goes in the end, in its order.

use std::time::Duration;

use atcomms_devnet::{Devnet, Limit, RateLimits};
use atcomms_lexicon::Tid;
use atcomms_publish::{Accepted, Pending, Progress, Publisher, Receipt, Session};
use atcomms_reference_pds::{Options, ReferencePds};
use futures::future::join_all;
use url::Url;

use crate::counting::Counting;
use crate::network::{Account, Network, message};

/// Points of a record's creation, if it is not sent alone.
const CREATE: u64 = 3;

async fn publisher(account: &Account, pds: Url) -> Publisher {
    let password = account.password.clone().into();
    let session = Session::login(pds, &account.handle, password).await;
    Publisher::temporary(session.unwrap()).unwrap()
}

/// Accepts so many messages, all at once.
async fn enqueue(publisher: &Publisher, count: u32) -> Vec<Accepted> {
    let all = (0..count).map(|n| {
        let message = message(publisher, &format!("number {n}"));
        publisher.publish(message).enqueue()
    });
    let mut accepted: Vec<Accepted> = join_all(all)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    accepted.sort_by_key(Accepted::id);
    accepted
}

fn is_written(accepted: &Accepted) -> bool {
    matches!(accepted.progress(), Progress::Settled(_))
}

/// What it waits for.
fn pending(accepted: &Accepted) -> Pending {
    match accepted.progress() {
        Progress::Pending(pending) => pending,
        settled => panic!("it should wait, and is {settled:?}"),
    }
}

fn now_millis() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder that tests/reference-pds/setup.sh installed to"
)]
async fn an_hour_s_points_of_the_reference_are_used_up_and_never_overdrawn() {
    const MESSAGES: u32 = 3_000;
    const HOUR: u64 = 5_000;
    let options = Options {
        rate_limits: true,
        ..Options::default()
    };
    let pds = ReferencePds::start(options).await.unwrap();
    let counting = Counting::before(pds.url()).await;
    let network = Network::Reference(Box::new(pds));
    let account = network.account().await;
    let publisher = publisher(&account, counting.url()).await;
    let began = now_millis();
    let accepted = enqueue(&publisher, MESSAGES).await;
    publisher.flush().await;

    let (answers, refused) = counting.answers();
    assert!(answers > 10, "the proxy was used: {answers} answers");
    assert_eq!(refused, 0, "of {answers} requests none is refused");
    let written = accepted.iter().filter(|entry| is_written(entry)).count();
    let written = u64::try_from(written).unwrap();
    println!("{written} of {MESSAGES} written with {answers} requests");
    assert!(written * CREATE <= HOUR + CREATE, "{written} cost too much");
    assert!(
        (written + 2) * CREATE > HOUR,
        "{written} leave points unused"
    );

    let budget = publisher.budget().await.unwrap();
    assert_eq!(budget.limited, Some(true));
    assert_eq!(budget.waiting, u64::from(MESSAGES) - written);
    let hour = budget.limits.iter().find(|limit| limit.window_s == 3_600);
    let hour = hour.expect("the PDS has told of it");
    assert_eq!((hour.size, hour.told), (HOUR, true));
    assert!(hour.left < CREATE, "{hour:?}");
    let next_at = budget.next_at.expect("it knows when the window opens");
    assert_eq!(Some(&next_at), hour.resets_at.as_ref());
    let opens = next_at.unix_millis();
    assert!(opens > now_millis(), "in the future");
    // The server's times are whole seconds, and its window began with the first write.
    assert!(opens <= began + 3_600_000 + 10_000, "within the window");

    let last = pending(accepted.last().unwrap());
    assert_eq!(last.retry_at, Some(next_at));
    assert!(!last.stuck && last.attempts == 0, "{last:?}");
    let reason = last.reason.unwrap();
    assert!(reason.contains("rate limit"), "{reason}");
    let late = publisher.publish(message(&publisher, "late"));
    let late = late.enqueue().await.unwrap();
    publisher.flush().await;
    assert!(pending(&late).reason.unwrap().contains("rate limit"));
    assert_eq!(counting.answers(), (answers, 0), "nothing more was asked");
}

/// A devnet whose hour has so many seconds, and an account there.
async fn short_hour(points: u64, seconds: u64) -> (Devnet, Publisher) {
    let hour = Limit::new(points, Duration::from_secs(seconds));
    let limits = RateLimits::default().hour(hour);
    let devnet = Devnet::builder().rate_limits(limits);
    let devnet = devnet.account("alice").start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let account = Account {
        did: alice.did,
        handle: alice.handle.to_string(),
        password: alice.password,
        pds: alice.pds.parse().unwrap(),
    };
    let publisher = publisher(&account, account.pds.clone()).await;
    (devnet, publisher)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_in_the_end_and_what_is_urgent_goes_first() {
    let (devnet, publisher) = short_hour(450, 5).await;
    // The first answer tells of the limits; until then, the usual ones are assumed.
    publisher
        .publish(message(&publisher, "first"))
        .await
        .unwrap();
    let backlog = enqueue(&publisher, 300).await;
    publisher.flush().await;
    let waiting = backlog.iter().filter(|entry| !is_written(entry)).count();
    assert!(waiting > 100, "only {waiting} wait");
    let reason = pending(backlog.last().unwrap()).reason.unwrap();
    assert!(reason.contains("rate limit"), "{reason}");

    let urgent = message(&publisher, "urgent").priority(5);
    let urgent = publisher.publish(urgent).enqueue().await.unwrap();
    let low = publisher.publish(message(&publisher, "low"));
    let low = low.enqueue().await.unwrap();
    let rev = |receipt: Receipt| receipt.rev.expect("the PDS has told");
    let urgent = rev(urgent.receipt().await.unwrap());
    let mut revs: Vec<Tid> = Vec::new();
    for accepted in &backlog {
        revs.push(rev(accepted.receipt().await.unwrap()));
    }
    let low = rev(low.receipt().await.unwrap());
    assert!(revs.is_sorted(), "the backlog goes in its order");
    let overtaken = revs.iter().filter(|rev| **rev >= urgent).count();
    assert!(
        overtaken >= waiting,
        "the urgent one overtakes all {waiting} that waited, and has overtaken {overtaken}"
    );
    assert!(revs.iter().all(|rev| *rev <= low), "the low one was last");
    let refused = devnet.pds()[0].refused_by_rate_limit();
    assert_eq!(refused, 0, "nothing is sent that would be refused");
    assert_eq!(publisher.budget().await.unwrap().waiting, 0);
}
