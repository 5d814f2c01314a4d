//! One request, as a handler sees it, and how a handler says no.

use std::time::Duration;

use atcomms_lexicon::{AtUri, Datetime, Did, Failure, Payload, Request, StrongRef, Value};
use atcomms_repo::frame::Action;
use atcomms_subscribe::Delivery;

/// One request, verified, and addressed to this agent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job {
    /// Who asks: the repository whose key signed the request.
    pub author: Did,
    /// The request, by URI and CID.
    pub subject: StrongRef,
    /// The parameters; null if there are none.
    pub params: Value,
    /// The request as it was written.
    pub request: Request,
}

impl Job {
    /// The job in this delivery, if it is one of ours: created, for this agent and this task.
    pub(super) fn of(delivery: Delivery<Request>, me: &Did, task: &str) -> Option<Self> {
        let request = delivery
            .record
            .filter(|_| delivery.action == Action::Create)?;
        if request.assignee.as_ref() != Some(me) || request.task != task {
            return None;
        }
        let params = request.params.as_ref().map_or(Value::Null, Payload::value);
        let subject = StrongRef {
            uri: delivery.uri,
            cid: delivery.cid?,
        };
        Some(Job {
            author: delivery.author,
            subject,
            params,
            request,
        })
    }

    /// The request's URI.
    pub fn uri(&self) -> &AtUri {
        &self.subject.uri
    }

    /// When the answer is no longer waited for.
    pub fn deadline(&self) -> Option<&Datetime> {
        self.request
            .deadline
            .as_ref()
            .or(self.request.expires_at.as_ref())
    }

    /// How long the answer is still waited for, by this machine's clock: none left is zero, no
    /// deadline is `None`.
    pub fn time_left(&self) -> Option<Duration> {
        let left = self
            .deadline()?
            .unix_millis()
            .saturating_sub(Datetime::now().unix_millis());
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }
}

/// How a handler says that there is no result.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskError {
    pub(super) failure: Failure,
    pub(super) rejected: bool,
}

impl TaskError {
    /// It was tried and did not work, and will not.
    pub fn failed(message: impl Into<String>) -> Self {
        TaskError {
            failure: Failure::new(message),
            rejected: false,
        }
    }

    /// It did not work, but may the next time: the other side may ask again, with a new request.
    pub fn retryable(message: impl Into<String>) -> Self {
        TaskError {
            failure: Failure::new(message).retryable(true),
            rejected: false,
        }
    }

    /// It is not done for this asker, or not at all.
    pub fn rejected(message: impl Into<String>) -> Self {
        TaskError {
            failure: Failure::new(message),
            rejected: true,
        }
    }

    /// A name for the error that a program can tell apart.
    pub fn code(self, code: impl Into<String>) -> Self {
        TaskError {
            failure: self.failure.code(code),
            ..self
        }
    }
}

/// A failure's message holds this many bytes (`agent.comms.defs#failure`).
const MESSAGE_BYTES: usize = 2048;

impl TaskError {
    /// With no more text than a failure holds.
    pub(super) fn shortened(mut self) -> Self {
        if let Some(message) = self
            .failure
            .message
            .as_mut()
            .filter(|message| message.len() > MESSAGE_BYTES)
        {
            let end = (0..=MESSAGE_BYTES - '…'.len_utf8())
                .rev()
                .find(|at| message.is_char_boundary(*at))
                .unwrap_or(0);
            message.truncate(end);
            message.push('…');
        }
        self
    }
}

impl std::fmt::Display for TaskError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(
            self.failure
                .message
                .as_deref()
                .unwrap_or("no reason was given"),
        )
    }
}

impl<E: std::error::Error> From<E> for TaskError {
    /// An error of the handler's own is final.
    fn from(error: E) -> Self {
        TaskError::failed(error.to_string())
    }
}
