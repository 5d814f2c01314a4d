//! `atcomms outbox`: what was accepted and is not written yet, and what has failed.

use atcomms::Agent;
use atcomms::lexicon::{AtUri, Datetime};
use atcomms::publish::Publisher;
use atcomms::store::{Entry, State};
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;

#[derive(Serialize)]
struct Line<'a> {
    uri: &'a str,
    cid: Option<String>,
    state: &'static str,
    attempts: u32,
    reason: Option<&'a str>,
    accepted_at: String,
}

pub(crate) async fn run(context: &Context, args: args::Outbox) -> Outcome {
    let login = context.login()?;
    let store = context.store()?;
    let did = login.session.did;
    let find = |uri: AtUri, entries: &[Entry]| -> Result<Vec<i64>, Failure> {
        let ids: Vec<i64> = entries
            .iter()
            .filter(|entry| entry.uri() == uri)
            .map(|entry| entry.id)
            .collect();
        match ids.is_empty() {
            true => Err(Failure::Usage(format!(
                "{uri} is not in the outbox of {did}, or is written: `atcomms outbox --all` lists everything"
            ))),
            false => Ok(ids),
        }
    };
    let entries = store.entries(Some(&did), false).await?;
    for uri in args.retry {
        for id in find(uri, &entries)? {
            store.send_again(id).await?;
        }
    }
    for uri in args.drop {
        for id in find(uri.clone(), &entries)? {
            if !store.give_up(id).await? {
                return Err(Failure::Usage(format!(
                    "{uri} was sent, and may be written: it cannot be dropped until that is known"
                )));
            }
        }
    }
    if args.flush {
        let agent = context.agent()?;
        tokio::select! {
            () = flush(&agent) => {}
            () = super::interrupted() => eprintln!("Interrupted: what is not written waits."),
        }
    }
    let entries = store.entries(Some(&did), args.all).await?;
    let shown: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.state != State::Folded)
        .collect();
    if args.json {
        return shown
            .into_iter()
            .try_for_each(|entry| Ok(line::json(&Line::of(entry, entry.uri().as_str()))?));
    }
    shown.iter().try_for_each(|entry| told(entry))?;
    eprintln!("{}", summary(&entries));
    Ok(())
}

/// Sends as long as something can be sent, and shows how much is left.
async fn flush(agent: &Agent) {
    let publisher: &Publisher = agent.publisher();
    let bar = line::progress();
    let flushing = publisher.flush();
    tokio::pin!(flushing);
    loop {
        tokio::select! {
            () = &mut flushing => break,
            () = tokio::time::sleep(line::TICK) => {
                if let Ok(waiting) = publisher.store().waiting(agent.did()).await {
                    bar.set_message(format!("{} to write", waiting.entries));
                    bar.tick();
                }
            }
        }
    }
    bar.finish_and_clear();
}

impl<'a> Line<'a> {
    fn of(entry: &'a Entry, uri: &'a str) -> Self {
        Line {
            uri,
            cid: entry.cid.map(|cid| cid.to_string()),
            state: entry.state.as_str(),
            attempts: entry.attempts,
            reason: entry.reason.as_deref(),
            accepted_at: Datetime::from_unix_millis(entry.accepted_at).to_string(),
        }
    }
}

fn told(entry: &Entry) -> Outcome {
    let accepted = Datetime::from_unix_millis(entry.accepted_at);
    let tries = match entry.attempts {
        0 => "not tried yet".to_owned(),
        1 => "tried once".to_owned(),
        n => format!("tried {n} times"),
    };
    line::text(&format!(
        "{} {} {} {}",
        line::strong(entry.state.as_str()),
        entry.action.as_str(),
        entry.uri(),
        line::dim(&format!("accepted {accepted}, {tries}"))
    ))?;
    if let Some(reason) = &entry.reason {
        line::text(&format!("    {}", line::harmless(reason)))?;
    }
    Ok(())
}

fn summary(entries: &[Entry]) -> String {
    let count = |state| entries.iter().filter(|entry| entry.state == state).count();
    let (pending, failed) = (count(State::Pending), count(State::Failed));
    match (pending, failed) {
        (0, 0) => "Nothing waits.".to_owned(),
        (pending, 0) => format!("{pending} to write: `atcomms outbox --flush` sends now."),
        (pending, failed) => format!(
            "{pending} to write, {failed} failed: `atcomms outbox --retry URI` sends one again, `--drop URI` gives it up."
        ),
    }
}
