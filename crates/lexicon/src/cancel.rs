use crate::object::record;
use crate::schema::bytes;
use crate::{AtUri, Did, RecordKey, StrongRef};

record! {
    /// The requester takes a request back. Its key is that of the request.
    pub struct Cancel = "agent.comms.cancel", key Any, author sender, derived key_of {
        required {
            /// Who asked: the owner of the repository.
            sender: Did = "sender";
            /// The request.
            request: AtUri = "request" | "requestUri";
        }
        optional {
            /// The request as it was written.
            subject: StrongRef = "subject";
            /// Why, for people and models.
            reason: String = "reason", bytes(1000);
        }
    }
}

impl Cancel {
    /// `sender` takes `request` back, now.
    pub fn new(sender: impl Into<Did>, request: impl Into<StrongRef>) -> Self {
        let subject = request.into();
        Self::bare(sender.into(), subject.uri.clone()).subject(subject)
    }
}

fn key_of(cancel: &Cancel) -> Option<RecordKey> {
    cancel.request.rkey()
}
