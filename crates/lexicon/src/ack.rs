use crate::known_values::known_values;
use crate::object::record;
use crate::{Did, RecordKey, StrongRef, derived_key};

known_values! {
    /// What became of a record that was received.
    pub enum AckKind {
        /// It arrived.
        Delivered = "delivered",
        /// It was dealt with.
        Processed = "processed",
        /// What it asks or offers is taken on.
        Accepted = "accepted",
        /// What it asks or offers is not taken on.
        Declined = "declined",
        /// It could not be dealt with.
        Failed = "failed",
    }
}

record! {
    /// A receipt for a record, in the receiver's repository. One record for each subject, updated in place.
    pub struct Ack = "agent.comms.ack", key Any, author sender, derived key_of {
        required {
            /// Who received it: the owner of the repository.
            sender: Did = "sender";
            /// What was received.
            subject: StrongRef = "subject";
            /// What became of it.
            kind: AckKind = "kind";
        }
    }
}

impl Ack {
    /// What became of `subject`, said by `sender` now.
    pub fn new(
        sender: impl Into<Did>,
        subject: impl Into<StrongRef>,
        kind: impl Into<AckKind>,
    ) -> Self {
        Self::bare(sender.into(), subject.into(), kind.into())
    }
}

fn key_of(ack: &Ack) -> Option<RecordKey> {
    Some(derived_key(&ack.subject))
}
