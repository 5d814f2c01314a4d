use crate::object::record;
use crate::schema::{bytes, from};
use crate::{Datetime, Did, RecordKey, StrongRef, derived_key};

record! {
    /// A bid for an open request.
    pub struct Proposal = "agent.comms.proposal", key Any, author sender, derived key_of {
        required {
            /// Who bids: the owner of the repository.
            sender: Did = "sender";
            /// The request as it was when it was read.
            request: StrongRef = "request";
        }
        optional {
            /// What it would cost, as a decimal number in a unit that the two agree on.
            cost: String = "cost", bytes(32);
            /// How many seconds it would take.
            eta_seconds: i64 = "etaSeconds", from(0);
            /// Until when the bid stands.
            expires_at: Datetime = "expiresAt";
            /// Anything else, for people and models.
            note: String = "note", bytes(1000);
        }
    }
}

impl Proposal {
    /// A bid of `sender` for `request`, made now.
    pub fn new(sender: impl Into<Did>, request: impl Into<StrongRef>) -> Self {
        Self::bare(sender.into(), request.into())
    }
}

fn key_of(proposal: &Proposal) -> Option<RecordKey> {
    Some(derived_key(&proposal.request))
}
