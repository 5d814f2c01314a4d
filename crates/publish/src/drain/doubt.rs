//! What became of writes whose answer was lost: their keys are read back.

use std::time::Duration;

use atcomms_lexicon::{Cid, fault};
use atcomms_store::{Action, Entry, Failed, Outcome, StoreError};
use futures::StreamExt;

use super::hold::{Hold, stuck, wait};
use super::trouble::{Trouble, named_wait, trouble};
use super::{Drain, Next};
use crate::error::XrpcError;
use crate::pds::Place;
use crate::publish_error::{KEY_TAKEN, SWAP_FAILED};
use crate::read_back::read_back;

/// Keys that are read at once. Reading costs no points.
const AT_ONCE: usize = 8;

/// Why an entry waits whose process died after it was sent.
const LOST: &str = "its answer was lost, and it is not there: it is sent again";

/// The name of the failure of an entry on which the PDS failed too often.
const UNWRITABLE: &str = "InternalServerError";

impl Drain {
    /// Finds out about entries that were sent without an answer.
    pub(super) async fn settle_doubts(&mut self, entries: Vec<Entry>) -> Result<Next, StoreError> {
        let doubts = entries
            .into_iter()
            .filter(|entry| entry.doubt_since.is_some());
        let session = self.session.clone();
        let mut reading = futures::stream::iter(doubts.map(|entry| {
            let session = session.clone();
            async move {
                let found = read_back(&session, &Place::of(&entry)).await;
                (entry, found)
            }
        }))
        .buffered(AT_ONCE);
        let mut outcomes = Vec::new();
        let mut hold = None;
        while let Some((entry, found)) = reading.next().await {
            match found {
                Ok(found) => {
                    let outcome = self.known(&entry, found);
                    outcomes.push((entry, outcome));
                }
                Err(error) => {
                    let (not_before, stop) = self.unread(entry.id, &error);
                    hold = stop;
                    if let Some(not_before) = not_before {
                        let reason = error.to_string();
                        outcomes.push((entry, Outcome::InDoubt { reason, not_before }));
                    }
                }
            }
            // The rest would go the same way.
            if hold.is_some() || self.is_stopping() {
                break;
            }
        }
        drop(reading);
        self.settle(outcomes).await?;
        Ok(hold.map_or(Next::Continue, Next::Wait))
    }

    /// What it means that a key holds this.
    pub(super) fn known(&self, entry: &Entry, found: Option<Cid>) -> Outcome {
        let written = Outcome::Written {
            rev: None,
            commit: None,
        };
        let again = || Outcome::NotDone {
            reason: entry.reason.clone().unwrap_or_else(|| LOST.to_owned()),
            not_before: 0,
        };
        match (entry.action, found, entry.swap) {
            (Action::Create | Action::Put, Some(found), _) if Some(found) == entry.cid => written,
            (Action::Delete, None, _) => written,
            (Action::Create, Some(_), _) if fault::on("key-taken") => written,
            (Action::Create, Some(found), _) => failed(
                KEY_TAKEN,
                "its key holds another record".to_owned(),
                Some(found),
            ),
            (_, found, Some(expected)) if found != Some(expected) => failed(
                SWAP_FAILED,
                "what it was to replace has changed".to_owned(),
                found,
            ),
            _ => match self.strikes.too_many(entry.id) {
                Some(times) => failed(
                    UNWRITABLE,
                    format!(
                        "the PDS failed on it {times} times ({})",
                        entry.reason.as_deref().unwrap_or("without a word")
                    ),
                    None,
                ),
                None => again(),
            },
        }
    }

    /// Not even reading works: until when this one entry is set aside, if it is about that, and what
    /// all wait for, if it is about all.
    fn unread(&mut self, id: i64, error: &XrpcError) -> (Option<i64>, Option<Hold>) {
        let reason = error.to_string();
        match trouble(error) {
            Trouble::Refused | Trouble::Unclear { answered: true } => {
                let not_before = self.strikes.unanswered(id, Duration::ZERO);
                let pause = self.pace.stumbled(Some(id));
                (Some(not_before), pause.map(|pause| wait(pause, &reason)))
            }
            Trouble::Unclear { answered: false } => {
                let pause = self.pace.failed();
                let not_before = self.strikes.unanswered(id, pause);
                (Some(not_before), Some(wait(pause, &reason)))
            }
            Trouble::Stuck => (None, Some(stuck(reason))),
            Trouble::Limited => {
                let pause = self.pace.limited(named_wait(error));
                (None, Some(wait(pause, &reason)))
            }
            Trouble::Away => (None, Some(wait(self.pace.failed(), &reason))),
        }
    }
}

pub(super) fn failed(failure: &str, reason: String, found: Option<Cid>) -> Outcome {
    Outcome::Failed(Failed {
        failure: failure.to_owned(),
        reason,
        found,
    })
}
