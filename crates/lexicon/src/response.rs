use crate::known_values::known_values;
use crate::object::record;
use crate::schema::items;
use crate::{
    Artifact, AtUri, Did, Failure, Metrics, Payload, RecordKey, StrongRef, Trace, derived_key,
};

known_values! {
    /// How a request ended; each is final.
    pub enum ResponseStatus {
        /// Done. (`completed` in older records.)
        Ok = "ok" | "completed",
        /// Not done; the error says why. (`failed` in older records.)
        Error = "error" | "failed",
        /// Done in part, and no more will follow.
        Partial = "partial",
        /// Not taken on.
        Rejected = "rejected",
    }
}

record! {
    /// How a request ended. The first one that its assignee writes counts.
    ///
    /// Read from older records: `requestUri` for the request, an error that is a text, `completed` and `failed`.
    ///
    /// ```
    /// use atcomms_lexicon::{AtUri, Did, Failure, Record, Response, StrongRef, cid_for_cbor, derived_key};
    ///
    /// let me: Did = "did:plc:44ybard66vv44zksje25o7dz".parse()?;
    /// let uri: AtUri = "at://did:plc:l3rouwludahu3ui3bt66mfvj/agent.comms.request/3jzfcijpj2z2a".parse()?;
    /// let request = StrongRef::new(uri, cid_for_cbor(b"the bytes of the request"));
    ///
    /// let no_space = Failure::new("The disk is full.").code("disk_full").retryable(true);
    /// let response = Response::failed(me, &request, no_space);
    /// assert_eq!(response.derived_key(), Some(derived_key(&request)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct Response = "agent.comms.response", key Any, author sender, derived key_of {
        required {
            /// Who did it: the owner of the repository.
            sender: Did = "sender";
            /// The request.
            request: AtUri = "request" | "requestUri";
            /// How it ended.
            status: ResponseStatus = "status";
        }
        optional {
            /// The request as it was when it was read. Without it, a response resolves nothing.
            subject: StrongRef = "subject";
            /// What came out.
            result: Payload = "result";
            /// Why nothing did.
            error: Failure = "error";
            /// What it took.
            metrics: Metrics = "metrics";
            /// The trace that it is part of.
            trace: Trace = "trace";
        }
        list {
            /// Records that it made.
            artifacts: AtUri = "artifacts", items(50);
            /// Files that come with it.
            attachments: Artifact = "attachments", items(16);
        }
    }
}

impl Response {
    /// The end of `request`, said by `sender` now.
    pub fn new(
        sender: impl Into<Did>,
        request: impl Into<StrongRef>,
        status: impl Into<ResponseStatus>,
    ) -> Self {
        let subject = request.into();
        Self::bare(sender.into(), subject.uri.clone(), status.into()).subject(subject)
    }

    /// The request is done, with this result.
    pub fn ok(sender: impl Into<Did>, request: impl Into<StrongRef>, result: Payload) -> Self {
        Self::new(sender, request, ResponseStatus::Ok).result(result)
    }

    /// The request was not done, for this reason. A text will do.
    pub fn failed(
        sender: impl Into<Did>,
        request: impl Into<StrongRef>,
        error: impl Into<Failure>,
    ) -> Self {
        Self::new(sender, request, ResponseStatus::Error).error(error)
    }

    /// The request was not taken on, for this reason. A text will do.
    pub fn rejected(
        sender: impl Into<Did>,
        request: impl Into<StrongRef>,
        error: impl Into<Failure>,
    ) -> Self {
        Self::new(sender, request, ResponseStatus::Rejected).error(error)
    }
}

fn key_of(response: &Response) -> Option<RecordKey> {
    response.subject.as_ref().map(derived_key)
}
