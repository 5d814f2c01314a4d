//! One agent asks, another does it and answers; then one that says no.
//!
//! `cargo run --release --example request_response` runs on a network of its own; with `ATCOMMS_PDS`
//! and `ATCOMMS_PLC` set, on that PDS, where it creates two throw-away accounts.

#[path = "support/network.rs"]
mod network;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use atcomms::{Job, RequestError, TaskError};
use network::Network;
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<()> {
    let network = Network::start().await?;
    let alice = network.agent("alice", None).await?;
    let bob = network.agent("bob", None).await?;
    println!("{}\n", network.describe());

    let mut counter = bob.serve("count-words").handle(count_words)?;
    timeout(PATIENCE, counter.connected())
        .await
        .context("the PDS's stream could not be reached")?;

    let asked = Instant::now();
    let answer = alice
        .request(bob.did().clone(), "count-words")
        .params(json!({"text": "nothing forged, nothing lost, nothing twice"}))
        .deadline(PATIENCE)
        .await?;
    println!("alice asked   {}", answer.request.uri);
    println!(
        "bob answered  {} in {:.1} ms",
        answer.uri,
        asked.elapsed().as_secs_f64() * 1000.0
    );
    println!("              {}\n", answer.result.to_json());
    ensure!(
        answer.result.to_json() == json!({"words": 6}),
        "that is not the number of words"
    );

    match alice
        .request(bob.did().clone(), "count-words")
        .params(json!({"text": 7}))
        .deadline(PATIENCE)
        .await
    {
        Err(RequestError::Rejected { failure, .. }) => {
            println!("bob refused   {}", failure.message.unwrap_or_default())
        }
        other => anyhow::bail!("bob should have refused a number, and said {other:?}"),
    }
    counter.shutdown().await;
    Ok(())
}

/// What bob does with a request.
async fn count_words(job: Job) -> Result<Value, TaskError> {
    let params = job.params.to_json();
    let text = params["text"]
        .as_str()
        .ok_or_else(|| TaskError::rejected("`text` must be a text"))?;
    Ok(json!({"words": text.split_whitespace().count()}))
}
