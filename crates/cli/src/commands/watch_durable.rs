//! `atcomms watch --durable`: what agents write, stored first; a durable task queue for any language.

use std::time::Duration;

use atcomms::subscribe::{LeaseError, Leased, Retention, Subscriber};

use crate::args;
use crate::context::Context;
use crate::event::{Line, told};
use crate::exec::{Exec, Ran, TRY_AGAIN};
use crate::exit::{Failure, Outcome};
use crate::line;

/// The wait before a record is given to the command again; it doubles with each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest such wait.
const LAST_RETRY: Duration = Duration::from_secs(300);

pub(crate) async fn run(
    context: &Context,
    args: args::Watch,
    subscriber: Subscriber,
    name: String,
) -> Outcome {
    let exec = args.exec.as_deref().map(Exec::parse).transpose()?;
    let mut retention = Retention::new();
    if let Some(time) = args.keep_dead {
        retention = retention.dead_for(time);
    }
    let durable = subscriber
        .durable(context.store()?, name)
        .max_deliver(args.max_deliver)
        .ack_wait(args.ack_wait)
        .retain(retention);
    let mut inbox = durable
        .start()
        .await
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let interrupted = super::interrupted();
    tokio::pin!(interrupted);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let leased = tokio::select! {
            biased;
            // First: after Ctrl-C nothing more is begun, even if more is there.
            () = &mut interrupted => break,
            leased = inbox.next() => leased?,
        };
        let Some(leased) = leased else { break };
        // What was begun is finished before the program ends, also after Ctrl-C.
        let taken = match &exec {
            Some(exec) => work(exec, leased, &args).await,
            None => print(leased, args.json).await,
        };
        match taken {
            Ok(true) => left -= 1,
            // The reader of our output is gone: there is nobody left to watch for.
            Ok(false) => break,
            Err(LeaseError::Lost) => {
                eprintln!("atcomms: a record was away for too long, and was handed out again");
            }
            Err(error) => return Err(error.into()),
        }
    }
    let (summary, refused) = (inbox.summary(), inbox.refused());
    let error = inbox.error().cloned();
    // Another watch of this name may be the one that reads the sources.
    let reached = inbox.connection().was_established() || !inbox.is_feeding();
    inbox.shutdown().await?;
    super::watch::summarise(&summary, &refused, args.json)?;
    match error {
        Some(error) => Err(error.into()),
        None if !reached && summary.delivered == 0 => Err(Failure::Failed(anyhow::anyhow!(
            "no source could be reached: see above, and check --source and --jetstream"
        ))),
        None => Ok(()),
    }
}

/// Prints a record, and then it is done. False if nobody reads.
async fn print(leased: Leased, json: bool) -> Result<bool, LeaseError> {
    let printed = match leased.item() {
        Ok(delivery) if json => line::json(&Line::of(delivery)),
        Ok(delivery) => line::text(&told(delivery)),
        Err(undecodable) => {
            eprintln!("atcomms: {}", line::harmless(&undecodable.to_string()));
            Ok(())
        }
    };
    if printed.is_err() {
        leased.nak(Duration::ZERO).await?;
        return Ok(false);
    }
    leased.ack().await?;
    Ok(true)
}

/// Runs the command for a record, and takes its word.
async fn work(exec: &Exec, leased: Leased, args: &args::Watch) -> Result<bool, LeaseError> {
    let (max_deliver, json) = (args.max_deliver, args.json);
    let delivery = match leased.item() {
        Ok(delivery) => delivery.clone(),
        Err(undecodable) => {
            let reason = undecodable.to_string();
            eprintln!("atcomms: {}", line::harmless(&reason));
            leased.term(reason).await?;
            return Ok(true);
        }
    };
    let shown = Line::of(&delivery);
    let ran = kept(&leased, args.ack_wait, exec.run(&shown)).await?;
    let (state, said) = match ran {
        Ok(Ran { status, .. }) if status.success() => {
            leased.ack().await?;
            ("done", None)
        }
        // Killed, by an operator or by the machine: that says nothing of the record.
        Ok(Ran { status, said, .. }) if matches!(status.code(), None | Some(TRY_AGAIN)) => {
            (retry(leased, max_deliver, &said).await?, Some(said))
        }
        Ok(Ran { said, .. }) => {
            leased.term(said.clone()).await?;
            ("dead", Some(said))
        }
        // Without its program, no record can be done.
        Err(error) => {
            let said = format!("the command did not run: {error}");
            (retry(leased, max_deliver, &said).await?, Some(said))
        }
    };
    let said = said.unwrap_or_default();
    let told = match json {
        true => line::json(&serde_json::json!({
            "uri": delivery.uri, "rev": delivery.rev.to_string(), "action": delivery.action.as_str(),
            "state": state, "reason": said,
        })),
        false => line::text(&format!(
            "{} {} {}",
            line::strong(state),
            delivery.uri,
            line::harmless(&said)
        )),
    };
    Ok(told.is_ok())
}

/// Puts a record off, or aside if this was its last time; says which.
async fn retry(leased: Leased, max_deliver: u32, said: &str) -> Result<&'static str, LeaseError> {
    if leased.attempts() >= max_deliver {
        leased.term(said).await?;
        return Ok("dead");
    }
    let doublings = leased.attempts().saturating_sub(1).min(16);
    let wait = FIRST_RETRY * 2u32.saturating_pow(doublings);
    leased.nak(wait.min(LAST_RETRY)).await?;
    Ok("retry")
}

/// Keeps a record ours as long as the command runs.
async fn kept<T>(
    leased: &Leased,
    ack_wait: Duration,
    work: impl Future<Output = T>,
) -> Result<T, LeaseError> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(ack_wait / 3) => match leased.progress().await {
                Ok(()) => {}
                Err(LeaseError::Lost) => return Err(LeaseError::Lost),
                // A store that fails for a moment is no reason to end the command.
                Err(error) => eprintln!("atcomms: {error}"),
            },
        }
    }
}
