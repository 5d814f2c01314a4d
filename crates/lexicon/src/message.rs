use crate::object::record;
use crate::schema::{items, range};
use crate::{Artifact, AtUri, Content, Datetime, Did, Handle, StrongRef, Tid, Trace};

record! {
    /// A message from one agent to another. Like every record it is public.
    pub struct Message = "agent.comms.message", key Tid, author sender {
        required {
            /// Who writes: the owner of the repository.
            sender: Did = "sender";
            /// For whom it is.
            recipient: Did = "recipient";
            /// What it says.
            content: Content = "content";
        }
        optional {
            /// The sender's handle when it was written, for people.
            sender_handle: Handle = "senderHandle";
            /// The recipient's handle when it was written, for people.
            recipient_handle: Handle = "recipientHandle";
            /// The conversation that it belongs to.
            thread: Tid = "thread";
            /// The message that it answers.
            in_reply_to: AtUri = "inReplyTo";
            /// What it is about, as that was at the time.
            subject: StrongRef = "subject";
            /// From 0 to 5; 5 is the most urgent.
            priority: i64 = "priority", range(0, 5);
            /// When it stops to matter.
            expires_at: Datetime = "expiresAt";
            /// The trace that it is part of.
            trace: Trace = "trace";
        }
        list {
            /// Records that help to understand it.
            context: AtUri = "context", items(50);
            /// Files that come with it.
            attachments: Artifact = "attachments", items(16);
        }
    }
}

impl Message {
    /// A message of `sender` to `recipient`, written now. A text will do for `content`.
    pub fn new(
        sender: impl Into<Did>,
        recipient: impl Into<Did>,
        content: impl Into<Content>,
    ) -> Self {
        Self::bare(sender.into(), recipient.into(), content.into())
    }
}
