//! P9: memory is bounded, and a flooding peer cannot starve the others: neither one that writes thousands of
//! records, nor many accounts of one host; and whoever reads slowly, or not at all, loses nothing for it.

mod slow_reader;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use atcomms::Store;
use atcomms::lexicon::Did;
use atcomms::repo::Curve;
use atcomms::subscribe::{Admission, Budget, Delivery, From, Refused, Source, Subscriber, Summary};
use atcomms_devnet::Replay;
use futures::StreamExt;
use tokio::time::timeout;

use crate::author::Author;

/// Long enough for a machine that does something else; a test that works does not wait for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// After this long without a frame, all that there was is through.
const SILENCE: Duration = Duration::from_secs(1);

const FLOOD: usize = 3000;
const CROWD: usize = 300;
const EACH_OF_THE_CROWD: usize = 4;
const HONEST: usize = 40;
/// What is taken of one author, and of one host.
const OF_AUTHOR: u64 = 100;
const OF_HOST: u64 = 200;

/// Who writes, and what they wrote in the order of the stream.
struct Network {
    replay: Replay,
    honest: Did,
    contact: Did,
    flooder: Did,
    crowd: Vec<Did>,
}

impl Network {
    /// An honest author and a contact, who write what they always do, while others flood or not.
    async fn new(flooded: bool) -> Self {
        let mut honest = Author::new("honest", Curve::K256).on("honest.example");
        // The contact is in bad company.
        let mut contact = Author::new("contact", Curve::P256).on("crowd.example");
        let mut flooder = Author::new("flooder", Curve::K256).on("flood.example");
        let mut crowd: Vec<Author> = (0..CROWD)
            .map(|n| Author::new(&format!("crowd {n}"), Curve::K256).on("crowd.example"))
            .collect();
        let mut frames = Vec::new();
        let mut add = |author: &mut Author, key: String| {
            let seq = i64::try_from(frames.len()).expect("some thousand") + 1;
            frames.push(author.says(seq, &key));
        };
        for n in 0..HONEST {
            if flooded {
                for flood in 0..FLOOD / HONEST {
                    add(&mut flooder, format!("f{n}-{flood}"));
                }
                let accounts = CROWD * EACH_OF_THE_CROWD / HONEST;
                for account in n * accounts..(n + 1) * accounts {
                    add(&mut crowd[account % CROWD], format!("c{account}"));
                }
            }
            add(&mut honest, format!("h{n}"));
            add(&mut contact, format!("k{n}"));
        }
        let (honest, contact, flooder) = (&honest, &contact, &flooder);
        let all = crowd.iter().chain([honest, contact, flooder]);
        let documents = all.map(|author| (author.did.clone(), author.document()));
        let replay = Replay::builder()
            .frames(frames.into_iter().map(Into::into))
            .documents(documents);
        Self {
            replay: replay.start().await.expect("the replay starts"),
            honest: honest.did.clone(),
            contact: contact.did.clone(),
            flooder: flooder.did.clone(),
            crowd: crowd.iter().map(|author| author.did.clone()).collect(),
        }
    }

    fn subscriber(&self) -> Subscriber {
        let hour = Duration::from_secs(3600);
        let admission = Admission::new()
            .contacts([self.contact.clone()])
            .budget_per_author(Budget::new(OF_AUTHOR, hour))
            .budget_per_host(Budget::new(OF_HOST, hour));
        let plc = self.replay.plc_url().parse().expect("a URL");
        Subscriber::new(atcomms::resolver(plc).build())
            .source(Source::firehose(self.replay.ws_url()).expect("a source"))
            .from(From::Start)
            .idle(SILENCE)
            .admission(admission)
    }
}

/// What came, in its order for each author.
#[derive(Default)]
struct Heard(BTreeMap<Did, Vec<String>>);

impl Heard {
    fn add(&mut self, delivery: &Delivery) {
        let keys = self.0.entry(delivery.author.clone()).or_default();
        keys.push(delivery.rkey.to_string());
    }

    fn of(&self, did: &Did) -> &[String] {
        self.0.get(did).map_or(&[], Vec::as_slice)
    }
}

/// Whoever is honest is heard whole, and of the others what their budgets allow; the rest is counted.
fn judge(network: &Network, heard: &Heard, summary: &Summary, refused: &[Refused]) {
    let all = |letter| -> Vec<String> { (0..HONEST).map(|n| format!("{letter}{n}")).collect() };
    assert_eq!(heard.of(&network.honest), all('h'));
    assert_eq!(heard.of(&network.contact), all('k'));
    let of_flooder = heard.of(&network.flooder).len();
    assert_eq!(of_flooder, usize::try_from(OF_AUTHOR).expect("a few"));
    let of_crowd: usize = network.crowd.iter().map(|did| heard.of(did).len()).sum();
    assert_eq!(of_crowd, usize::try_from(OF_HOST).expect("a few"));

    let rejected = |reason| summary.rejected.get(reason).copied().unwrap_or(0);
    let flood = u64::try_from(FLOOD).expect("some thousand") - OF_AUTHOR;
    let over = rejected("over_budget_author");
    assert!(over > 0, "{summary:?}");
    assert_eq!(
        over + rejected("held_too_long"),
        flood,
        "before its key is known, no more is held than has room: {summary:?}"
    );
    let crowd = u64::try_from(CROWD * EACH_OF_THE_CROWD).expect("some hundred") - OF_HOST;
    assert_eq!(rejected("over_budget_host"), crowd, "{summary:?}");
    let most: Vec<(String, u64)> = refused
        .iter()
        .map(|refused| (refused.who.to_string(), refused.count))
        .collect();
    assert!(
        most.contains(&(network.flooder.to_string(), over)),
        "{most:?}"
    );
    assert!(
        most.contains(&("host crowd.example".to_owned(), crowd)),
        "{most:?}"
    );
}

/// Listens until nothing more comes; says how long it took until the honest author was heard whole.
async fn listen(network: &Network) -> (Heard, Summary, Vec<Refused>, Duration) {
    let began = Instant::now();
    let mut subscription = network.subscriber().start().expect("something to watch");
    let (mut heard, mut took) = (Heard::default(), Duration::ZERO);
    while let Some(item) = timeout(PATIENCE, subscription.next())
        .await
        .expect("in time")
    {
        heard.add(&item.expect("all of it can be read"));
        if took.is_zero() && heard.of(&network.honest).len() == HONEST {
            took = began.elapsed();
        }
    }
    (heard, subscription.summary(), subscription.refused(), took)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_is_held_back_and_everybody_else_is_heard() {
    let quiet = Network::new(false).await;
    let (heard, _, refused, alone) = listen(&quiet).await;
    assert_eq!(heard.of(&quiet.honest).len(), HONEST);
    assert!(refused.is_empty(), "{refused:?}");
    let network = Network::new(true).await;
    let (heard, summary, refused, amid) = listen(&network).await;
    judge(&network, &heard, &summary, &refused);
    println!("the honest author was heard in {alone:?} alone, in {amid:?} amid the flood");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_never_reaches_the_disk() {
    let network = Network::new(true).await;
    let store = Store::temporary().expect("a store");
    let durable = network.subscriber().durable(store.clone(), "promise");
    let mut inbox = durable.start().await.expect("something to watch");
    let mut heard = Heard::default();
    while let Some(leased) = timeout(PATIENCE, inbox.next())
        .await
        .expect("in time")
        .expect("the store works")
    {
        heard.add(leased.item().expect("all of it can be read"));
        leased.ack().await.expect("it is ours");
    }
    judge(&network, &heard, &inbox.summary(), &inbox.refused());
    let cursors = store.cursors(inbox.consumer()).await.expect("it is read");
    let frames = i64::try_from(inbox.summary().frames).expect("some thousand");
    assert_eq!(cursors[0].1, frames, "the cursor passes what was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_inbox_pauses_the_reading_and_loses_nothing() {
    const ROOM: u64 = 50;
    const MESSAGES: usize = 400;
    let mut author = Author::new("busy", Curve::K256);
    let mut frames = (1..=MESSAGES)
        .map(|n| author.says(i64::try_from(n).expect("a few"), &format!("m{n}")))
        .collect::<Vec<Vec<u8>>>()
        .into_iter();
    let replay = Replay::builder()
        .frames(frames.next().map(Into::into))
        .documents([(author.did.clone(), author.document())]);
    let replay = replay.start().await.expect("the replay starts");
    let plc = replay.plc_url().parse().expect("a URL");
    let subscriber = Subscriber::new(atcomms::resolver(plc).build())
        .source(Source::firehose(replay.ws_url()).expect("a source"))
        .from(From::Start)
        .peers([author.did.clone()]);
    let store = Store::temporary().expect("a store");
    let durable = subscriber.durable(store.clone(), "promise");
    let durable = durable.max_waiting(ROOM).start().await;
    let mut inbox = durable.expect("something to watch");
    let (mut seen, mut most) = (Vec::new(), 0);
    while seen.len() < MESSAGES {
        let leased = timeout(PATIENCE, inbox.next()).await.expect("in time");
        let leased = leased
            .expect("the store works")
            .expect("the stream goes on");
        seen.push(leased.item().expect("it can be read").rkey.to_string());
        let waiting = store.inbox_len(inbox.consumer()).await.expect("it counts");
        most = most.max(waiting);
        leased.ack().await.expect("it is ours");
        // Once the author's key is known, so that none of them waits for it.
        for frame in frames.by_ref() {
            replay.push(frame);
        }
    }
    let expected: Vec<String> = (1..=MESSAGES).map(|n| format!("m{n}")).collect();
    assert_eq!(seen, expected);
    assert!(most >= ROOM, "it was never full: {most}");
    assert!(most <= 2 * ROOM, "{most} waited");
}
