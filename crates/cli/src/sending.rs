//! Waiting for what was accepted, for as long as a command should.

use std::time::Duration;

use atcomms::Agent;
use atcomms::publish::{Accepted, Pending, Progress, PublishError};
use atcomms::store::State;
use serde::Serialize;
use tokio::time::timeout;

use crate::exit::{Failure, Outcome};
use crate::line;

/// How long a command waits for the PDS when nothing is known to stand in the way: another process may
/// be sending, or the PDS may be slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long `--wait` waits while something stands in the way: a restart of the PDS.
const PATIENCE_IN_TROUBLE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Line<'a> {
    uri: &'a str,
    cid: Option<String>,
    rev: Option<String>,
    state: &'static str,
}

/// Waits until a record is written, or until it is clear that this takes a while; tells which. With
/// `wait`, only a written record is success.
pub(crate) async fn finish(agent: &Agent, accepted: Accepted, wait: bool, json: bool) -> Outcome {
    let interrupted = super::commands::interrupted();
    let pending = tokio::select! {
        pending = until_settled(accepted.clone(), wait) => pending,
        () = interrupted => {
            return Err(Failure::Failed(anyhow::anyhow!(
                "interrupted: {} is accepted, and the next command that sends will send it", accepted.uri()
            )));
        }
    };
    let Some(pending) = pending else {
        let receipt = accepted.receipt().await.map_err(unsent)?;
        return tell(
            receipt.uri.as_str(),
            Some(receipt.cid.to_string()),
            receipt.rev.map(|rev| rev.to_string()),
            State::Written,
            json,
        );
    };
    let entry = agent.publisher().store().entry(accepted.id()).await?;
    let cid = entry.and_then(|entry| entry.cid).map(|cid| cid.to_string());
    let reason = pending.reason.as_deref().unwrap_or("the PDS takes long");
    let waits = format!("{} is accepted and waits: {reason}", accepted.uri());
    match (pending.stuck, wait) {
        (false, false) => {
            tell(accepted.uri().as_str(), cid, None, State::Pending, json)?;
            eprintln!(
                "Accepted, and not written yet: {}.",
                line::harmless(reason.trim_end_matches('.'))
            );
            eprintln!("The next command that sends delivers it, or `atcomms outbox --flush`.");
            Ok(())
        }
        (true, _) => Err(Failure::Refused(waits)),
        (false, true) => Err(Failure::Failed(anyhow::anyhow!(waits))),
    }
}

/// `None` once it is settled; else why it is not.
async fn until_settled(mut accepted: Accepted, wait: bool) -> Option<Pending> {
    let patience = |pending: &Pending| match (pending.reason.is_some(), wait) {
        (false, _) => PATIENCE,
        (true, true) => PATIENCE_IN_TROUBLE,
        (true, false) => Duration::ZERO,
    };
    let mut progress = accepted.progress();
    // What stood in the way of an entry that an earlier command left need not do so any more.
    let mut left = PATIENCE;
    loop {
        let pending = match progress {
            Progress::Pending(pending) => pending,
            _ => return None,
        };
        if pending.stuck {
            return Some(pending);
        }
        progress = match timeout(left, accepted.changed()).await {
            Ok(Ok(progress)) => progress,
            // The time is over, or the publisher is gone.
            _ => return Some(pending),
        };
        if let Progress::Pending(pending) = &progress {
            left = patience(pending);
        }
    }
}

fn tell(uri: &str, cid: Option<String>, rev: Option<String>, state: State, json: bool) -> Outcome {
    if json {
        let state = state.as_str();
        line::json(&Line {
            uri,
            cid,
            rev,
            state,
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
