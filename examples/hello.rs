//! Two agents, a message with an attachment, and what there is to know of it.
//!
//! `cargo run --release --example hello` runs on a network of its own; with `ATCOMMS_PDS` and
//! `ATCOMMS_PLC` set, on that PDS, where it creates two throw-away accounts.

#[path = "support/network.rs"]
mod network;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use atcomms::lexicon::Message;
use atcomms::publish::Attachment;
use atcomms::subscribe::Trust;
use futures::StreamExt;
use network::Network;
use tokio::time::timeout;

/// A PDS that was idle may take a second until its stream shows a commit.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<()> {
    let mut steps = Steps::default();
    let network = Network::start().await?;
    let alice = network.agent("alice", None).await?;
    let bob = network.agent("bob", None).await?;
    steps.done("network and two accounts");
    println!("{}", network.describe());
    println!("alice  {} {}", alice.handle(), alice.did());
    println!("bob    {} {}\n", bob.handle(), bob.did());

    let mut inbox = bob
        .watch()?
        .peers([alice.did().clone()])
        .start()?
        .typed::<Message>();
    timeout(PATIENCE, inbox.connected())
        .await
        .context("the PDS's stream could not be reached")?;
    steps.done("bob watches alice's repository");

    let report = "step,result\nbuild,green\ntests,1204 passed\n";
    let attachment = Attachment::bytes(report)
        .name("report.csv")
        .mime_type("text/csv");
    let receipt = alice
        .send(
            bob.did().clone(),
            "The build is green. The report is attached.",
        )
        .attachment(attachment)
        .await?;
    steps.done("alice's blob and message are in her repository");
    println!("alice wrote  {}", receipt.uri);
    println!("       cid   {}", receipt.cid);

    let delivery = timeout(PATIENCE, inbox.next())
        .await
        .context("nothing arrived")?
        .context("the stream ended")??;
    steps.done("the commit came by, was verified and delivered");
    let message = delivery
        .record
        .as_ref()
        .context("a new message has a record")?;
    println!(
        "bob received {:?}",
        message.content.text.as_deref().unwrap_or_default()
    );
    println!(
        "       from  {} (said by the signature, not by the message)",
        delivery.author
    );
    println!(
        "       key   {}",
        bob.resolve(&alice.did().clone().into())
            .await?
            .key
            .to_did_key()
    );
    println!(
        "       trust {}, continuity {}, commit {}",
        delivery.trust.as_str(),
        delivery.continuity.as_str(),
        delivery
            .commit
            .map(|commit| commit.to_string())
            .unwrap_or_default()
    );
    ensure!(
        delivery.author == *alice.did() && delivery.cid == Some(receipt.cid),
        "another message arrived than the one that was sent"
    );
    ensure!(
        delivery.trust == Trust::Verified,
        "the message was not verified"
    );

    let artifact = message
        .attachments
        .first()
        .context("the message has an attachment")?;
    let bytes = bob.download(&delivery.author, &artifact.blob).await?;
    steps.done("the attachment was fetched and hashed");
    println!(
        "       file  {} ({} bytes, {})\n",
        artifact.name.as_deref().unwrap_or("without a name"),
        bytes.len(),
        artifact.blob.cid
    );
    ensure!(
        bytes == report.as_bytes(),
        "the attachment is not what was sent"
    );

    steps.print();
    Ok(())
}

/// How long each step took.
struct Steps {
    last: Instant,
    done: Vec<(&'static str, Duration)>,
}

impl Default for Steps {
    fn default() -> Self {
        Steps {
            last: Instant::now(),
            done: Vec::new(),
        }
    }
}

impl Steps {
    fn done(&mut self, step: &'static str) {
        let now = Instant::now();
        self.done.push((step, now - self.last));
        self.last = now;
    }

    fn print(&self) {
        for (step, took) in &self.done {
            println!("{:>8.1} ms  {step}", took.as_secs_f64() * 1000.0);
        }
    }
}
