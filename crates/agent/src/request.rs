//! Asks an agent to do something, and waits for its answer.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use atcomms_identity::Identity;
use atcomms_lexicon::value::to_value;
use atcomms_lexicon::{
    Address, Datetime, Nsid, Payload, Record, Request, Response, ResponseStatus, StrongRef, Value,
    decode, derived_key, fault,
};
use atcomms_subscribe::{CollectionPattern, Source, Typed, prove};
use futures::StreamExt;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::agent::Agent;
use crate::answer::{Answer, RequestError};

/// How long an answer is waited for, unless the caller says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
/// How long the host of the answer may take to be reached before anything is asked.
const CONNECT: Duration = Duration::from_secs(20);
/// The answer is also looked for where it would be, in case that the stream skipped it or that it was
/// there before: at once, and then after waits that double from this one.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// The longest such wait.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// A request in the making; `.await` writes it and waits for the [`Answer`]. Requests and answers are
/// public. An answer counts only from the agent that was asked, for this request's URI and CID.
#[derive(Debug)]
#[must_use = "a request is sent by .await"]
pub struct Ask {
    agent: Agent,
    to: Address,
    task: String,
    params: Option<Result<Value, String>>,
    schema: Option<Nsid>,
    deadline: Duration,
    sources: Vec<Source>,
    once: Option<String>,
}

impl Ask {
    pub(crate) fn new(agent: Agent, to: Address, task: String) -> Self {
        Ask {
            agent,
            to,
            task,
            params: None,
            schema: None,
            deadline: DEFAULT_DEADLINE,
            sources: Vec::new(),
            once: None,
        }
    }

    /// Parameters: anything that serde can write without floats. What is not a map is wrapped.
    pub fn params(mut self, params: impl Serialize) -> Self {
        self.params = Some(to_value(&params).map_err(|error| error.to_string()));
        self
    }

    /// The lexicon that the parameters follow.
    pub fn schema(mut self, schema: Nsid) -> Self {
        self.schema = Some(schema);
        self
    }

    /// How long to wait; written into the request, so that the other side knows, too.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Where to wait for the answer; the peer's own PDS if nothing else is named.
    pub fn source(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// A key of the caller's: a request asked with it again, also by another process of the same store
    /// after a crash, is not written a second time, and an answer that is there already is found. Such a
    /// request tells the other side no deadline, since it may be asked again after it.
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.once = Some(key.into());
        self
    }

    async fn ask(mut self) -> Result<Answer, RequestError> {
        let assignee =
            self.agent
                .resolve(&self.to)
                .await
                .map_err(|source| RequestError::Resolve {
                    address: self.to.to_string(),
                    source,
                })?;
        let (request, until) = self.record(&assignee)?;
        let mut responses = self.listen(&assignee).await?;
        let mut publish = self.agent.publish(request);
        if let Some(once) = self.once {
            publish = publish.once(once);
        }
        let accepted = publish.enqueue().await?;
        let receipt = timeout_at(until, accepted.receipt()).await;
        let receipt = receipt.map_err(|_| RequestError::Unsent {
            uri: accepted.uri().clone(),
            seconds: self.deadline.as_secs_f64(),
        })??;
        let asked = StrongRef::new(receipt.uri, receipt.cid);
        let waiting = async {
            tokio::select! {
                answer = heard(&mut responses, &asked, &assignee) => answer,
                answer = found(&self.agent, &asked, &assignee) => Ok(answer),
            }
        };
        match timeout_at(until, waiting).await {
            Ok(answer) => judged(answer?, &assignee),
            Err(_) => Err(RequestError::TimedOut {
                assignee: assignee.did,
                uri: asked.uri,
                seconds: self.deadline.as_secs_f64(),
            }),
        }
    }

    /// The record, and until when its answer is waited for.
    fn record(&mut self, assignee: &Identity) -> Result<(Request, Instant), RequestError> {
        let now = Datetime::now();
        let millis = i64::try_from(self.deadline.as_millis()).unwrap_or(i64::MAX);
        let deadline = Datetime::from_unix_millis(now.unix_millis().saturating_add(millis));
        let mut request = Request::new(self.agent.did(), &self.task)
            .assignee(&assignee.did)
            .created_at(now);
        request.deadline = self.once.is_none().then_some(deadline);
        if let Some(params) = self.params.take() {
            let params = params.map_err(RequestError::Params)?;
            request.params = Some(match &self.schema {
                Some(schema) => Payload::new(schema, params),
                None => Payload::untyped(params),
            });
        }
        Ok((request, Instant::now() + self.deadline))
    }

    /// Listens where the answer will come. Before asking: a fast answer must not be missed.
    async fn listen(&self, assignee: &Identity) -> Result<Typed<Response>, RequestError> {
        let sources = match self.sources.is_empty() {
            true => self.agent.sources_for(assignee)?,
            false => self.sources.clone(),
        };
        let host = sources
            .iter()
            .map(Source::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let mut subscriber = self.agent.watch_at(sources).peers([assignee.did.clone()]);
        if let Ok(collection) = Response::NSID.parse() {
            subscriber = subscriber.collection(CollectionPattern::Exact(collection));
        }
        let responses = subscriber.start()?.typed::<Response>();
        match timeout(
            CONNECT.min(self.deadline),
            responses.subscription().connection().any(),
        )
        .await
        {
            Ok(()) => Ok(responses),
            Err(_) => Err(RequestError::Unreachable { host }),
        }
    }
}

/// The answer as the stream brings it.
async fn heard(
    responses: &mut Typed<Response>,
    asked: &StrongRef,
    assignee: &Identity,
) -> Result<Answer, RequestError> {
    while let Some(item) = responses.next().await {
        match item {
            Ok(delivery) if delivery.author == assignee.did => {
                if let Some(response) = delivery.record.filter(|response| answers(response, asked))
                {
                    return Ok(Answer::new(asked, &assignee.did, delivery.uri, response));
                }
            }
            Ok(_) => {}
            Err(undecodable) => tracing::warn!("{undecodable}"),
        }
    }
    let why = responses
        .subscription()
        .error()
        .map_or_else(|| "it was shut down".to_owned(), ToString::to_string);
    Err(RequestError::StreamEnded(why))
}

/// The answer where it would be if the assignee derives its key as we do, fetched with its proof.
async fn found(agent: &Agent, asked: &StrongRef, assignee: &Identity) -> Answer {
    let key = derived_key(asked);
    let mut wait = FIRST_LOOK;
    loop {
        match prove(agent.resolver(), &assignee.did, Response::NSID, &key).await {
            Ok(Some(proven)) => match decode::<Response>(&proven.bytes) {
                Ok(response) if answers(&response, asked) && response.sender == assignee.did => {
                    return Answer::new(asked, &assignee.did, proven.uri, response);
                }
                Ok(_) => {
                    tracing::warn!(uri = %proven.uri, "what is there does not answer the request")
                }
                Err(error) => {
                    tracing::warn!(uri = %proven.uri, "what is there is no response: {error}")
                }
            },
            Ok(None) => {}
            Err(error) => tracing::debug!("the answer could not be looked for: {error}"),
        }
        sleep(wait).await;
        wait = LAST_LOOK.min(wait * 2);
    }
}

/// Whether a response is one to this request, and not to another version of it.
fn answers(response: &Response, asked: &StrongRef) -> bool {
    response.request == asked.uri
        && (response.subject.as_ref() == Some(asked) || fault::on("answer-to-another"))
}

fn judged(answer: Answer, assignee: &Identity) -> Result<Answer, RequestError> {
    let failure = || {
        Box::new(
            answer
                .response
                .error
                .clone()
                .unwrap_or_else(|| "no reason was given".into()),
        )
    };
    let assignee = assignee.did.clone();
    match &answer.response.status {
        ResponseStatus::Rejected => Err(RequestError::Rejected {
            assignee,
            failure: failure(),
        }),
        ResponseStatus::Error => Err(RequestError::Failed {
            assignee,
            failure: failure(),
        }),
        _ => Ok(answer),
    }
}

impl IntoFuture for Ask {
    type Output = Result<Answer, RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Cancel safe in this sense: dropped half-way, the request was accepted or it was not; what was
    /// accepted is asked, and may be answered.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}
