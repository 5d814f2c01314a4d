//! From the engine into the inbox of a durable consumer: commits are gathered, and stored together with
//! how far each source was taken in. The cursor never passes what is not stored (promise P5).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atcomms_lexicon::{Cid, Did};
use atcomms_repo::frame::Action;
use atcomms_store::{
    AccountChange, Change, Commit, Consumer, Event, Intake, RepositoryHead, Store, StoreError,
    Story,
};
use tokio::sync::watch;

use crate::clock::millis;
use crate::delivery::{Delivery, Undecodable};
use crate::engine::{Outcome, Standing};
use crate::snapshot::{KnownRecords, Path};
use crate::subscription::StreamError;

/// Commits that are stored together: enough that the transaction itself costs little.
const COMMITS_TOGETHER: usize = 512;

/// Their records, in bytes: a commit may have 2 MB, and most have a thousandth of it.
const BYTES_TOGETHER: usize = 4 * 1024 * 1024;

/// How often the inbox is looked at while it is full.
const FULL_PAUSE: Duration = Duration::from_millis(200);

/// How often it is tried again to store something while the store fails: a full disk, say.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// A cursor that has moved alone, past frames of no interest, is stored this often. A killed process
/// reads that much again, and delivers nothing of it twice.
const CURSOR_EVERY: Duration = Duration::from_secs(1);

/// What the keeper tells the inbox's handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fed {
    /// Whether it is this process that takes in.
    pub(crate) feeding: bool,
    /// How many events were stored.
    pub(crate) events: u64,
    /// Why nothing more comes.
    pub(crate) error: Option<StreamError>,
}

pub(crate) struct Keeper {
    store: Store,
    consumer: Consumer,
    /// Commits that are settled, and not stored yet.
    intake: Intake,
    /// Events of the commit that is being said.
    events: Vec<Event>,
    /// The records of all of these, in bytes.
    bytes: usize,
    stored: HashMap<String, i64>,
    stored_at: Instant,
    /// How many events wait in the inbox, at most.
    waiting: u64,
    /// And how many may.
    max_waiting: u64,
    fed: watch::Sender<Fed>,
    stop: watch::Receiver<bool>,
}

impl Keeper {
    pub(crate) fn new(
        store: Store,
        consumer: Consumer,
        max_waiting: u64,
        cursors: Vec<(String, i64)>,
        fed: watch::Sender<Fed>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            store,
            consumer,
            intake: Intake::default(),
            events: Vec::new(),
            bytes: 0,
            stored: cursors.into_iter().collect(),
            stored_at: Instant::now(),
            // Counted before the first is stored.
            waiting: max_waiting,
            max_waiting,
            fed,
            stop,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.consumer.name
    }

    pub(crate) async fn closed(&mut self) {
        // An error means that the handle is gone, which is an end, too.
        drop(self.stop.wait_for(|stop| *stop).await);
    }

    pub(crate) fn deliver(&mut self, delivery: Delivery) {
        self.bytes += delivery.bytes.as_ref().map_or(0, |bytes| bytes.len());
        self.events.push(Event {
            did: delivery.author,
            collection: delivery.collection,
            rkey: delivery.rkey,
            change: change(delivery.action),
            rev: delivery.rev,
            cid: delivery.cid,
            commit: delivery.commit,
            record: delivery.bytes.map(Into::into),
            trust: Some(delivery.trust.as_str().to_owned()),
            continuity: Some(delivery.continuity.as_str().to_owned()),
            undecodable: None,
            live: delivery.live,
            source: delivery.source.to_string(),
            seq: delivery.seq,
        });
    }

    pub(crate) fn undecodable(&mut self, undecodable: Undecodable) {
        // Where it is was parsed when it was verified.
        let (Some(collection), Some(rkey)) = (undecodable.uri.collection(), undecodable.uri.rkey())
        else {
            return;
        };
        self.bytes += undecodable.bytes.len();
        self.events.push(Event {
            did: undecodable.author,
            collection,
            rkey,
            change: change(undecodable.action),
            rev: undecodable.rev,
            cid: undecodable.cid,
            commit: undecodable.commit,
            record: Some(undecodable.bytes.into()),
            trust: None,
            continuity: None,
            undecodable: Some(undecodable.reason),
            live: true,
            source: undecodable.source.to_string(),
            seq: undecodable.seq,
        });
    }

    /// The commit, the fetched repository or the lone operation that was being said is complete.
    pub(crate) fn settled(&mut self, outcome: Outcome) {
        let events = std::mem::take(&mut self.events);
        let commit = match outcome {
            Outcome::Unverified if events.is_empty() => return,
            Outcome::Unverified => Commit {
                events,
                ..Commit::default()
            },
            Outcome::Alone(_) if events.is_empty() => return,
            Outcome::Alone(known) => Commit {
                alone: true,
                events,
                known: known
                    .map(|(_, path, cid)| stored(path, cid))
                    .into_iter()
                    .collect(),
                ..Commit::default()
            },
            Outcome::Verified(verified) => Commit {
                head: Some(RepositoryHead {
                    did: verified.did,
                    rev: verified.head.rev,
                    data: verified.head.data,
                }),
                events,
                known: verified
                    .known
                    .into_iter()
                    .map(|(path, cid)| stored(path, cid))
                    .collect(),
                story: verified.standing.map(story),
                ..Commit::default()
            },
        };
        self.intake.commits.push(commit);
    }

    /// Something of a repository was dropped.
    pub(crate) fn broken(&mut self, did: Did) {
        self.intake.broken.push(did);
    }

    /// An account is active no more, or again.
    pub(crate) fn account(&mut self, did: Did, change: AccountChange) {
        self.intake.accounts.push((did, change));
    }

    /// The records that are known of a repository, as far as they are stored.
    pub(crate) async fn known(&self, did: &Did) -> Result<KnownRecords, StoreError> {
        let known = self.store.known(&self.consumer, did).await?;
        let records = known.into_iter().filter_map(|known| {
            let (collection, rkey) = (known.collection, known.rkey);
            Some((Path { collection, rkey }, known.cid?))
        });
        Ok(records.collect())
    }

    pub(crate) fn stopped(&self, error: StreamError) {
        self.fed.send_modify(|fed| fed.error = Some(error));
    }

    /// Whether as much waits to be stored as goes into one transaction.
    pub(crate) fn is_full(&self) -> bool {
        let commits = self.intake.commits.len();
        commits >= COMMITS_TOGETHER
            || u64::try_from(commits).is_ok_and(|commits| commits >= self.max_waiting)
            || self.bytes >= BYTES_TOGETHER
    }

    /// Stores what was gathered, and that each host's stream is taken in up to there. A store that fails
    /// is waited for: meanwhile nothing is read, and nothing lost.
    pub(crate) async fn store(&mut self, cursors: Vec<(String, i64)>, last: bool) {
        let moved = |(host, seq): &(String, i64)| self.stored.get(host).is_none_or(|at| at < seq);
        let cursors: Vec<_> = cursors.into_iter().filter(moved).collect();
        let cursor_alone = self.intake.commits.is_empty()
            && self.intake.broken.is_empty()
            && self.intake.accounts.is_empty();
        if cursor_alone
            && (cursors.is_empty() || !(last || self.stored_at.elapsed() >= CURSOR_EVERY))
        {
            return;
        }
        self.stored.extend(cursors.iter().cloned());
        self.stored_at = Instant::now();
        self.intake.cursors = cursors;
        let resumed = |(_, change): &(Did, AccountChange)| *change == AccountChange::Resume;
        let resumes = self.intake.accounts.iter().any(resumed);
        let intake = Arc::new(std::mem::take(&mut self.intake));
        self.bytes = 0;
        let mut told = false;
        let new = loop {
            let taken_in = self.store.take_in(&self.consumer, intake.clone(), millis());
            match taken_in.await {
                Ok(new) => break new,
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(consumer = self.consumer.name, %error, "nothing is taken in");
                    }
                    if self.pause(STORE_PAUSE).await {
                        return;
                    }
                }
            }
        };
        if resumes {
            self.fed.send_modify(|_| {});
        }
        if new > 0 {
            self.fed.send_modify(|fed| fed.events += new);
            self.waiting = self.waiting.saturating_add(new);
            self.wait_for_room().await;
        }
    }

    async fn wait_for_room(&mut self) {
        let mut told = false;
        while self.waiting >= self.max_waiting {
            match self.store.inbox_len(&self.consumer).await {
                Ok(waiting) => self.waiting = waiting,
                Err(error) => tracing::warn!(%error, "the inbox cannot be counted"),
            }
            if self.waiting < self.max_waiting {
                return;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    consumer = self.consumer.name,
                    waiting = self.waiting,
                    "the inbox is full: nothing more is read until events are acknowledged"
                );
            }
            if self.pause(FULL_PAUSE).await {
                return;
            }
        }
    }

    /// Waits a while; true if it is over.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = self.closed() => true,
        }
    }
}

fn change(action: Action) -> Change {
    match action {
        Action::Create => Change::Create,
        Action::Update => Change::Update,
        Action::Delete => Change::Delete,
    }
}

fn stored(path: Path, cid: Option<Cid>) -> atcomms_store::Known {
    atcomms_store::Known {
        collection: path.collection,
        rkey: path.rkey,
        cid,
    }
}

/// How much of a repository's story is known, as it is stored.
fn story(standing: Standing) -> Story {
    match standing {
        Standing::Begun => Story::Begun,
        Standing::Whole => Story::Whole,
        Standing::Broken => Story::Broken,
    }
}

/// And as it was stored.
pub(crate) fn standing(story: Story) -> Standing {
    match story {
        Story::Whole => Standing::Whole,
        Story::Broken => Standing::Broken,
        _ => Standing::Begun,
    }
}
