//! `atcomms send` and `atcomms broadcast`: one record, once.

use atcomms::SendError;
use atcomms::publish::Attachment;

use crate::args;
use crate::context::Context;
use crate::exit::Outcome;
use crate::sending::{finish, unsent};

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
    if let Some(once) = args.writing.once {
        message = message.once(once);
    }
    let accepted = match message.enqueue().await {
        Ok(accepted) => accepted,
        Err(SendError::Publish(error)) => return Err(unsent(error)),
        Err(error) => return Err(error.into()),
    };
    finish(&agent, accepted, args.writing.wait, args.writing.json).await
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
    if let Some(once) = args.writing.once {
        broadcast = broadcast.once(once);
    }
    let accepted = broadcast.enqueue().await.map_err(unsent)?;
    finish(&agent, accepted, args.writing.wait, args.writing.json).await
}
