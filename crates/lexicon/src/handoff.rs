use crate::object::record;
use crate::schema::{bytes, items};
use crate::{Artifact, AtUri, Datetime, Did, Handle, Payload, Tid, Trace};

record! {
    /// One agent passes its work on to another, with all that it takes to go on.
    pub struct Handoff = "agent.comms.handoff", key Tid, author from {
        required {
            /// Who passes it on: the owner of the repository.
            from: Did = "from";
            /// Who goes on with it.
            to: Did = "to";
            /// What was done, and what is to be done.
            summary: String = "summary", bytes(10_000);
        }
        optional {
            /// The handle of `from` when it was written, for people.
            from_handle: Handle = "fromHandle";
            /// The handle of `to` when it was written, for people.
            to_handle: Handle = "toHandle";
            /// The session or workflow.
            session: Tid = "session";
            /// The state of the work.
            state: Payload = "state";
            /// When it stops to matter.
            expires_at: Datetime = "expiresAt";
            /// The trace that it is part of.
            trace: Trace = "trace";
        }
        list {
            /// Records that help to understand it.
            context: AtUri = "context", items(100);
            /// Records that were made so far.
            artifacts: AtUri = "artifacts", items(100);
            /// Files that come with it.
            attachments: Artifact = "attachments", items(16);
        }
    }
}

impl Handoff {
    /// `from` passes its work on to `to`, now.
    pub fn new(from: impl Into<Did>, to: impl Into<Did>, summary: impl Into<String>) -> Self {
        Self::bare(from.into(), to.into(), summary.into())
    }
}
