//! What was accepted: how far it is, and what became of it.

use std::marker::PhantomData;

use atcomms_lexicon::{AtUri, Datetime};
use atcomms_store::{Entry, State};
use tokio::sync::watch;

use crate::publish_error::PublishError;
use crate::receipt::{Deleted, Receipt};

/// A write that was accepted: it survives a power loss, and is done sooner or later. Dropping this does
/// not take it back. Cheap to clone.
///
/// Its receipt is a [`Receipt`], or for a delete a [`Deleted`].
#[derive(Clone, Debug)]
pub struct Accepted<T = Receipt> {
    uri: AtUri,
    id: i64,
    progress: watch::Receiver<Progress>,
    receipt: PhantomData<fn() -> T>,
}

/// What a written entry gives: [`Receipt`] or [`Deleted`].
pub trait FromEntry: Sized + private::Sealed {
    #[doc(hidden)]
    fn from_entry(entry: &Entry) -> Option<Self>;
}

mod private {
    pub trait Sealed {}
    impl Sealed for super::Receipt {}
    impl Sealed for super::Deleted {}
}

impl FromEntry for Receipt {
    fn from_entry(entry: &Entry) -> Option<Self> {
        Some(Self {
            uri: entry.uri(),
            cid: entry.cid?,
            rev: entry.rev,
        })
    }
}

impl FromEntry for Deleted {
    fn from_entry(entry: &Entry) -> Option<Self> {
        Some(Self {
            uri: entry.uri(),
            rev: entry.rev,
        })
    }
}

/// How far an accepted write is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// It waits.
    Pending(Pending),
    /// It is in the repository, or no longer for a delete; or it has failed for good.
    Settled(Box<Entry>),
    /// It was given up by somebody who edited the outbox.
    GivenUp,
}

/// Why an accepted write is not done yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// How often it was tried.
    pub attempts: u32,
    /// Why it waits; `None` while nothing stands in its way but what came before it.
    pub reason: Option<String>,
    /// When it is tried next, if that is known.
    pub retry_at: Option<Datetime>,
    /// Whether somebody has to do something first, such as log in again.
    pub stuck: bool,
}

impl<T> Accepted<T> {
    pub(crate) fn new(entry: &Entry, progress: watch::Receiver<Progress>) -> Self {
        Self {
            uri: entry.uri(),
            id: entry.id,
            progress,
            receipt: PhantomData,
        }
    }

    /// Where it goes.
    pub fn uri(&self) -> &AtUri {
        &self.uri
    }

    /// Its number in the outbox.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until it is further than it was when this was called last, or else when it was accepted.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`PublishError::Closed`] if the publisher is gone or was shut down, or if nothing will change any
    /// more.
    pub async fn changed(&mut self) -> Result<Progress, PublishError> {
        let closed = || PublishError::Closed {
            uri: self.uri.clone(),
        };
        self.progress.changed().await.map_err(|_| closed())?;
        Ok(self.progress.borrow_and_update().clone())
    }
}

impl<T: FromEntry> Accepted<T> {
    /// Waits until it is in the repository, or no longer for a delete. An outage of the PDS and used-up
    /// rate limits are waited for; the caller sets a time limit if it needs one. Cancel safe: it can be
    /// asked again.
    ///
    /// # Errors
    /// [`PublishError`] if it failed for good, or if somebody has to do something first
    /// ([`PublishError::Stuck`]): then it stays accepted.
    pub async fn receipt(&self) -> Result<T, PublishError> {
        let mut progress = self.progress.clone();
        let over = progress
            .wait_for(|progress| match progress {
                Progress::Pending(pending) => pending.stuck,
                Progress::Settled(_) | Progress::GivenUp => true,
            })
            .await;
        let uri = self.uri.clone();
        let Ok(over) = over else {
            return Err(PublishError::Closed { uri });
        };
        match &*over {
            Progress::Settled(entry) if entry.state == State::Written => {
                T::from_entry(entry).ok_or(PublishError::Closed { uri })
            }
            Progress::Settled(entry) => Err(PublishError::of(entry)),
            Progress::Pending(pending) => Err(PublishError::Stuck {
                uri,
                reason: pending.reason.clone().unwrap_or_default(),
            }),
            Progress::GivenUp => Err(PublishError::GivenUp { uri }),
        }
    }
}
