//! A stream of frames that were made for the purpose, and somebody who watches it.

use std::collections::BTreeMap;
use std::time::Duration;

use atcomms::subscribe::{Delivery, From, Source, Subscriber, Subscription, Undecodable};
use atcomms_devnet::Replay;
use futures::StreamExt;
use tokio::time::timeout;

use crate::author::Author;

/// Long enough for a machine that does something else; a test that works does not wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    replay: Replay,
    subscription: Subscription,
    pub(crate) undecodable: Vec<Undecodable>,
}

impl Stage {
    /// Somebody watches everyone, from the start, over these frames.
    pub(crate) async fn new(authors: &[&Author], frames: Vec<Vec<u8>>) -> Self {
        Stage::watched(authors, frames, |subscriber| subscriber).await
    }

    /// The same, with a say in what is watched.
    pub(crate) async fn watched(
        authors: &[&Author],
        frames: Vec<Vec<u8>>,
        watch: impl FnOnce(Subscriber) -> Subscriber,
    ) -> Self {
        let documents = authors
            .iter()
            .map(|author| (author.did.clone(), author.document()));
        let frames = frames.into_iter().map(Into::into);
        let replay = Replay::builder().frames(frames).documents(documents);
        let replay = replay.start().await.expect("the replay starts");
        let resolver = atcomms::resolver(replay.plc_url().parse().expect("a URL")).build();
        let source = Source::firehose(replay.ws_url()).expect("a source");
        let subscriber = watch(Subscriber::new(resolver).source(source).from(From::Start));
        let subscription = subscriber.start().expect("something to watch");
        Stage {
            replay,
            subscription,
            undecodable: Vec::new(),
        }
    }

    /// One more frame, live.
    pub(crate) fn push(&self, frame: Vec<u8>) {
        self.replay.push(frame);
    }

    /// The next delivery; what cannot be read is put aside.
    pub(crate) async fn next(&mut self) -> Delivery {
        loop {
            let item = timeout(PATIENCE, self.subscription.next()).await;
            match item
                .expect("a delivery in time")
                .expect("the stream goes on")
            {
                Ok(delivery) => return delivery,
                Err(undecodable) => self.undecodable.push(undecodable),
            }
        }
    }

    /// The keys of the next deliveries.
    pub(crate) async fn next_keys(&mut self, count: usize) -> Vec<String> {
        let mut keys = Vec::new();
        while keys.len() < count {
            keys.push(self.next().await.rkey.to_string());
        }
        keys
    }

    /// What was refused, once so many were.
    pub(crate) async fn rejected(&self, count: u64) -> BTreeMap<&'static str, u64> {
        let counted = async {
            loop {
                let rejected = self.subscription.summary().rejected;
                if rejected.values().sum::<u64>() >= count {
                    return rejected;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, counted)
            .await
            .expect("it is refused in time")
    }
}
