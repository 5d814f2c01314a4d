use crate::object::record;
use crate::schema::{bytes, items, range};
use crate::{Artifact, AtUri, Datetime, Did, Payload, Trace};

record! {
    /// A task for another agent, or for whoever bids for it.
    ///
    /// Read from older records: the lexicon `agent.comms.task`, and `recipient` for the assignee.
    ///
    /// ```
    /// use atcomms_lexicon::{Did, Payload, Request, Value};
    ///
    /// let me: Did = "did:plc:l3rouwludahu3ui3bt66mfvj".parse()?;
    /// let peer: Did = "did:plc:44ybard66vv44zksje25o7dz".parse()?;
    /// let params = Value::from_json(serde_json::json!({ "words": 100 }))?;
    ///
    /// let request = Request::new(me, "summarise").assignee(&peer).params(Payload::untyped(params));
    /// assert_eq!(request.assignee, Some(peer));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct Request = "agent.comms.request", key Tid, author sender, also "agent.comms.task" {
        required {
            /// Who asks: the owner of the repository.
            sender: Did = "sender";
            /// What is to be done: the name of a skill, or a sentence.
            task: String = "task", bytes(512);
        }
        optional {
            /// Who shall do it; nobody means that it is open to bids.
            assignee: Did = "assignee" | "recipient";
            /// What it is to be done with.
            params: Payload = "params";
            /// From 0 to 5; 5 is the most urgent.
            priority: i64 = "priority", range(0, 5);
            /// When the response is of no more use.
            deadline: Datetime = "deadline";
            /// When the record stops to matter.
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

impl Request {
    /// A task, asked for by `sender` now, and open to bids unless it is given an [`assignee`](Request::assignee).
    pub fn new(sender: impl Into<Did>, task: impl Into<String>) -> Self {
        Self::bare(sender.into(), task.into())
    }
}
