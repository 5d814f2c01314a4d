//! One request, from the handler to the answer in the repository.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::value::to_value;
use atcomms_lexicon::{
    AtUri, Did, Metrics, Nsid, Payload, Record, Response, Value, derived_key, fault,
};
use atcomms_publish::{PublishError, Receipt, RecordError};
use futures::FutureExt;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::job::{Job, TaskError};
use crate::agent::Agent;

/// A record has at most 1,000,000 bytes; the rest of the answer needs a few of them.
const MAX_RESULT_BYTES: usize = 990_000;

/// What became of one request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Served {
    /// The request.
    pub request: AtUri,
    /// Who asked.
    pub author: Did,
    /// What became of it.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The result was written.
    Answered(Receipt),
    /// An error, or a refusal, was written.
    Failed {
        /// What was said.
        message: String,
        /// The answer.
        receipt: Receipt,
    },
    /// It had been answered before.
    AlreadyAnswered,
    /// Its deadline had passed: nothing was done, and nothing written.
    Expired,
    /// The answer could not be written.
    Unwritten(Unwritten),
}

/// Why an answer could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritten {
    /// Whether it was answered before could not be found out; the handler was not run.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The PDS did not take it.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

pub(super) async fn answer<H, F, T>(
    agent: Agent,
    job: Job,
    handler: Arc<H>,
    limit: Duration,
) -> Served
where
    H: Fn(Job) -> F,
    F: Future<Output = Result<T, TaskError>>,
    T: Serialize,
{
    let (request, author) = (job.subject.uri.clone(), job.author.clone());
    let outcome = attempt(&agent, job, &*handler, limit)
        .await
        .unwrap_or_else(Outcome::Unwritten);
    Served {
        request,
        author,
        outcome,
    }
}

async fn attempt<H, F, T>(
    agent: &Agent,
    job: Job,
    handler: &H,
    limit: Duration,
) -> Result<Outcome, Unwritten>
where
    H: Fn(Job) -> F,
    F: Future<Output = Result<T, TaskError>>,
    T: Serialize,
{
    let left = job.time_left();
    if left.is_some_and(|left| left.is_zero()) && !fault::on("deadline") {
        return Ok(Outcome::Expired);
    }
    if answered(agent, &job).await? && !fault::on("done-again") {
        return Ok(Outcome::AlreadyAnswered);
    }
    let limit = left.map_or(limit, |left| left.min(limit));
    let subject = job.subject.clone();
    let started = Instant::now();
    let result = run(handler, job, limit).await;
    let took = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
    let message = result.as_ref().err().map(TaskError::to_string);
    let response = match result {
        Ok(value) => Response::ok(agent.did(), subject, Payload::untyped(value)),
        Err(TaskError {
            failure,
            rejected: true,
        }) => Response::rejected(agent.did(), subject, failure),
        Err(TaskError {
            failure,
            rejected: false,
        }) => Response::failed(agent.did(), subject, failure),
    };
    let response = response.metrics(Metrics::new().duration_ms(took));
    // The key is derived from the request: a retry, or another server of this agent, writes nothing twice.
    match (agent.publish(response).await, message) {
        (Ok(receipt), None) => Ok(Outcome::Answered(receipt)),
        (Ok(receipt), Some(message)) => Ok(Outcome::Failed { message, receipt }),
        (Err(PublishError::KeyTaken { .. }), _) => Ok(Outcome::AlreadyAnswered),
        (Err(error), _) => Err(Unwritten::Publish(error)),
    }
}

/// Whether this request was answered before, by an earlier run or by another server of this agent.
async fn answered(agent: &Agent, job: &Job) -> Result<bool, Unwritten> {
    let collection: Nsid = Response::NSID.parse().map_err(PublishError::Collection)?;
    let uri = AtUri::record(agent.did(), &collection, &derived_key(&job.subject));
    Ok(agent.publisher().get_record(&uri).await?.is_some())
}

/// Runs the handler: what it does wrong becomes an error that can be sent.
async fn run<H, F, T>(handler: &H, job: Job, limit: Duration) -> Result<Value, TaskError>
where
    H: Fn(Job) -> F,
    F: Future<Output = Result<T, TaskError>>,
    T: Serialize,
{
    let handled = AssertUnwindSafe(async { handler(job).await }).catch_unwind();
    let result = match timeout(limit, handled).await {
        Err(_) => {
            return Err(TaskError::retryable(format!(
                "it took longer than {} s",
                limit.as_secs_f32()
            ))
            .code("Timeout"));
        }
        Ok(Err(_)) => return Err(TaskError::failed("the handler broke down").code("Panic")),
        Ok(Ok(result)) => result,
    };
    let value = to_value(&result.map_err(TaskError::shortened)?).map_err(|error| {
        TaskError::failed(format!("the result cannot be written: {error}")).code("Result")
    })?;
    match value.to_cbor().len() {
        0..=MAX_RESULT_BYTES => Ok(value),
        bytes => Err(TaskError::failed(format!("the result has {bytes} bytes, and an answer holds {MAX_RESULT_BYTES}: send it as an attachment of a message")).code("Result")),
    }
}
