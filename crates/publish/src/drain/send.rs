//! One request, and what it did.

use std::time::Duration;

use atcomms_lexicon::Cid;
use atcomms_store::{Action, Entry, Outcome, Pool, Server, StoreError};

use super::batch::{Batch, MAX_WRITES};
use super::doubt::failed;
use super::trouble::{Trouble, trouble};
use super::{Drain, Next, stuck, wait};
use crate::RateLimit;
use crate::clock::{millis, now};
use crate::error::XrpcError;
use crate::pds::{self, BatchWrite, Place, Swap, Written};
use crate::publish_error::CID_MISMATCH;
use crate::read_back::read_back;

/// The first pause after the PDS failed on one entry alone, during which others pass it; it doubles.
const FIRST_STRIKE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_STRIKE: Duration = Duration::from_secs(300);

/// What a request gave: for each write the CID by the PDS's word.
type Answer = Result<(Written, Vec<Option<Cid>>), XrpcError>;

impl Drain {
    /// Sends a batch and stores what became of it.
    pub(super) async fn send(&mut self, batch: Batch, server: Server) -> Result<Next, StoreError> {
        let did = self.session.did().clone();
        // Points are counted where the PDS counts them.
        let points = match server.limited {
            Some(false) => 0,
            _ => batch.points(),
        };
        let marked = self.store.mark_sent(&did, &batch.entries, points, now());
        match marked.await {
            // One of them was replaced or given up since the look: what is next is another batch.
            Err(StoreError::NotPending { .. }) => return Ok(Next::Continue),
            marked => marked?,
        }
        self.store.reach("write.before").await;
        let answer = self.request(&batch.entries).await;
        self.store.reach("write.after").await;
        self.hear(&answer, server).await?;
        match answer {
            Ok((written, cids)) => {
                self.pace.succeeded();
                self.cap = self.cap.saturating_mul(2).min(MAX_WRITES);
                let outcomes = batch.entries.into_iter().enumerate().map(|(index, entry)| {
                    let said = cids.get(index).copied().flatten();
                    let outcome = confirmed(&entry, said, &written);
                    (entry, outcome)
                });
                let outcomes: Vec<_> = outcomes.collect();
                for (entry, _) in &outcomes {
                    self.strikes.remove(&entry.id);
                }
                self.settle(outcomes).await?;
                Ok(Next::Continue)
            }
            Err(error) => self.unanswered(batch, &error).await,
        }
    }

    async fn request(&self, entries: &[Entry]) -> Answer {
        let session = &self.session;
        if let [entry] = entries {
            let place = Place::of(entry);
            if entry.action == Action::Delete {
                let swap = entry.swap.map_or(Swap::Any, Swap::At);
                let written = pds::delete_record(session, &place, swap).await?;
                return Ok((written, vec![None]));
            }
            let swap = match (entry.action, entry.swap) {
                (Action::Create, _) => Swap::Absent,
                (_, Some(expected)) => Swap::At(expected),
                (_, None) => Swap::Any,
            };
            let record = pds::json(entry.record.as_deref().unwrap_or_default());
            let record = record.ok_or_else(|| unreadable(&place))?;
            let (written, cid) = pds::put_record(session, &place, &record, swap).await?;
            return Ok((written, vec![Some(cid)]));
        }
        let writes = entries
            .iter()
            .map(batch_write)
            .collect::<Result<Vec<_>, _>>()?;
        pds::apply_writes(session, &writes).await
    }

    /// Takes in what an answer said of the rate limits, or that there are none.
    async fn hear(&self, answer: &Answer, server: Server) -> Result<(), StoreError> {
        let limit = match answer {
            Ok((written, _)) => written.limit.as_ref(),
            Err(XrpcError::RateLimited { limit, .. }) => limit.as_deref(),
            Err(_) => return Ok(()),
        };
        let (did, pds) = (self.session.did(), self.session.pds().as_str());
        if let Some(told) = limit.and_then(|limit| RateLimit::told(limit, now())) {
            self.store.tell(did, Pool::Writes, told, now()).await?;
        }
        // A refusal without a word tells that there are limits; an answer without one, that there are none.
        let limited = limit.is_some() || answer.is_err();
        if server.limited != Some(limited) {
            self.store
                .note_server(pds, Server::with_limits(limited))
                .await?;
        }
        Ok(())
    }

    /// There is no good answer: what that means for each write, and for what comes next.
    async fn unanswered(&mut self, batch: Batch, error: &XrpcError) -> Result<Next, StoreError> {
        let reason = error.to_string();
        let ids = batch.ids();
        tracing::debug!(did = %self.session.did(), writes = ids.len(), %error, "not written");
        let (outcomes, next) = match trouble(error) {
            Trouble::Away => (
                not_done(batch, &reason, 0),
                Next::Wait(wait(self.pace.failed(), &reason, ids)),
            ),
            Trouble::Limited => {
                let next = self.limited(error, &reason, ids).await?;
                (not_done(batch, &reason, 0), next)
            }
            Trouble::Stuck => (not_done(batch, &reason, 0), Next::Wait(stuck(reason, ids))),
            Trouble::Refused => (self.refused(batch, error).await, Next::Continue),
            Trouble::Unclear { answered } => {
                let outcomes = self.unclear(batch, answered, &reason).await;
                let pause = match answered {
                    true => self.pace.stumbled(),
                    false => Some(self.pace.failed()),
                };
                let next = pause.map_or(Next::Continue, |pause| {
                    Next::Wait(wait(pause, &reason, ids))
                });
                (outcomes, next)
            }
        };
        self.settle(outcomes).await?;
        Ok(next)
    }

    /// A refusal that names no time is waited out like an outage.
    async fn limited(
        &mut self,
        error: &XrpcError,
        reason: &str,
        tried: Vec<i64>,
    ) -> Result<Next, StoreError> {
        let named = match error {
            XrpcError::RateLimited { limit, .. } => limit.as_ref().and_then(|limit| {
                let seconds = u64::try_from(now() / 1000).unwrap_or(0);
                limit.wait(seconds)
            }),
            _ => None,
        };
        let pause = named.unwrap_or_else(|| self.pace.failed());
        Ok(Next::Wait(wait(pause, reason, tried)))
    }

    /// The PDS refuses a write; in a batch it does not say which, so the batch is halved.
    async fn refused(&mut self, batch: Batch, error: &XrpcError) -> Vec<(Entry, Outcome)> {
        let reason = error.to_string();
        let name = error.name().unwrap_or_default();
        if name == "BlobNotFound" {
            return self.blobs_missing(batch, &reason).await;
        }
        match <[Entry; 1]>::try_from(batch.entries) {
            Ok([entry]) if name == "InvalidSwap" => {
                let outcome = match read_back(&self.session, &Place::of(&entry)).await {
                    Ok(found) => self.known(&entry, found),
                    // It may have been an earlier attempt of ours that was there first.
                    Err(error) => Outcome::InDoubt {
                        reason: error.to_string(),
                        not_before: 0,
                    },
                };
                vec![(entry, outcome)]
            }
            Ok([entry]) => vec![(entry, failed(name, reason, None))],
            Err(entries) => {
                self.cap = entries.len().div_ceil(2);
                not_done(Batch { entries }, &reason, 0)
            }
        }
    }

    /// The PDS has thrown blobs away: they are uploaded again.
    async fn blobs_missing(&mut self, batch: Batch, reason: &str) -> Vec<(Entry, Outcome)> {
        let cids: Vec<Cid> = batch
            .entries
            .iter()
            .flat_map(|entry| entry.blobs.iter().map(|blob| blob.cid))
            .collect();
        let pds = self.session.pds().to_string();
        let forgotten = self
            .store
            .forget_uploaded(self.session.did(), &pds, cids.clone())
            .await;
        if let Err(error) = forgotten {
            tracing::warn!(%error, "blobs that the PDS lost are not forgotten");
        }
        let outcomes = batch.entries.into_iter().map(|entry| {
            let strikes = self.strikes.entry(entry.id).or_default();
            *strikes += 1;
            // A blob that we do not have, because the caller uploaded it, or one that the PDS does not
            // keep.
            let outcome = match cids.is_empty() || *strikes > MAX_UPLOADS {
                true => failed("BlobNotFound", reason.to_owned(), None),
                false => Outcome::NotDone {
                    reason: reason.to_owned(),
                    not_before: 0,
                },
            };
            (entry, outcome)
        });
        outcomes.collect()
    }

    /// Nobody knows what became of it.
    async fn unclear(
        &mut self,
        batch: Batch,
        answered: bool,
        reason: &str,
    ) -> Vec<(Entry, Outcome)> {
        let in_doubt = |batch: Batch, not_before: i64| -> Vec<_> {
            let doubt = |entry| {
                let reason = reason.to_owned();
                (entry, Outcome::InDoubt { reason, not_before })
            };
            batch.entries.into_iter().map(doubt).collect()
        };
        match batch.entries.as_slice() {
            [entry] if answered => {
                let not_before = self.strike(entry.id);
                in_doubt(batch, not_before)
            }
            [first, ..] if answered => {
                self.cap = batch.entries.len().div_ceil(2);
                // A batch is written whole or not at all: without its first, it was not.
                match read_back(&self.session, &Place::of(first)).await {
                    Ok(None) if first.action == Action::Create => not_done(batch, reason, 0),
                    _ => in_doubt(batch, 0),
                }
            }
            _ => in_doubt(batch, 0),
        }
    }

    /// Counts a failure of the PDS on one entry; gives when it may be sent again.
    fn strike(&mut self, id: i64) -> i64 {
        let strikes = self.strikes.entry(id).or_default();
        *strikes += 1;
        let pause = FIRST_STRIKE.saturating_mul(2u32.saturating_pow(*strikes - 1));
        now().saturating_add(millis(pause.min(LONGEST_STRIKE)))
    }
}

/// How often the attachments of one entry are uploaded again because the PDS has lost them.
const MAX_UPLOADS: u32 = 3;

/// What a good answer says of one write.
fn confirmed(entry: &Entry, said: Option<Cid>, written: &Written) -> Outcome {
    match said {
        Some(got) if entry.action != Action::Delete && entry.cid != Some(got) => failed(
            CID_MISMATCH,
            format!("the PDS stored {got} instead of what was sent: it alters records"),
            Some(got),
        ),
        _ => Outcome::Written {
            rev: written.rev,
            commit: written.commit,
        },
    }
}

fn not_done(batch: Batch, reason: &str, not_before: i64) -> Vec<(Entry, Outcome)> {
    let outcome = |entry| {
        let reason = reason.to_owned();
        (entry, Outcome::NotDone { reason, not_before })
    };
    batch.entries.into_iter().map(outcome).collect()
}

fn batch_write(entry: &Entry) -> Result<BatchWrite, XrpcError> {
    let Place {
        collection, rkey, ..
    } = Place::of(entry);
    if entry.action == Action::Delete {
        return Ok(BatchWrite::Delete { collection, rkey });
    }
    let value = pds::json(entry.record.as_deref().unwrap_or_default());
    let value = value.ok_or_else(|| unreadable(&Place::of(entry)))?;
    Ok(BatchWrite::Create {
        collection,
        rkey,
        value,
    })
}

/// What was accepted was a record; if it is none now, the store was edited.
fn unreadable(place: &Place) -> XrpcError {
    XrpcError::Refused {
        pds: "the store".to_owned(),
        method: pds::PUT_RECORD.to_owned(),
        status: 0,
        name: "Unreadable".to_owned(),
        message: format!("the record of {} cannot be read any more", place.uri()),
    }
}
