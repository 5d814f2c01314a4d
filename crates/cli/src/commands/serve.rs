//! `atcomms serve`: a command of the user's answers requests.

use std::num::NonZeroUsize;

use atcomms::lexicon::Value;
use atcomms::subscribe::Source;
use atcomms::{Job, Outcome as Served, Served as Event, TaskError};
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::args;
use crate::context::Context;
use crate::exec::{Exec, TRY_AGAIN};
use crate::exit::{Failure, Outcome};
use crate::line;

pub(crate) async fn run(context: &Context, args: args::Serve) -> Outcome {
    let exec = Exec::parse(&args.exec)?;
    let agent = context.agent()?;
    let mut serve = agent
        .serve(args.task.clone())
        .concurrency(NonZeroUsize::new(args.concurrency.into()).unwrap_or(NonZeroUsize::MIN))
        .timeout(args.timeout)
        .from(args.from);
    for address in &args.peers {
        let identity = agent.resolve(address).await?;
        if args.sources.is_empty() {
            serve = serve.source(Source::of_pds(&identity, agent.resolver())?);
        }
        serve = serve.peer(identity.did);
    }
    for source in args.sources {
        serve = serve.source(source);
    }
    let mut server = serve.handle(move |job| answer(exec.clone(), job))?;
    let interrupted = super::interrupted();
    tokio::pin!(interrupted);
    let mut connection = server.connection();
    let mut said = false;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tokio::select! {
            event = server.next() => event,
            () = connection.any(), if !said => {
                eprintln!("Serving {:?} as {} ({}). Stop with Ctrl-C.", args.task, agent.handle(), agent.did());
                said = true;
                continue;
            }
            () = &mut interrupted => break,
        };
        let Some(event) = event else { break };
        left -= u64::from(matches!(
            event.outcome,
            Served::Answered(_) | Served::Failed { .. }
        ));
        tell(&event, args.json)?;
    }
    // What is under way is finished, and told; a second Ctrl-C does not wait for it.
    server.stop();
    let interrupted = super::interrupted();
    tokio::pin!(interrupted);
    loop {
        let event = tokio::select! {
            event = server.next() => event,
            () = &mut interrupted => return Err(Failure::Failed(anyhow::anyhow!("interrupted: what was under way is not answered"))),
        };
        let Some(event) = event else { break };
        tell(&event, args.json)?;
    }
    match server.error() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    request: &'a str,
    author: &'a str,
    state: &'static str,
    message: Option<String>,
    response: Option<&'a str>,
}

fn tell(event: &Event, json: bool) -> Outcome {
    let (state, detail, receipt) = match &event.outcome {
        Served::Answered(receipt) => ("answered", None, Some(receipt)),
        Served::Failed { message, receipt } => ("failed", Some(message.clone()), Some(receipt)),
        Served::AlreadyAnswered => ("already-answered", None, None),
        Served::Expired => ("expired", None, None),
        Served::Unwritten(error) => ("unwritten", Some(error.to_string()), None),
        _ => ("unknown", None, None),
    };
    if json {
        line::json(&Line {
            request: event.request.as_str(),
            author: event.author.as_str(),
            state,
            message: detail,
            response: receipt.map(|receipt| receipt.uri.as_str()),
        })?;
    } else {
        line::text(&format!(
            "{} {} {}",
            line::strong(state),
            event.request,
            line::harmless(detail.as_deref().unwrap_or_default())
        ))?;
    }
    Ok(())
}

/// Runs the command for one request.
async fn answer(exec: Exec, job: Job) -> Result<Json, TaskError> {
    let input = json!({
        "uri": job.subject.uri,
        "cid": job.subject.cid.to_string(),
        "author": job.author,
        "task": job.request.task,
        "params": job.params.to_json(),
        "request": job.request,
    });
    let ran = exec.run(&input).await;
    let ran =
        ran.map_err(|error| TaskError::retryable(format!("the command did not run: {error}")))?;
    if ran.status.success() {
        let text = String::from_utf8_lossy(&ran.output);
        // JSON that a record cannot hold (a float) is sent as the text that it is.
        let json = serde_json::from_str::<Json>(text.trim()).ok();
        let json = json.filter(|json| Value::from_json(json.clone()).is_ok());
        return Ok(json.unwrap_or_else(|| Json::String(text.trim_end().to_owned())));
    }
    Err(match ran.status.code() {
        // Killed, by an operator or by the machine: that says nothing of the task.
        None | Some(TRY_AGAIN) => TaskError::retryable(ran.said),
        Some(_) => TaskError::failed(ran.said),
    })
}
