//! What a request comes to: an answer, or a reason why there is none.

use atcomms_identity::ResolveError;
use atcomms_lexicon::{AtUri, Did, Failure, Response, StrongRef, Value};
use atcomms_publish::PublishError;
use atcomms_subscribe::{SourceError, SubscribeError};

/// An answer: the response of the agent that was asked, verified, to that request and no other.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The request, as it was written.
    pub request: StrongRef,
    /// Who answered.
    pub author: Did,
    /// What came out; null if the response carries no result.
    pub result: Value,
    /// Where the response is.
    pub uri: AtUri,
    /// The response as it was written.
    pub response: Response,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The one to ask could not be found.
    #[error("cannot find out who `{address}` is: {source}")]
    Resolve {
        /// Whom it was about.
        address: String,
        /// What went wrong.
        source: ResolveError,
    },
    /// The parameters cannot be written as a record.
    #[error("the parameters cannot be sent: {0}")]
    Params(String),
    /// The request could not be written.
    #[error(transparent)]
    Publish(Box<PublishError>),
    /// The answer could not be watched for.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The peer's PDS cannot be watched.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The host on which the answer would come was not reached in time.
    #[error(
        "{host} could not be reached to wait for the answer, so nothing was asked: check the network, or name another source"
    )]
    Unreachable {
        /// The host, or hosts.
        host: String,
    },
    /// The PDS did not take the request before the deadline. It is accepted, and will still be written.
    #[error(
        "{uri} is accepted, but was not written within {seconds} s: the PDS is out of reach, or the rate limit is used up"
    )]
    Unsent {
        /// The request.
        uri: AtUri,
        /// How long was waited.
        seconds: f64,
    },
    /// No answer came before the deadline. It may still come: the request stays in the repository.
    #[error(
        "no answer from {assignee} to {uri} within {seconds} s: it may be off-line, or not serve this task"
    )]
    TimedOut {
        /// Who was asked.
        assignee: Did,
        /// The request.
        uri: AtUri,
        /// How long was waited.
        seconds: f64,
    },
    /// The agent that was asked declines.
    #[error("{assignee} refused: {}", message(failure))]
    Rejected {
        /// Who was asked.
        assignee: Did,
        /// What it says.
        failure: Box<Failure>,
    },
    /// The agent that was asked tried and failed.
    #[error("{assignee} failed: {}", message(failure))]
    Failed {
        /// Who was asked.
        assignee: Did,
        /// What it says; `retryable` says whether asking again may help.
        failure: Box<Failure>,
    },
    /// The stream ended before an answer came.
    #[error("the stream ended before an answer came: {0}")]
    StreamEnded(String),
}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> Self {
        RequestError::Publish(Box::new(error))
    }
}

fn message(failure: &Failure) -> &str {
    failure
        .message
        .as_deref()
        .or(failure.code.as_deref())
        .unwrap_or("no reason was given")
}

impl Answer {
    pub(crate) fn new(request: &StrongRef, author: &Did, uri: AtUri, response: Response) -> Self {
        let result = response
            .result
            .as_ref()
            .map_or(Value::Null, atcomms_lexicon::Payload::value);
        Answer {
            request: request.clone(),
            author: author.clone(),
            result,
            uri,
            response,
        }
    }
}
