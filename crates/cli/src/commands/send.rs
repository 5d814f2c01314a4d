//! `atcomms send` and `atcomms broadcast`: one record, once.

use atcomms::SendError;
use atcomms::publish::{Attachment, PublishError, Receipt};
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;
use crate::once::Once;

pub(crate) async fn send(context: &Context, args: args::Send) -> Outcome {
    let agent = context.agent()?;
    let mut message = agent.send(args.to, args.text);
    for file in args.writing.attach {
        message = message.attachment(Attachment::file(file));
    }
    if let Some(uri) = args.reply_to {
        message = message.reply_to(uri);
    }
    if let Some(priority) = args.priority {
        message = message.priority(priority);
    }
    if let Some(once) = Once::of(context, &agent, args.writing.once)? {
        message = message.same_as(once.key, once.created_at);
    }
    let receipt = match message.await {
        Ok(receipt) => receipt,
        Err(SendError::Publish(error)) => return Err(unsent(error)),
        Err(error) => return Err(error.into()),
    };
    written(&receipt, args.writing.json)
}

pub(crate) async fn broadcast(context: &Context, args: args::Broadcast) -> Outcome {
    let agent = context.agent()?;
    let mut broadcast = agent.broadcast(args.text);
    for name in args.audience {
        broadcast = broadcast.audience(name);
    }
    if let Some(topic) = args.topic {
        broadcast = broadcast.topic(topic);
    }
    if let Some(severity) = args.severity {
        broadcast = broadcast.severity(severity);
    }
    if let Some(ttl) = args.ttl {
        broadcast = broadcast.ttl(ttl);
    }
    for file in args.writing.attach {
        broadcast = broadcast.attachment(Attachment::file(file));
    }
    if let Some(once) = Once::of(context, &agent, args.writing.once)? {
        broadcast = broadcast.same_as(once.key, once.created_at);
    }
    written(&broadcast.await.map_err(unsent)?, args.writing.json)
}

#[derive(Serialize)]
struct Line<'a> {
    uri: &'a str,
    cid: String,
    rev: Option<String>,
    state: &'static str,
}

fn written(receipt: &Receipt, json: bool) -> Outcome {
    let uri = receipt.uri.as_str();
    if json {
        let rev = receipt.rev.map(|rev| rev.to_string());
        line::json(&Line {
            uri,
            cid: receipt.cid.to_string(),
            rev,
            state: "written",
        })?;
    } else {
        line::text(uri)?;
    }
    Ok(())
}

/// How a failed write ends the command.
pub(crate) fn unsent(error: PublishError) -> Failure {
    Failure::of(error.kind(), error)
}
