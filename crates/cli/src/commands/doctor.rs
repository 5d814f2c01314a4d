//! `atcomms doctor`: whether everything is as it should be, and what to do where it is not.

mod streams;

use std::time::Duration;

use atcomms::Agent;
use atcomms::publish::{Budget, NullSwap};
use atcomms::store::State;
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;

/// A clock that is further off than this is wrong: commits from five minutes ahead are refused by
/// everybody.
const CLOCK: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Line<'a> {
    check: &'a str,
    state: &'static str,
    found: &'a str,
    remedy: Option<&'a str>,
}

/// What was found.
enum Finding {
    Good(String),
    /// It works, but not as well as it could.
    Mind(String, String),
    Bad(String, String),
}

pub(crate) async fn run(context: &Context, args: args::Doctor) -> Outcome {
    let mut report = Report {
        json: args.json,
        bad: 0,
    };
    let store = match context.store() {
        Ok(store) => store,
        Err(error) => {
            let remedy = "as the message says".to_owned();
            report.tell("store", Finding::Bad(error.to_string(), remedy))?;
            return report.end();
        }
    };
    report.tell("store", Finding::Good(context.path().display().to_string()))?;
    let agent = match context.agent() {
        Ok(agent) => agent,
        Err(error) => {
            let remedy = "log in with `atcomms login HANDLE`".to_owned();
            report.tell("login", Finding::Bad(error.to_string(), remedy))?;
            return report.end();
        }
    };
    let who = format!("{} ({}) at {}", agent.handle(), agent.did(), agent.pds());
    report.tell("login", Finding::Good(who))?;
    report.tell("identity", identity(&agent).await)?;
    let reached = match agent.session().check().await {
        Ok(checked) => {
            report.tell("session", Finding::Good("the PDS accepts it".to_owned()))?;
            report.tell("clock", clock(checked.clock_ahead))?;
            true
        }
        Err(error) => {
            let remedy =
                "if it ended, log in again; if the PDS is down, what you send waits".to_owned();
            report.tell("session", Finding::Bad(error.to_string(), remedy))?;
            false
        }
    };
    let own = agent.resolve(&agent.did().clone().into()).await.ok();
    if reached {
        // It writes, and what it writes is looked for.
        let stream = match &own {
            Some(own) => streams::own_stream(own, agent.resolver()).await,
            None => None,
        };
        report.tell("null-swap", null_swap(&agent).await)?;
        if let Some(stream) = stream {
            report.tell("stream", streams::comes_by(stream).await)?;
        }
    }
    let mut watched = Vec::from_iter(own);
    for address in &args.peers {
        watched.push(agent.resolve(address).await?);
    }
    for source in &args.sources {
        for identity in &watched {
            let finding = streams::head(agent.resolver(), source, identity).await;
            report.tell("head", finding)?;
        }
    }
    let budget = Budget::read(&store, agent.did(), agent.pds()).await?;
    report.tell("budget", budgeted(&budget))?;
    let entries = store.entries(Some(agent.did()), false).await?;
    let failed = entries
        .iter()
        .filter(|entry| entry.state == State::Failed)
        .count();
    let outbox = format!("{} to write, {failed} failed", entries.len() - failed);
    report.tell(
        "outbox",
        match failed {
            0 => Finding::Good(outbox),
            _ => Finding::Mind(
                outbox,
                "`atcomms outbox` says why; `--retry URI` or `--drop URI` each".to_owned(),
            ),
        },
    )?;
    report.end()
}

async fn identity(agent: &Agent) -> Finding {
    let address = agent.did().clone().into();
    match agent.resolve(&address).await {
        Ok(identity) if identity.pds == *agent.pds() => {
            Finding::Good("the directory names this PDS".to_owned())
        }
        Ok(identity) => Finding::Bad(
            format!("the directory names {} as the account's PDS", identity.pds),
            format!(
                "the account has moved: log in there, `atcomms login {} --pds {}`",
                agent.handle(),
                identity.pds
            ),
        ),
        Err(error) => Finding::Bad(
            error.to_string(),
            "check the network, and that --plc is the directory of this account".to_owned(),
        ),
    }
}

fn clock(ahead: Option<i64>) -> Finding {
    match ahead {
        None => Finding::Good("the PDS does not tell the time".to_owned()),
        Some(ahead) if ahead.unsigned_abs() <= CLOCK.as_secs() => Finding::Good(format!(
            "within {} s of the PDS's",
            ahead.unsigned_abs().max(1)
        )),
        Some(ahead) => Finding::Bad(
            format!("this machine's clock is {ahead} s ahead of the PDS's"),
            "set it, for example with NTP: deadlines and rate limits go by it".to_owned(),
        ),
    }
}

async fn null_swap(agent: &Agent) -> Finding {
    match agent.publisher().probe_null_swap().await {
        Ok(NullSwap::Honoured) => Finding::Good(
            "the PDS honours an explicit null: a key is never written over".to_owned(),
        ),
        Ok(_) => Finding::Bad(
            "the PDS takes an explicit null in putRecord for an overwrite".to_owned(),
            "update the PDS: until then, two writers of one key may overwrite each other unnoticed"
                .to_owned(),
        ),
        Err(error) => Finding::Mind(
            format!("not found out: {error}"),
            "try again when the PDS takes writes".to_owned(),
        ),
    }
}

fn budgeted(budget: &Budget) -> Finding {
    match (&budget.next_at, budget.limited) {
        (Some(at), _) => Finding::Mind(
            format!("used up; {} to write", budget.waiting),
            format!("wait until {at}; `atcomms budget` shows it"),
        ),
        (None, Some(false)) => Finding::Good("the PDS tells of no rate limits".to_owned()),
        (None, _) => {
            let left = budget
                .limits
                .iter()
                .filter(|limit| limit.pool == atcomms::store::Pool::Writes);
            let left = left.map(|limit| limit.left).min().unwrap_or(0);
            Finding::Good(format!("{left} points of writes left"))
        }
    }
}

struct Report {
    json: bool,
    bad: u32,
}

impl Report {
    fn tell(&mut self, check: &str, finding: Finding) -> Outcome {
        let (state, found, remedy) = match &finding {
            Finding::Good(found) => ("ok", found, None),
            Finding::Mind(found, remedy) => ("mind", found, Some(remedy.as_str())),
            Finding::Bad(found, remedy) => ("bad", found, Some(remedy.as_str())),
        };
        self.bad += u32::from(state == "bad");
        if self.json {
            line::json(&Line {
                check,
                state,
                found,
                remedy,
            })?;
            return Ok(());
        }
        line::text(&format!(
            "{}  {check:9}  {}",
            line::strong(&format!("{state:4}")),
            line::harmless(found)
        ))?;
        if let Some(remedy) = remedy {
            line::text(&line::dim(&format!(
                "                 {}",
                line::harmless(remedy)
            )))?;
        }
        Ok(())
    }

    fn end(self) -> Outcome {
        match self.bad {
            0 => Ok(()),
            1 => Err(Failure::Failed(anyhow::anyhow!(
                "one thing is not as it should be"
            ))),
            n => Err(Failure::Failed(anyhow::anyhow!(
                "{n} things are not as they should be"
            ))),
        }
    }
}
