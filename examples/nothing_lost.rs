//! Both sides die in the middle, and start again from their stores: each message is written once, and
//! counted once.
//!
//! `cargo run --release --example nothing_lost` runs on a network of its own; with `ATCOMMS_PDS` and
//! `ATCOMMS_PLC` set, on that PDS, where it creates two throw-away accounts.

#[path = "support/network.rs"]
mod network;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use atcomms::lexicon::Message;
use atcomms::subscribe::{From, Inbox, Leased};
use atcomms::{Agent, Store};
use network::Network;
use tokio::time::timeout;

/// A PDS that was idle may take a second until its stream shows a commit.
const PATIENCE: Duration = Duration::from_secs(20);
const MESSAGES: i64 = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let network = Network::start().await?;
    println!("{}\n", network.describe());
    let folder = tempfile::tempdir()?;
    let (alices, bobs) = (folder.path().join("alice"), folder.path().join("bob"));
    let alice = network.agent("alice", Some(Store::open(&alices)?)).await?;
    let bob = network.agent("bob", Some(Store::open(&bobs)?)).await?;
    let (author, reader) = (alice.did().clone(), bob.did().clone());

    for n in 0..MESSAGES {
        let message = alice.send(reader.clone(), format!("message {n}"));
        message.once(format!("message-{n}")).enqueue().await?;
    }
    drop(alice);
    println!("alice accepted {MESSAGES} messages, and died");

    let alice = again(&network, &alices)?;
    for n in 0..MESSAGES {
        // She does not know how far she came, so she sends all of them.
        let message = alice.send(reader.clone(), format!("message {n}"));
        let receipt = message.once(format!("message-{n}")).await?;
        println!("alice wrote    {}", receipt.uri);
    }

    let inbox = watch(&bob, &author).await?;
    let counted = count(inbox, 2).await?;
    drop(bob);
    println!("bob counted {counted}, took another, and died");

    let bob = again(&network, &bobs)?;
    let inbox = watch(&bob, &author).await?;
    let counted = count(inbox, MESSAGES).await?;
    println!("bob counted {counted} in all");
    ensure!(counted == MESSAGES, "each is counted once");
    Ok(())
}

/// The agent of this store, as its next process opens it.
fn again(network: &Network, store: &Path) -> Result<Agent> {
    let builder = Agent::builder().plc(network.plc.parse()?);
    Ok(builder.store(Store::open(store)?).open(None)?)
}

/// What alice writes, kept in bob's store until it is acknowledged.
async fn watch(bob: &Agent, author: &atcomms::lexicon::Did) -> Result<Inbox> {
    let subscriber = bob.watch()?.peers([author.clone()]).from(From::Start);
    let durable = subscriber.durable(bob.store().clone(), "count");
    // What a process that died had in its hands is somebody else's after this.
    Ok(durable.ack_wait(Duration::from_secs(1)).start().await?)
}

/// Counts messages until there are so many, in one transaction with their acknowledgement; takes one more,
/// if there is one, and says nothing of it.
async fn count(mut inbox: Inbox, until: i64) -> Result<i64> {
    loop {
        let leased = next(&mut inbox).await?;
        leased.decode::<Message>()?;
        let counted: i64 = leased
            .ack_with(|transaction| {
                transaction.execute("CREATE TABLE IF NOT EXISTS my_count (n INTEGER)", [])?;
                transaction.execute("INSERT INTO my_count VALUES (1)", [])?;
                transaction.query_row("SELECT count(*) FROM my_count", [], |row| row.get(0))
            })
            .await?;
        if counted == until {
            if counted < MESSAGES {
                drop(next(&mut inbox).await?);
            }
            return Ok(counted);
        }
    }
}

async fn next(inbox: &mut Inbox) -> Result<Leased> {
    timeout(PATIENCE, inbox.next())
        .await
        .context("nothing arrived")??
        .context("the stream ended")
}
