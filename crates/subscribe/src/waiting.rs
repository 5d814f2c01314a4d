//! An event of an inbox, looked at without taking it out.

use atcomms_store::Received;

use crate::delivery::{Delivery, Undecodable};

/// An event that waits in an inbox, or was laid aside; made by [`Inbox::peek`](crate::Inbox::peek).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Waiting {
    /// Its number in the inbox.
    pub id: i64,
    /// How often it was handed out.
    pub attempts: u32,
    /// When it was taken in, in milliseconds since 1970.
    pub received_at: i64,
    /// What it is, or the record that cannot be read.
    pub item: Result<Delivery, Undecodable>,
}

impl From<Received> for Waiting {
    fn from(received: Received) -> Self {
        Self {
            id: received.id,
            attempts: received.attempts,
            received_at: received.received_at,
            item: Delivery::from_received(received),
        }
    }
}
