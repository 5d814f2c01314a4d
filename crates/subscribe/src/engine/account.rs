//! What is said of accounts. `#account` is unsigned, and each hop has its own mind: it pauses what is delivered of
//! an account, and makes us ask its PDS, whose word counts.

use std::collections::{BTreeSet, HashSet};

use atcomms_lexicon::Did;
use atcomms_repo::frame::AccountFrame;

use super::{Engine, Output};

/// Accounts that are asked about at once; what is said of more is left to what their commits say.
const ASKED_AT_ONCE: usize = 64;
/// An account that is not active, or whose PDS is not reached, is asked about again after this.
const AGAIN_MICROS: u64 = 60 * 1_000_000;
/// Accounts that wait to be asked about again: those of which something is paused.
const MAX_WAITING: usize = 10_000;

/// What an account's PDS says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountStatus {
    /// Its repository is served.
    Active,
    /// It is deactivated, suspended or taken down.
    Inactive,
    /// It is deleted.
    Deleted,
    /// Its PDS is not reached.
    Unknown,
}

/// The questions about accounts that are under way, and those to come.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    asked: HashSet<Did>,
    again: BTreeSet<(u64, Did)>,
}

impl Accounts {
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.again.first().map(|(at, _)| *at)
    }
}

impl Engine {
    /// Takes in whose events are paused since an earlier run.
    pub(crate) fn remember_paused(&mut self, did: &Did) {
        let followed = self.scope.follows(did.as_str());
        self.repositories.entry(did, followed).paused = true;
        self.ask_status(did);
    }

    pub(super) fn account(&mut self, account: &AccountFrame<'_>) {
        let Ok(did) = account.did.parse::<Did>() else {
            self.counters.rejected("did_syntax");
            return;
        };
        let Some(repository) = self.repositories.get_mut(&did) else {
            return;
        };
        if account.active && !repository.paused {
            return;
        }
        if self.ask_status(&did)
            && !account.active
            && !atcomms_lexicon::fault::on("pause")
            && let Some(repository) = self.repositories.get_mut(&did)
            && !std::mem::replace(&mut repository.paused, true)
        {
            self.questions.push_back(Output::Pause { did });
        }
    }

    /// False if too many are asked about.
    fn ask_status(&mut self, did: &Did) -> bool {
        if self.accounts.asked.contains(did) {
            return true;
        }
        if self.accounts.asked.len() >= ASKED_AT_ONCE {
            return false;
        }
        self.accounts.asked.insert(did.clone());
        self.questions
            .push_back(Output::AskStatus { did: did.clone() });
        true
    }

    /// Takes in the answer to an [`Output::AskStatus`].
    pub(crate) fn status(&mut self, did: &Did, status: AccountStatus, now: u64) {
        self.accounts.asked.remove(did);
        match status {
            AccountStatus::Active => {
                self.resume(did);
                self.miss(did, None, "its account was said to be inactive", now);
                self.resync_tick(now);
            }
            AccountStatus::Deleted => {
                tracing::info!(%did, "its account was deleted: what it wrote is not delivered any more");
                self.questions.push_back(Output::Purge { did: did.clone() });
            }
            AccountStatus::Inactive | AccountStatus::Unknown => {
                if self.accounts.again.len() < MAX_WAITING {
                    let at = now.saturating_add(AGAIN_MICROS);
                    self.accounts.again.insert((at, did.clone()));
                }
            }
        }
    }

    /// What it wrote is delivered again: its PDS says so, or a commit that it signed.
    pub(super) fn resume(&mut self, did: &Did) {
        if let Some(repository) = self.repositories.get_mut(did)
            && std::mem::take(&mut repository.paused)
        {
            self.questions
                .push_back(Output::Resume { did: did.clone() });
        }
    }

    /// Asks again about those whose time has come.
    pub(super) fn ask_again(&mut self, now: u64) {
        while let Some(first) = self.accounts.again.first().filter(|(at, _)| *at <= now) {
            let first = first.clone();
            self.accounts.again.remove(&first);
            let did = first.1;
            let paused = self.repositories.get_mut(&did);
            if paused.is_some_and(|repository| repository.paused) && !self.ask_status(&did) {
                let at = now.saturating_add(AGAIN_MICROS);
                self.accounts.again.insert((at, did));
            }
        }
    }
}
