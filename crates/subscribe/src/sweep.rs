//! A relay says nothing of what it skipped. So the PDSs of the followed repositories are asked now and then
//! which rev is their latest; what the stream does not bring soon after is missed.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use atcomms_identity::{Identity, Resolver};
use atcomms_lexicon::{Did, Tid};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, stream};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::backfill::get_json;

/// How often it is asked, unless the caller says otherwise.
pub const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Repositories that are asked for together, so that those of one host can be listed instead.
const TOGETHER: usize = 200;
/// Such groups at once.
const GROUPS_AT_ONCE: usize = 2;
/// Owners that are looked up at once, and single questions at once, in one group.
const AT_ONCE: usize = 8;
/// One page of a list costs a host about as much as so many single questions.
const LIST_FROM: usize = 20;
/// Repositories of a page, the most that a host gives.
const PAGE: &str = "1000";

type Group = Pin<Box<dyn Future<Output = Vec<(Did, Tid)>> + Send>>;

pub(crate) struct Sweep {
    resolver: Resolver,
    every: Duration,
    /// Those that are to be asked for in this round.
    waiting: VecDeque<Did>,
    /// When the next group may begin: the groups of a round are spread out.
    next_group: Instant,
    pace: Duration,
    next_round: Instant,
    groups: FuturesUnordered<Group>,
}

/// What a sweep comes to.
pub(crate) enum SweepEvent {
    /// It is time for a round: [`Sweep::round`] says of whom.
    Due,
    /// These repositories have these revs.
    Latest(Vec<(Did, Tid)>),
}

impl Sweep {
    pub(crate) fn new(resolver: Resolver, every: Duration) -> Self {
        let now = Instant::now();
        Self {
            resolver,
            every,
            waiting: VecDeque::new(),
            next_group: now,
            pace: Duration::ZERO,
            next_round: now + every,
            groups: FuturesUnordered::new(),
        }
    }

    /// Begins a round, spread over half of the time until the next one, or at once.
    pub(crate) fn round(&mut self, followed: Vec<Did>, at_once: bool) {
        let groups = u32::try_from(followed.len().div_ceil(TOGETHER)).unwrap_or(u32::MAX);
        self.pace = match at_once {
            true => Duration::ZERO,
            false => self.every / 2 / groups.max(1),
        };
        self.waiting = followed.into();
        self.next_group = Instant::now();
        self.next_round = Instant::now() + self.every;
    }

    /// What happens next. Cancel safe.
    pub(crate) async fn next(&mut self) -> SweepEvent {
        loop {
            let room = !self.waiting.is_empty() && self.groups.len() < GROUPS_AT_ONCE;
            tokio::select! {
                Some(latest) = self.groups.next(), if !self.groups.is_empty() => {
                    return SweepEvent::Latest(latest);
                }
                () = sleep_until(self.next_group), if room => {
                    let count = self.waiting.len().min(TOGETHER);
                    let group = self.waiting.drain(..count).collect();
                    self.groups.push(Box::pin(ask(self.resolver.clone(), group)));
                    self.next_group = Instant::now() + self.pace;
                }
                () = sleep_until(self.next_round) => {
                    self.next_round = Instant::now() + self.every;
                    return SweepEvent::Due;
                }
            }
        }
    }
}

/// The latest revs of some repositories, as far as they can be had: who is not reached now is asked in the next
/// round again.
async fn ask(resolver: Resolver, group: Vec<Did>) -> Vec<(Did, Tid)> {
    let resolver = &resolver;
    let identities: Vec<Identity> = stream::iter(group)
        .map(|did| async move { resolver.resolve_did(&did).await.ok() })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let mut hosts: HashMap<String, Vec<Identity>> = HashMap::new();
    for identity in identities {
        let of_host = hosts.entry(identity.pds.to_string()).or_default();
        of_host.push(identity);
    }
    stream::iter(hosts.into_values())
        .map(|of_host| ask_host(resolver, of_host))
        .buffer_unordered(AT_ONCE)
        .concat()
        .await
}

async fn ask_host(resolver: &Resolver, mut of_host: Vec<Identity>) -> Vec<(Did, Tid)> {
    let mut latest = Vec::with_capacity(of_host.len());
    if of_host.len() >= LIST_FROM {
        latest = list(resolver, &of_host).await;
        let listed: HashMap<&Did, Tid> = latest.iter().map(|(did, rev)| (did, *rev)).collect();
        of_host.retain(|identity| !listed.contains_key(&identity.did));
    }
    for identity in of_host {
        #[derive(Deserialize)]
        struct Latest {
            rev: Tid,
        }
        let parameters = [("did", identity.did.as_str())];
        let method = "com.atproto.sync.getLatestCommit";
        match get_json(resolver, &identity, method, &parameters).await {
            Ok(Latest { rev }) => latest.push((identity.did, rev)),
            Err(error) => {
                tracing::debug!(did = %identity.did, ?error, "its latest rev is not known")
            }
        }
    }
    latest
}

/// Pages of a host's list, as many as are cheaper than single questions.
async fn list(resolver: &Resolver, of_host: &[Identity]) -> Vec<(Did, Tid)> {
    #[derive(Deserialize)]
    struct Page {
        cursor: Option<String>,
        repos: Vec<Repo>,
    }
    #[derive(Deserialize)]
    struct Repo {
        did: Did,
        rev: Tid,
    }
    let Some(any) = of_host.first() else {
        return Vec::new();
    };
    let wanted: std::collections::HashSet<&Did> =
        of_host.iter().map(|identity| &identity.did).collect();
    let mut latest = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..of_host.len() / LIST_FROM {
        let mut parameters = vec![("limit", PAGE)];
        parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let method = "com.atproto.sync.listRepos";
        let Ok(page) = get_json::<Page>(resolver, any, method, &parameters).await else {
            break;
        };
        let repos = page.repos.into_iter();
        let of_us = repos.filter(|repo| wanted.contains(&repo.did));
        latest.extend(of_us.map(|repo| (repo.did, repo.rev)));
        match page.cursor {
            Some(next) if latest.len() < wanted.len() => cursor = Some(next),
            _ => break,
        }
    }
    latest
}
