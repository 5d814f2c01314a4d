use crate::known_values::known_values;
use crate::object::record;
use crate::schema::{bytes, items, range};
use crate::{Artifact, AtUri, Content, Datetime, Did, Trace};

known_values! {
    /// How much a [`Broadcast`] should disturb.
    pub enum Severity {
        /// For the record.
        Info = "info",
        /// Worth reading.
        Notice = "notice",
        /// Something may go wrong.
        Warning = "warning",
        /// Something went wrong.
        Critical = "critical",
    }
}

record! {
    /// A message to whoever listens.
    pub struct Broadcast = "agent.comms.broadcast", key Tid, author sender {
        required {
            /// Who writes: the owner of the repository.
            sender: Did = "sender";
            /// What it says.
            content: Content = "content";
        }
        optional {
            /// The channel that it belongs to.
            topic: String = "topic", bytes(256);
            /// How much it should disturb.
            severity: Severity = "severity";
            /// For how many seconds it matters.
            ttl_seconds: i64 = "ttlSeconds", range(0, 604_800);
            /// When it stops to matter.
            expires_at: Datetime = "expiresAt";
            /// The trace that it is part of.
            trace: Trace = "trace";
        }
        list {
            /// Whom it is for: DIDs, names of groups, tags; nobody named means everybody.
            audience: String = "audience", items(100).of_bytes(256);
            /// Records that help to understand it.
            context: AtUri = "context", items(50);
            /// Files that come with it.
            attachments: Artifact = "attachments", items(16);
        }
    }
}

impl Broadcast {
    /// A message of `sender` to all, written now. A text will do for `content`.
    pub fn new(sender: impl Into<Did>, content: impl Into<Content>) -> Self {
        Self::bare(sender.into(), content.into())
    }
}
