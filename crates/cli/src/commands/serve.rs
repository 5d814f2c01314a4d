//! `atcomms serve`: a command of the user's answers requests.

use std::num::NonZeroUsize;
use std::process::Stdio;
use std::sync::Arc;

use atcomms::lexicon::Value;
use atcomms::subscribe::Source;
use atcomms::{Job, Outcome as Served, Served as Event, TaskError};
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;

/// The exit code by which a command says that it may be tried again (EX_TEMPFAIL of sysexits.h).
const TRY_AGAIN: i32 = 75;
/// More of a result than this is not read, in bytes: one more than an answer can hold is refused.
const MAX_OUTPUT: u64 = 1_000_001;
/// More of an error's text than this is not read, in bytes; an answer holds 2,048.
const MAX_SAID: u64 = 64 * 1024;

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
        // Ctrl-C is for us, not for what we are about to finish.
        .process_group(0)
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
    let (output, said, status) = tokio::join!(
        read(child.stdout.take(), MAX_OUTPUT),
        read(child.stderr.take(), MAX_SAID),
        child.wait(),
    );
    let (output, said, status) = (output?, said?, status?);
    if status.success() {
        let text = String::from_utf8_lossy(&output);
        // JSON that a record cannot hold (a float) is sent as the text that it is.
        let json = serde_json::from_str::<Json>(text.trim()).ok();
        let json = json.filter(|json| Value::from_json(json.clone()).is_ok());
        return Ok(json.unwrap_or_else(|| Json::String(text.trim_end().to_owned())));
    }
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let message = if said.is_empty() {
        format!("the command ended with {status}")
    } else {
        said
    };
    Err(match status.code() {
        // Killed, by an operator or by the machine: that says nothing of the task.
        None | Some(TRY_AGAIN) => TaskError::retryable(message),
        Some(_) => TaskError::failed(message),
    })
}

/// What a command writes, up to so many bytes; the rest is read and thrown away, so that it can end.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(limit).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}
