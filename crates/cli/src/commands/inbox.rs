//! `atcomms inbox`: what durable watches have taken in and not done, and what they have laid aside.

use std::time::SystemTime;

use atcomms::store::{Consumer, Received};
use atcomms::subscribe::Delivery;
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::event;
use crate::exit::{Failure, Outcome};
use crate::line;

/// Events that are read at once.
const PAGE: usize = 500;

#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    durable: &'a str,
    attempts: u32,
    reason: Option<&'a str>,
    /// Of an event whose record cannot be read or is gone; else it stands in the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(flatten)]
    event: Option<event::Line<'a>>,
}

pub(crate) async fn run(context: &Context, args: args::Inbox) -> Outcome {
    if !context.path().exists() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "there is no store at {}: `atcomms watch --durable NAME` makes one",
            context.path().display()
        )));
    }
    let store = context.store()?;
    for id in args.retry {
        if !store.deliver_again(id, now()).await? {
            return Err(no_such(id));
        }
    }
    for id in args.drop {
        if !store.bury(id).await? {
            return Err(no_such(id));
        }
    }
    let consumers = store.consumers().await?;
    let wanted = |consumer: &&Consumer| {
        args.durable
            .as_ref()
            .is_none_or(|name| *name == consumer.name)
    };
    let consumers: Vec<&Consumer> = consumers.iter().filter(wanted).collect();
    if let (true, Some(name)) = (consumers.is_empty(), &args.durable) {
        return Err(Failure::Usage(format!(
            "there is no durable watch {name:?} in {}",
            context.path().display()
        )));
    }
    let mut count = 0;
    for consumer in consumers {
        let mut after = 0;
        loop {
            let page = store.inbox(consumer, args.dead, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            count += page.len();
            for received in page {
                tell(consumer, received, args.json)?;
            }
        }
    }
    if !args.json {
        eprintln!(
            "{count} {}",
            if args.dead { "laid aside" } else { "not done" }
        );
    }
    Ok(())
}

fn tell(consumer: &Consumer, received: Received, json: bool) -> Outcome {
    let (id, attempts, reason) = (received.id, received.attempts, received.reason.clone());
    let uri = received.event.uri();
    let delivery = Delivery::from_received(received);
    if json {
        line::json(&Line {
            id,
            durable: &consumer.name,
            attempts,
            reason: reason.as_deref(),
            uri: delivery.is_err().then(|| uri.as_str()),
            event: delivery.as_ref().ok().map(event::Line::of),
        })?;
        return Ok(());
    }
    let what = match &delivery {
        Ok(delivery) => event::told(delivery),
        Err(undecodable) => line::harmless(&undecodable.to_string()),
    };
    line::text(&format!(
        "{} {} {what}",
        line::strong(&id.to_string()),
        consumer.name
    ))?;
    line::text(&line::dim(&format!(
        "    {uri}, handed out {attempts} times"
    )))?;
    if let Some(reason) = reason {
        line::text(&format!("    {}", line::harmless(&reason)))?;
    }
    Ok(())
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

fn no_such(id: i64) -> Failure {
    Failure::Usage(format!(
        "{id} is not laid aside, or its record was removed: `atcomms inbox --dead` lists what is"
    ))
}
