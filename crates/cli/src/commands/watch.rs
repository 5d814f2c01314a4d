//! `atcomms watch`: what agents write, a line each.

use atcomms::subscribe::{Refused, Source, Subscriber, Summary};
use futures::StreamExt;

use crate::args;
use crate::context::Context;
use crate::event::{Line, told};
use crate::exit::{Failure, Outcome};
use crate::line;

pub(crate) async fn run(context: &Context, args: args::Watch) -> Outcome {
    let subscriber = subscriber(context, &args).await?;
    if let Some(name) = args.durable.clone() {
        return super::watch_durable::run(context, args, subscriber, name).await;
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
    let (summary, refused) = (subscription.summary(), subscription.refused());
    let error = subscription.error().cloned();
    let reached = subscription.connection().was_established();
    subscription.shutdown().await;
    summarise(&summary, &refused, args.json)?;
    match error {
        Some(error) => Err(error.into()),
        None if !reached => Err(Failure::Failed(anyhow::anyhow!(
            "no source could be reached: see above, and check --source and --jetstream"
        ))),
        None => Ok(()),
    }
}

/// Says what to watch, as the command line does.
async fn subscriber(context: &Context, args: &args::Watch) -> Result<Subscriber, Failure> {
    let (resolver, own) = context.resolver_for_watching(&args.sources)?;
    let mut subscriber = Subscriber::new(resolver.clone())
        .from(args.from)
        .trust(args.trust);
    let mut sources = [args.sources.as_slice(), args.jetstreams.as_slice()].concat();
    let named = !sources.is_empty();
    if !args.peers.is_empty() {
        let mut peers = Vec::new();
        for address in &args.peers {
            peers.push(resolver.resolve(address).await?.did);
        }
        subscriber = subscriber.peers(peers);
        if !named {
            subscriber = subscriber.at_their_pds();
        }
    }
    let (mut subscriber, contacts) =
        super::admission::admit(subscriber, &resolver, &args.admission).await?;
    if !named && args.peers.is_empty() {
        for contact in &contacts {
            sources.push(Source::of_pds(contact, &resolver)?);
        }
        sources.extend(own);
    }
    sources.sort_by(|a, b| a.host().cmp(b.host()));
    sources.dedup_by(|a, b| a.host() == b.host());
    if sources.is_empty() && args.peers.is_empty() {
        return Err(Failure::Usage("nothing to watch: name a host with --source or --jetstream, an agent with --peer, or log in to watch your own PDS".to_owned()));
    }
    for source in sources {
        subscriber = subscriber.source(source);
    }
    for pattern in args.collections.iter().cloned() {
        subscriber = subscriber.collection(pattern);
    }
    for action in args.actions.iter().copied() {
        subscriber = subscriber.action(action);
    }
    if let Some(idle) = args.idle {
        subscriber = subscriber.idle(idle);
    }
    Ok(subscriber)
}

pub(super) fn summarise(summary: &Summary, refused: &[Refused], json: bool) -> Outcome {
    if json {
        eprintln!("{}", serde_json::to_string(summary)?);
        return Ok(());
    }
    let rejected: u64 = summary.rejected.values().sum();
    eprintln!(
        "{} delivered of {} frames in {:.1} s; {} duplicates, {rejected} rejected",
        summary.delivered, summary.frames, summary.seconds, summary.duplicates
    );
    if summary.resyncs > 0 {
        eprintln!(
            "  repositories fetched from their PDSs: {}",
            summary.resyncs
        );
    }
    for (reason, count) in &summary.rejected {
        eprintln!("  rejected for {reason}: {count}");
    }
    super::admission::tell_refused(refused);
    Ok(())
}
