use crate::known_values::known_values;
use crate::object::record;
use crate::schema::{bytes, from, range};
use crate::{AtUri, Did, Payload, RecordKey, StrongRef, derived_key};

known_values! {
    /// Where a request stands. How it ended is said by the response.
    pub enum State {
        /// Taken on, not begun.
        Accepted = "accepted",
        /// Being done.
        Working = "working",
        /// Waiting for something that the message names.
        Waiting = "waiting",
    }
}

record! {
    /// How far a request has come. One record for each request, updated in place.
    pub struct Status = "agent.comms.status", key Any, author sender, derived key_of {
        required {
            /// Who is doing it: the owner of the repository.
            sender: Did = "sender";
            /// The request.
            request: AtUri = "request" | "requestUri";
            /// Where it stands.
            state: State = "state";
            /// Grows with each update, and goes on from what is in the repository.
            seq: i64 = "seq", from(0);
        }
        optional {
            /// The request as it was when it was read.
            subject: StrongRef = "subject";
            /// How much is done, in basis points: 10,000 is all of it.
            progress: i64 = "progress", range(0, 10_000);
            /// What is going on, for people and models.
            message: String = "message", bytes(3000);
            /// What is there so far.
            partial: Payload = "partial";
        }
    }
}

impl Status {
    /// Where `request` stands, said by `sender` now.
    pub fn new(
        sender: impl Into<Did>,
        request: impl Into<StrongRef>,
        state: impl Into<State>,
        seq: i64,
    ) -> Self {
        let subject = request.into();
        Self::bare(sender.into(), subject.uri.clone(), state.into(), seq).subject(subject)
    }
}

fn key_of(status: &Status) -> Option<RecordKey> {
    status.subject.as_ref().map(derived_key)
}
