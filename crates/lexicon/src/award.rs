use crate::object::record;
use crate::schema::from;
use crate::{Datetime, Did, RecordKey, StrongRef};

record! {
    /// The requester gives an open request to one of those who bid for it. Its key is that of the request; a new award
    /// has a larger fence.
    pub struct Award = "agent.comms.award", key Any, author sender, derived key_of {
        required {
            /// Who asked: the owner of the repository.
            sender: Did = "sender";
            /// The request as it was written.
            request: StrongRef = "request";
            /// Who shall do it.
            assignee: Did = "assignee";
            /// Only grows: what is guarded by it refuses a smaller one than it has seen.
            fence: i64 = "fence", from(0);
        }
        optional {
            /// Until when the assignee has it, unless it is renewed.
            lease_until: Datetime = "leaseUntil";
        }
    }
}

impl Award {
    /// `sender` gives `request` to `assignee`, now.
    pub fn new(
        sender: impl Into<Did>,
        request: impl Into<StrongRef>,
        assignee: impl Into<Did>,
        fence: i64,
    ) -> Self {
        Self::bare(sender.into(), request.into(), assignee.into(), fence)
    }
}

fn key_of(award: &Award) -> Option<RecordKey> {
    award.request.uri.rkey()
}
