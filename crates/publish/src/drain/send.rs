//! One request, and what it did.

use std::time::Duration;

use atcomms_lexicon::{Cid, fault};
use atcomms_store::{Action, Entry, Outcome, Pool, Server, StoreError};

use super::batch::{Batch, MAX_WRITES};
use super::doubt::failed;
use super::hold::{stuck, wait};
use super::trouble::{Trouble, costs_nothing, named_wait, trouble};
use super::{Drain, Next};
use crate::RateLimit;
use crate::clock::now;
use crate::error::XrpcError;
use crate::pds::{self, BatchWrite, Place, Swap, Written};
use crate::publish_error::CID_MISMATCH;
use crate::read_back::read_back;

/// What a request gave: for each write the CID by the PDS's word.
type Answer = Result<(Written, Vec<Option<Cid>>), XrpcError>;

impl Drain {
    /// Sends a batch and stores what became of it.
    pub(super) async fn send(
        &mut self,
        mut batch: Batch,
        server: Server,
    ) -> Result<Next, StoreError> {
        // Points are counted below, once it is known that they may have been spent.
        let pending = self.store.mark_sent(&batch.entries, now()).await?;
        batch.entries.retain(|entry| pending.contains(&entry.id));
        if batch.entries.is_empty() {
            return Ok(Next::Continue);
        }
        for entry in &mut batch.entries {
            entry.attempts = entry.attempts.saturating_add(1);
        }
        self.store.reach("write.before").await;
        let answer = self.request(&batch.entries).await;
        self.store.reach("write.after").await;
        self.count(batch.points(), &answer, server).await?;
        self.hear(&answer, server).await?;
        match answer {
            Ok((written, cids)) => {
                self.pace.succeeded();
                self.waiters.goes_on();
                self.strikes.carried_out();
                self.cap = self.cap.saturating_mul(2).min(MAX_WRITES);
                let outcomes = self.carried_out(batch, &written, &cids);
                self.settle(outcomes).await?;
                Ok(Next::Continue)
            }
            Err(error) => self.unanswered(batch, &error).await,
        }
    }

    /// What a good answer says of each write.
    fn carried_out(
        &mut self,
        batch: Batch,
        written: &Written,
        cids: &[Option<Cid>],
    ) -> Vec<(Entry, Outcome)> {
        // One that is shorter than what was asked for does not say which of them it is about.
        let says_all = cids.len() == batch.entries.len() || fault::on("short-answer");
        let outcomes = batch.entries.into_iter().enumerate().map(|(index, entry)| {
            let said = cids.get(index).copied().flatten().filter(|_| says_all);
            let outcome = match said {
                None if entry.action != Action::Delete => Outcome::InDoubt {
                    reason: UNCONFIRMED.to_owned(),
                    not_before: self.strikes.failed(entry.id),
                },
                _ => confirmed(&entry, said, written),
            };
            (entry, outcome)
        });
        outcomes.collect()
    }

    /// Counts the points of a request, where the PDS counts them and it came so far.
    async fn count(&self, points: u64, answer: &Answer, server: Server) -> Result<(), StoreError> {
        if matches!(answer, Err(error) if costs_nothing(error)) {
            return Ok(());
        }
        if server.limited == Some(false) {
            return Ok(());
        }
        let did = self.session.did();
        self.store.spend(did, Pool::Writes, points, now()).await
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
        let alone = match batch.entries.as_slice() {
            [entry] => Some(entry.id),
            _ => None,
        };
        tracing::debug!(did = %self.session.did(), writes = batch.entries.len(), %error, "not written");
        let held = |pause| Next::Wait(wait(pause, &reason));
        let (outcomes, next) = match trouble(error) {
            Trouble::Away => (not_done(batch, &reason), held(self.pace.failed())),
            Trouble::Limited => {
                let pause = self.pace.limited(named_wait(error));
                (not_done(batch, &reason), held(pause))
            }
            Trouble::Stuck => (not_done(batch, &reason), Next::Wait(stuck(reason.clone()))),
            Trouble::Refused => (self.refused(batch, error).await, Next::Continue),
            Trouble::Unclear { answered } => {
                let pause = match answered {
                    true => self.pace.stumbled(alone),
                    false => Some(self.pace.failed()),
                };
                let outcomes = match answered {
                    true => self.answered(batch, &reason).await,
                    false => self.lost(batch, &reason, pause.unwrap_or_default()),
                };
                (outcomes, pause.map_or(Next::Continue, held))
            }
        };
        self.settle(outcomes).await?;
        Ok(next)
    }

    /// The PDS refuses a write; in a batch it does not say which, so the batch is halved.
    async fn refused(&mut self, batch: Batch, error: &XrpcError) -> Vec<(Entry, Outcome)> {
        let reason = error.to_string();
        let name = error.name().unwrap_or_default();
        if name == BLOB_NOT_FOUND {
            self.forget_uploads(&batch).await;
        }
        let entry = match <[Entry; 1]>::try_from(batch.entries) {
            Ok([entry]) => entry,
            Err(entries) => {
                let batch = Batch { entries };
                self.halve(&batch);
                return not_done(batch, &reason);
            }
        };
        let outcome = match name {
            "InvalidSwap" => self.lost_race(&entry, reason).await,
            // One without attachments of ours refers to what the caller has uploaded.
            BLOB_NOT_FOUND
                if !entry.blobs.is_empty() && self.strikes.may_upload_again(entry.id) =>
            {
                let not_before = 0;
                Outcome::NotDone { reason, not_before }
            }
            _ => failed(name, reason, None),
        };
        vec![(entry, outcome)]
    }

    /// Something else was there than had to be; it may have been an earlier attempt of ours.
    async fn lost_race(&mut self, entry: &Entry, reason: String) -> Outcome {
        match read_back(&self.session, &Place::of(entry)).await {
            Ok(found) => match self.known(entry, found) {
                // What is there is what should be: the PDS contradicts itself.
                Outcome::NotDone { .. } => Outcome::NotDone {
                    reason,
                    not_before: self.strikes.failed(entry.id),
                },
                outcome => outcome,
            },
            Err(error) => Outcome::InDoubt {
                reason: error.to_string(),
                not_before: 0,
            },
        }
    }

    /// The PDS has thrown blobs away: they are uploaded again.
    async fn forget_uploads(&self, batch: &Batch) {
        let blobs = batch.entries.iter().flat_map(|entry| &entry.blobs);
        let cids: Vec<Cid> = blobs.map(|blob| blob.cid).collect();
        let (did, pds) = (self.session.did(), self.session.pds().as_str());
        if let Err(error) = self.store.forget_uploaded(did, pds, cids).await {
            tracing::warn!(%error, "blobs that the PDS lost are not forgotten");
        }
    }

    /// The PDS has failed, and is done with it; nobody knows what it did.
    async fn answered(&mut self, batch: Batch, reason: &str) -> Vec<(Entry, Outcome)> {
        match batch.entries.as_slice() {
            [entry] => {
                let not_before = self.strikes.failed(entry.id);
                in_doubt(batch, reason, not_before)
            }
            [first, ..] if first.action == Action::Create => {
                self.halve(&batch);
                // A batch is written whole or not at all: without its first, it was not.
                match read_back(&self.session, &Place::of(first)).await {
                    Ok(None) => not_done(batch, reason),
                    _ => in_doubt(batch, reason, 0),
                }
            }
            _ => {
                self.halve(&batch);
                in_doubt(batch, reason, 0)
            }
        }
    }

    /// No answer came, and all wait for `pause`. The PDS may still be at it, or it was too much.
    fn lost(&mut self, batch: Batch, reason: &str, pause: Duration) -> Vec<(Entry, Outcome)> {
        let not_before = match batch.entries.as_slice() {
            [entry] => self.strikes.unanswered(entry.id, pause),
            _ => 0,
        };
        self.halve(&batch);
        in_doubt(batch, reason, not_before)
    }

    /// The next batches are half as large.
    fn halve(&mut self, batch: &Batch) {
        self.cap = batch.entries.len().div_ceil(2);
    }
}

/// The name with which a PDS refuses a record that refers to a blob it does not have (any more).
const BLOB_NOT_FOUND: &str = "BlobNotFound";

/// Why a write is in doubt that was answered without a word on it.
const UNCONFIRMED: &str = "the PDS has answered without saying what it stored: it is read back";

/// What a good answer says of one write.
fn confirmed(entry: &Entry, said: Option<Cid>, written: &Written) -> Outcome {
    match said {
        Some(got)
            if entry.action != Action::Delete
                && entry.cid != Some(got)
                && !fault::on("answer-cid") =>
        {
            failed(
                CID_MISMATCH,
                format!("the PDS stored {got} instead of what was sent: it alters records"),
                Some(got),
            )
        }
        _ => Outcome::Written {
            rev: written.rev,
            commit: written.commit,
        },
    }
}

fn not_done(batch: Batch, reason: &str) -> Vec<(Entry, Outcome)> {
    let outcome = |entry| {
        let (reason, not_before) = (reason.to_owned(), 0);
        (entry, Outcome::NotDone { reason, not_before })
    };
    batch.entries.into_iter().map(outcome).collect()
}

fn in_doubt(batch: Batch, reason: &str, not_before: i64) -> Vec<(Entry, Outcome)> {
    let outcome = |entry| {
        let reason = reason.to_owned();
        (entry, Outcome::InDoubt { reason, not_before })
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
