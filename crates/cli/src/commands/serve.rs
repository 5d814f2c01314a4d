//! `atcomms serve`: a command of the user's answers requests.

use std::num::NonZeroUsize;
use std::process::Stdio;
use std::sync::Arc;

use atcomms::subscribe::Source;
use atcomms::{Job, Outcome as Served, Served as Event, TaskError};
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;

/// The exit code by which a command says that it may be tried again (EX_TEMPFAIL of sysexits.h).
const TRY_AGAIN: i32 = 75;

pub(crate) async fn run(context: &Context, args: args::Serve) -> Outcome {
    let words = shlex::split(&args.exec)
        .filter(|words| !words.is_empty())
        .ok_or_else(|| {
            Failure::Usage(format!(
                "--exec {:?} is not a command: its quotes do not match, or it is empty",
                args.exec
            ))
        })?;
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
    let words: Arc<[String]> = words.into();
    let mut server = serve.handle(move |job| answer(words.clone(), job))?;
    let interrupted = super::interrupted();
    tokio::pin!(interrupted);
    tokio::select! {
        () = server.connected() => eprintln!("Serving {:?} as {} ({}). Stop with Ctrl-C.", args.task, agent.handle(), agent.did()),
        () = &mut interrupted => return Ok(()),
    }
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tokio::select! {
            event = server.next() => event,
            () = &mut interrupted => break,
        };
        let Some(event) = event else { break };
        left -= u64::from(matches!(
            event.outcome,
            Served::Answered(_) | Served::Failed { .. }
        ));
        tell(&event, args.json)?;
    }
    eprintln!("Finishing what is under way.");
    server.shutdown().await;
    Ok(())
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

/// Runs the command for one request. Nothing of the request gets onto its command line.
async fn answer(words: Arc<[String]>, job: Job) -> Result<Json, TaskError> {
    let [program, arguments @ ..] = &*words else {
        return Err(TaskError::failed("there is no command"));
    };
    let input = json!({
        "uri": job.subject.uri,
        "cid": job.subject.cid.to_string(),
        "author": job.author,
        "task": job.request.task,
        "params": job.params.to_json(),
        "request": job.request,
    });
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            TaskError::retryable(format!("the command could not be started: {error}"))
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        let mut bytes = serde_json::to_vec(&input)?;
        bytes.push(b'\n');
        // A command that does not read its input closes the pipe: that is its own affair.
        tokio::spawn(async move { stdin.write_all(&bytes).await });
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        return Ok(serde_json::from_str(text.trim())
            .unwrap_or_else(|_| Json::String(text.trim_end().to_owned())));
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let message = if said.is_empty() {
        format!("the command ended with {}", output.status)
    } else {
        said
    };
    Err(if output.status.code() == Some(TRY_AGAIN) {
        TaskError::retryable(message)
    } else {
        TaskError::failed(message)
    })
}
