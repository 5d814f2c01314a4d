//! Which limits a request touches, and by how much.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use atcomms_lexicon::Did;

use super::windows::Windows;
use super::{RateLimits, Status};

/// What a request costs, beside that it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost<'a> {
    /// Nothing more.
    Request,
    /// Points of an account.
    Writes { did: &'a Did, points: u64 },
    /// An upload.
    Blob,
    /// A login, whether the password is right or not.
    Login { identifier: &'a str },
}

impl Cost<'_> {
    /// Points of a record that is created.
    pub(crate) const CREATE: u64 = 3;
    /// Points of a record that is put, even if it is new.
    pub(crate) const UPDATE: u64 = 2;
    /// Points of a record that is deleted.
    pub(crate) const DELETE: u64 = 1;
}

/// What a PDS's clients have left.
#[derive(Debug)]
pub(crate) struct Budget {
    windows: Mutex<All>,
    refused: AtomicU64,
}

#[derive(Debug)]
struct All {
    hour: Windows,
    day: Windows,
    blobs: Windows,
    logins: Windows,
    requests: Windows,
}

impl Budget {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        Self {
            windows: Mutex::new(All {
                hour: Windows::new(limits.hour),
                day: Windows::new(limits.day),
                blobs: Windows::new(limits.blobs),
                logins: Windows::new(limits.logins),
                requests: Windows::new(limits.requests),
            }),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts a request, and says how that limit stands which decides: the first that refuses it, or else
    /// the one of which the least is left.
    pub(crate) fn count(&self, cost: Cost<'_>, client: IpAddr, now: Instant) -> Option<Status> {
        let statuses = self
            .windows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(cost, client, now);
        let refusing = statuses.iter().find(|status| status.refused);
        if refusing.is_some() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        let tightest = || statuses.iter().min_by_key(|status| status.left);
        refusing.or_else(tightest).copied()
    }

    /// How many requests were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl All {
    /// Takes from every limit that the request touches, in the order in which the reference PDS asks them.
    fn take(&mut self, cost: Cost<'_>, client: IpAddr, now: Instant) -> Vec<Status> {
        let address = client.to_string();
        let mut statuses = Vec::with_capacity(3);
        match cost {
            Cost::Request | Cost::Writes { points: 0, .. } => {}
            Cost::Writes { did, points } => {
                statuses.push(self.hour.take(did.to_string(), points, now));
                statuses.push(self.day.take(did.to_string(), points, now));
            }
            Cost::Blob => statuses.push(self.blobs.take(address.clone(), 1, now)),
            Cost::Login { identifier } => {
                let key = format!("{identifier}-{address}");
                statuses.push(self.logins.take(key, 1, now));
            }
        }
        statuses.push(self.requests.take(address, 1, now));
        statuses
    }
}
