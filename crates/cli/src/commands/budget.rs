//! `atcomms budget`: what the account may still write, and what waits for it.

use atcomms::lexicon::Datetime;
use atcomms::publish::{Budget, Limit};
use atcomms::store::Pool;
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::Outcome;
use crate::line;

#[derive(Serialize)]
struct Line {
    limited: Option<bool>,
    limits: Vec<LimitLine>,
    waiting: u64,
    oldest: Option<String>,
    next_at: Option<String>,
}

#[derive(Serialize)]
struct LimitLine {
    pool: &'static str,
    size: u64,
    window_s: u64,
    used: u64,
    left: u64,
    resets_at: Option<String>,
    told: bool,
}

pub(crate) async fn run(context: &Context, args: args::Budget) -> Outcome {
    let login = context.login()?;
    let session = login.session;
    let budget = Budget::read(&context.store()?, &session.did, &session.pds).await?;
    if args.json {
        line::json(&Line::of(&budget))?;
        return Ok(());
    }
    match budget.limited {
        Some(false) => line::text("The PDS tells of no rate limits.")?,
        Some(true) => {}
        None => line::text("The PDS has told nothing yet; this is what PDSs usually have:")?,
    }
    if budget.limited != Some(false) {
        budget
            .limits
            .iter()
            .try_for_each(|limit| line::text(&told(limit)))?;
    }
    let waiting = match (budget.waiting, &budget.oldest) {
        (0, _) | (_, None) => "Nothing waits.".to_owned(),
        (waiting, Some(oldest)) => format!("{waiting} to write, the first accepted {oldest}."),
    };
    line::text(&waiting)?;
    if let Some(next) = &budget.next_at {
        line::text(&format!("The next can go at {next}."))?;
    }
    Ok(())
}

fn told(limit: &Limit) -> String {
    let what = match limit.pool {
        Pool::Blobs => "uploads",
        _ => "points of writes",
    };
    let resets = match &limit.resets_at {
        Some(at) => format!(", full again at {at}"),
        None => String::new(),
    };
    let assumed = if limit.told { "" } else { " (assumed)" };
    format!(
        "{} of {} {what} in {} used, {} left{resets}{assumed}",
        limit.used,
        limit.size,
        window(limit.window_s),
        line::strong(&limit.left.to_string())
    )
}

fn window(seconds: u64) -> String {
    match seconds {
        3_600 => "an hour".to_owned(),
        86_400 => "a day".to_owned(),
        seconds => humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string(),
    }
}

impl Line {
    fn of(budget: &Budget) -> Self {
        let text = |at: &Option<Datetime>| at.as_ref().map(ToString::to_string);
        let limits = budget.limits.iter().map(|limit| LimitLine {
            pool: match limit.pool {
                Pool::Blobs => "blobs",
                _ => "writes",
            },
            size: limit.size,
            window_s: limit.window_s,
            used: limit.used,
            left: limit.left,
            resets_at: text(&limit.resets_at),
            told: limit.told,
        });
        Line {
            limited: budget.limited,
            limits: limits.collect(),
            waiting: budget.waiting,
            oldest: text(&budget.oldest),
            next_at: text(&budget.next_at),
        }
    }
}
