//! `atcomms request`: ask an agent, and wait.

use atcomms::RequestError;
use atcomms::lexicon::Value;
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;
use crate::sending::unsent;

#[derive(Serialize)]
struct Line<'a> {
    request: &'a str,
    response: &'a str,
    author: &'a str,
    status: &'a str,
    result: serde_json::Value,
}

pub(crate) async fn run(context: &Context, args: args::Request) -> Outcome {
    let params = args.params.as_deref().map(params).transpose()?;
    let agent = context.agent()?;
    let mut ask = agent.request(args.to, args.task).deadline(args.deadline);
    if let Some(params) = params {
        ask = ask.params(params);
    }
    for source in args.sources {
        ask = ask.source(source);
    }
    if let Some(once) = args.once {
        ask = ask.once(once);
    }
    let answer = tokio::select! {
        answer = ask => answer,
        () = super::interrupted() => {
            return Err(Failure::Failed(anyhow::anyhow!("interrupted: if the request was accepted, it is sent, and may be answered")));
        }
    };
    let answer = answer.map_err(unanswered)?;
    if args.json {
        line::json(&Line {
            request: answer.request.uri.as_str(),
            response: answer.uri.as_str(),
            author: answer.author.as_str(),
            status: answer.response.status.as_str(),
            result: answer.result.to_json(),
        })?;
        return Ok(());
    }
    match &answer.result {
        Value::Null => eprintln!("Done, without a result."),
        Value::Text(text) => line::text(&line::harmless_lines(text))?,
        other => {
            let json = serde_json::to_string_pretty(&other.to_json())?;
            line::text(&line::harmless_lines(&json))?;
        }
    }
    Ok(())
}

fn params(text: &str) -> Result<Value, Failure> {
    let json = serde_json::from_str(text).map_err(|error| {
        Failure::Usage(format!(
            "--params is not JSON: {error}; a text needs its quotes: --params '\"text\"'"
        ))
    })?;
    Value::from_json(json)
        .map_err(|error| Failure::Usage(format!("--params cannot be sent: {error}")))
}

fn unanswered(error: RequestError) -> Failure {
    match error {
        RequestError::TimedOut { .. } | RequestError::Unsent { .. } => {
            Failure::TimedOut(error.to_string())
        }
        RequestError::Rejected { .. } | RequestError::Failed { .. } => {
            Failure::Refused(line::harmless(&error.to_string()))
        }
        RequestError::Publish(error) => unsent(*error),
        other => Failure::Failed(other.into()),
    }
}
