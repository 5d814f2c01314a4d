//! The PDSs of the followed repositories, for a swarm without a relay: each is a source, joins when the first of
//! its repositories is followed there, and leaves when the last has moved away.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use atcomms_identity::{Identity, Resolver};
use atcomms_lexicon::Did;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use crate::source::Source;

/// Owners that are looked up at once.
const LOOKUPS_AT_ONCE: usize = 8;
/// How often it is looked whether somebody has moved. An `#identity` event says so sooner.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// The first wait before an owner that was not found is looked up again; it doubles.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest such wait.
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

type Lookups = FuturesUnordered<Pin<Box<dyn Future<Output = Identity> + Send>>>;

/// What is to be done about the sources.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    /// This host is watched from now on.
    Join(Source),
    /// Nobody who is followed is at this host any more.
    Leave(String),
}

pub(crate) struct Homes {
    resolver: Resolver,
    at_once: Arc<Semaphore>,
    lookups: Lookups,
    looked_up: HashSet<Did>,
    /// Where each one is; `None` while that is not known.
    homes: HashMap<Did, Option<String>>,
    next_round: Instant,
}

impl Homes {
    pub(crate) fn new(resolver: Resolver, followed: Vec<Did>) -> Self {
        let mut homes = Self {
            resolver,
            at_once: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            lookups: Lookups::new(),
            looked_up: HashSet::new(),
            homes: HashMap::new(),
            next_round: Instant::now() + LOOK_EVERY,
        };
        for did in followed {
            homes.homes.insert(did.clone(), None);
            homes.look(did);
        }
        homes
    }

    /// Whether it is known of each where it is.
    pub(crate) fn are_known(&self) -> bool {
        self.homes.values().all(Option::is_some)
    }

    /// Somebody may have moved.
    pub(crate) fn look_again(&mut self, did: &Did) {
        if self.homes.contains_key(did) {
            self.look(did.clone());
        }
    }

    fn look(&mut self, did: Did) {
        if !self.looked_up.insert(did.clone()) {
            return;
        }
        let (resolver, at_once) = (self.resolver.clone(), self.at_once.clone());
        self.lookups.push(Box::pin(async move {
            let mut again = AGAIN;
            loop {
                let resolved = {
                    // Never closed; without a permit it would only be one more at once.
                    let _permit = at_once.acquire().await.ok();
                    resolver.resolve_did(&did).await
                };
                match resolved {
                    Ok(identity) => return identity,
                    Err(error) => {
                        if again == AGAIN {
                            tracing::warn!(%did, "where its repository is cannot be found out yet: {error}");
                        }
                        sleep(again).await;
                        again = (again * 2).min(AGAIN_AT_MOST);
                    }
                }
            }
        }));
    }

    /// What is to be done next. Cancel safe.
    pub(crate) async fn next(&mut self) -> Vec<Change> {
        loop {
            tokio::select! {
                Some(identity) = self.lookups.next(), if !self.lookups.is_empty() => {
                    self.looked_up.remove(&identity.did);
                    match Source::of_pds(&identity, &self.resolver) {
                        Ok(source) => return self.at(&identity.did, source),
                        Err(error) => {
                            tracing::warn!(did = %identity.did, "its PDS cannot be watched: {error}");
                        }
                    }
                }
                () = sleep_until(self.next_round) => {
                    self.next_round = Instant::now() + LOOK_EVERY;
                    for did in self.homes.keys().cloned().collect::<Vec<_>>() {
                        self.look(did);
                    }
                }
            }
        }
    }

    /// Somebody is here.
    fn at(&mut self, did: &Did, source: Source) -> Vec<Change> {
        let host = source.host().to_owned();
        let is_watched = |homes: &Self, host: &str| {
            let mut hosts = homes.homes.values().flatten();
            hosts.any(|home| home == host)
        };
        let joins = !is_watched(self, &host);
        let before = self.homes.insert(did.clone(), Some(host));
        let mut changes = Vec::new();
        if joins {
            changes.push(Change::Join(source));
        }
        if let Some(before) = before.flatten()
            && !is_watched(self, &before)
        {
            changes.push(Change::Leave(before));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_joins_with_its_first_and_leaves_with_its_last() {
        let mut homes = Homes::new(Resolver::builder().build(), Vec::new());
        let mut at = |name: &str, pds: &str| {
            let did = format!("did:web:{name}.example").parse().unwrap();
            let changes = homes.at(&did, Source::firehose(pds).unwrap());
            let told = changes.into_iter().map(|change| match change {
                Change::Join(source) => format!("join {source}"),
                Change::Leave(host) => format!("leave {host}"),
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(at("a", "https://one.example"), ["join wss://one.example"]);
        assert_eq!(at("b", "https://one.example"), [""; 0]);
        assert_eq!(at("a", "https://two.example"), ["join wss://two.example"]);
        assert_eq!(at("a", "https://two.example"), [""; 0]);
        assert_eq!(at("b", "https://two.example"), ["leave wss://one.example"]);
    }
}
