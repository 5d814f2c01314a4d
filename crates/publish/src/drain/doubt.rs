//! What became of writes whose answer was lost: their keys are read back.

use atcomms_lexicon::Cid;
use atcomms_store::{Action, Entry, Failed, Outcome, StoreError};
use futures::StreamExt;

use super::trouble::{Trouble, trouble};
use super::{Drain, Hold, Next, stuck, wait};
use crate::error::XrpcError;
use crate::pds::Place;
use crate::publish_error::{KEY_TAKEN, SWAP_FAILED};
use crate::read_back::read_back;

/// Keys that are read at once. Reading costs no points.
const AT_ONCE: usize = 8;

/// So often the PDS may fail on an entry that is sent alone. With the pauses between, about an hour.
const MAX_STRIKES: u32 = 16;

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
        let session = &self.session;
        let found: Vec<(Entry, Result<Option<Cid>, XrpcError>)> =
            futures::stream::iter(doubts.map(|entry| async move {
                let found = read_back(session, &Place::of(&entry)).await;
                (entry, found)
            }))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut outcomes = Vec::new();
        let mut failed = None;
        for (entry, found) in found {
            match found {
                Ok(found) => {
                    let outcome = self.known(&entry, found);
                    outcomes.push((entry, outcome));
                }
                Err(error) => failed = Some((entry.id, error)),
            }
        }
        self.settle(outcomes).await?;
        match failed {
            Some((id, error)) => Ok(Next::Wait(self.trouble_in_reading(id, &error))),
            None => Ok(Next::Continue),
        }
    }

    /// What it means that a key holds this.
    pub(super) fn known(&self, entry: &Entry, found: Option<Cid>) -> Outcome {
        let written = Outcome::Written {
            rev: None,
            commit: None,
        };
        let again = || Outcome::NotDone {
            reason: entry.reason.clone().unwrap_or_else(|| LOST.to_owned()),
            not_before: entry.not_before,
        };
        let strikes = self.strikes.get(&entry.id).copied().unwrap_or(0);
        match (entry.action, found, entry.swap) {
            (Action::Create | Action::Put, Some(found), _) if Some(found) == entry.cid => written,
            (Action::Delete, None, _) => written,
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
            _ if strikes >= MAX_STRIKES => failed(
                UNWRITABLE,
                format!(
                    "the PDS failed on it {strikes} times ({})",
                    entry.reason.as_deref().unwrap_or("without a word")
                ),
                None,
            ),
            _ => again(),
        }
    }

    /// What is to be waited for if not even reading works.
    fn trouble_in_reading(&mut self, id: i64, error: &XrpcError) -> Hold {
        match trouble(error) {
            Trouble::Stuck | Trouble::Refused => stuck(error.to_string(), vec![id]),
            _ => wait(self.pace.failed(), &error.to_string(), Vec::new()),
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
