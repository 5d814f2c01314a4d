//! `atcomms watch`: what agents write, a line each.

use atcomms::lexicon::{Map, Value};
use atcomms::subscribe::{Delivery, Source, Subscriber, Summary};
use futures::StreamExt;
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;

#[derive(Serialize)]
struct Line<'a> {
    uri: &'a str,
    cid: Option<String>,
    rev: String,
    commit: String,
    author: &'a str,
    collection: &'a str,
    rkey: &'a str,
    action: &'static str,
    trust: &'static str,
    continuity: &'static str,
    live: bool,
    record: Option<serde_json::Value>,
    source: &'a str,
    seq: i64,
}

pub(crate) async fn run(context: &Context, args: args::Watch) -> Outcome {
    let (resolver, own) = context.resolver_for_watching(&args.sources)?;
    let mut subscriber = Subscriber::new(resolver.clone())
        .from(args.from)
        .trust(args.trust);
    let mut sources = args.sources.clone();
    if !args.peers.is_empty() {
        let mut peers = Vec::new();
        for address in &args.peers {
            let identity = resolver.resolve(address).await?;
            if args.sources.is_empty() {
                sources.push(Source::of_pds(&identity, &resolver)?);
            }
            peers.push(identity.did);
        }
        subscriber = subscriber.peers(peers);
    }
    if sources.is_empty() {
        sources.extend(own);
    }
    sources.sort_by(|a, b| a.host().cmp(b.host()));
    sources.dedup_by(|a, b| a.host() == b.host());
    if sources.is_empty() {
        return Err(Failure::Usage("nothing to watch: name a host with --source, an agent with --peer, or log in to watch your own PDS".to_owned()));
    }
    for source in sources {
        subscriber = subscriber.source(source);
    }
    for pattern in args.collections {
        subscriber = subscriber.collection(pattern);
    }
    for action in args.actions {
        subscriber = subscriber.action(action);
    }
    if let Some(idle) = args.idle {
        subscriber = subscriber.idle(idle);
    }
    let mut subscription = subscriber
        .start()
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let interrupted = super::interrupted();
    tokio::pin!(interrupted);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let item = tokio::select! {
            item = subscription.next() => item,
            () = &mut interrupted => break,
        };
        match item {
            Some(Ok(delivery)) => {
                let printed = if args.json {
                    line::json(&Line::of(&delivery))
                } else {
                    line::text(&told(&delivery))
                };
                if printed.is_err() {
                    // The reader of our output is gone: there is nobody left to watch for.
                    break;
                }
                left -= 1;
            }
            Some(Err(undecodable)) => {
                eprintln!("atcomms: {}", line::harmless(&undecodable.to_string()))
            }
            None => break,
        }
    }
    let summary = subscription.summary();
    let error = subscription.error().cloned();
    let reached = subscription.connection().was_established();
    subscription.shutdown().await;
    summarise(&summary, args.json)?;
    match error {
        Some(error) => Err(error.into()),
        None if !reached => Err(Failure::Failed(anyhow::anyhow!(
            "no source could be reached: see above, and check the --source"
        ))),
        None => Ok(()),
    }
}

fn summarise(summary: &Summary, json: bool) -> Outcome {
    if json {
        eprintln!("{}", serde_json::to_string(summary)?);
        return Ok(());
    }
    let rejected: u64 = summary.rejected.values().sum();
    eprintln!(
        "{} delivered of {} frames in {:.1} s; {} duplicates, {rejected} rejected",
        summary.delivered, summary.frames, summary.seconds, summary.duplicates
    );
    for (reason, count) in &summary.rejected {
        eprintln!("  rejected for {reason}: {count}");
    }
    Ok(())
}

impl<'a> Line<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        Line {
            uri: delivery.uri.as_str(),
            cid: delivery.cid.map(|cid| cid.to_string()),
            rev: delivery.rev.to_string(),
            commit: delivery.commit.to_string(),
            author: delivery.author.as_str(),
            collection: delivery.collection.as_str(),
            rkey: delivery.rkey.as_str(),
            action: delivery.action.as_str(),
            trust: delivery.trust.as_str(),
            continuity: delivery.continuity.as_str(),
            live: delivery.live,
            record: delivery
                .record
                .as_ref()
                .map(|record| Value::Map(record.clone()).to_json()),
            source: &delivery.source,
            seq: delivery.seq,
        }
    }
}

/// One line for a person: who, what, how much it is worth, and the words of it where there are any.
fn told(delivery: &Delivery) -> String {
    let words = delivery.record.as_ref().map(words).unwrap_or_default();
    let kind = delivery
        .collection
        .as_str()
        .strip_prefix("agent.comms.")
        .unwrap_or(delivery.collection.as_str());
    format!(
        "{} {} {} {} {}",
        line::dim(delivery.trust.as_str()),
        delivery.author,
        line::strong(kind),
        delivery.action.as_str(),
        line::harmless(&words)
    )
}

/// The text of a record, wherever our lexicons keep it.
fn words(record: &Map) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let content = match record.get("content") {
        Some(Value::Map(content)) => text(content.get("text")),
        _ => None,
    };
    content
        .or_else(|| {
            ["text", "task", "summary", "status", "state", "name"]
                .iter()
                .find_map(|field| text(record.get(*field)))
        })
        .unwrap_or_default()
}
