//! `atcomms prune`: deletes what has expired.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;
use crate::sending::unsent;

#[derive(Serialize)]
struct Line {
    expired: usize,
    deleted: usize,
    forgotten: u64,
}

pub(crate) async fn run(context: &Context, args: args::Prune) -> Outcome {
    let agent = context.agent()?;
    let pruned = agent.publisher().prune().await.map_err(unsent)?;
    let expired = pruned.deletes.len();
    let bar = line::progress_of(u64::try_from(expired).unwrap_or(u64::MAX));
    let mut deletes: FuturesUnordered<_> = pruned
        .deletes
        .iter()
        .map(|delete| delete.receipt())
        .collect();
    let mut deleted = 0;
    // The rate limit may be used up, or the PDS away: what is accepted is deleted in time.
    let flushed = agent.flush();
    let interrupted = super::interrupted();
    tokio::pin!(flushed, interrupted);
    let mut cut_short = false;
    loop {
        tokio::select! {
            biased;
            next = deletes.next() => match next {
                Some(outcome) => {
                    outcome.map_err(unsent)?;
                    deleted += 1;
                    bar.inc(1);
                }
                None => break,
            },
            () = &mut flushed => break,
            () = &mut interrupted => {
                cut_short = true;
                break;
            }
        }
    }
    bar.finish_and_clear();
    if args.json {
        line::json(&Line {
            expired,
            deleted,
            forgotten: pruned.forgotten,
        })?;
    } else {
        line::text(&format!("{deleted} of {expired} expired records deleted"))?;
    }
    if deleted < expired {
        eprintln!(
            "{} wait: `atcomms budget` says for what, and `atcomms outbox --flush` goes on.",
            expired - deleted
        );
    }
    match cut_short {
        true => Err(Failure::Failed(anyhow::anyhow!("interrupted"))),
        false => Ok(()),
    }
}
