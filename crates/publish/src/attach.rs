//! Which records have attachments.

use atcomms_lexicon::{Artifact, Broadcast, Handoff, Message, Record, Request, Response};

/// A record with a list of attachments, to which [`Publish::attach`](crate::Publish::attach) adds.
///
/// A record type of your own implements it in a line, if it has such a field.
pub trait Attach: Record {
    /// The list.
    fn attachments(&mut self) -> &mut Vec<Artifact>;
}

macro_rules! has_attachments {
    ($($record:ty),+) => {$(
        impl Attach for $record {
            fn attachments(&mut self) -> &mut Vec<Artifact> {
                &mut self.attachments
            }
        }
    )+};
}

has_attachments!(Broadcast, Handoff, Message, Request, Response);
