//! What is written, and what waits to be.

use std::path::PathBuf;
use std::time::Duration;

use atcomms::lexicon::{Address, AtUri, Severity};
use clap::Args;

use super::values::{duration, severity};

#[derive(Debug, Args)]
pub(crate) struct Writing {
    /// Attach a file; may be repeated (up to 16)
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<PathBuf>,
    /// A key of yours for this message: with the same key again, also after a crash, it is not sent a second
    /// time, and has the first one's outcome
    #[arg(long, value_name = "KEY")]
    pub(crate) once: Option<String>,
    /// Fail unless the PDS has committed it; without this, what the PDS does not take now is accepted, waits
    /// in the outbox, and is success
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print one JSON object: {"uri","cid","rev","state"}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Messages and attachments are public: anyone can read them, also after they were deleted.\nWho signs is who holds the repository's signing key, normally the PDS."
)]
pub(crate) struct Send {
    /// Whom to: a handle or a DID
    pub(crate) to: Address,
    /// What to say
    pub(crate) text: String,
    /// The message that this one answers
    #[arg(long, value_name = "URI")]
    pub(crate) reply_to: Option<AtUri>,
    /// From 0 to 5, which is the highest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=5))]
    pub(crate) priority: Option<u8>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Broadcasts and attachments are public: anyone can read them, also after they were deleted."
)]
pub(crate) struct Broadcast {
    /// What to say
    pub(crate) text: String,
    /// What it is about
    #[arg(long, value_name = "T")]
    pub(crate) topic: Option<String>,
    /// info, notice, warning or critical
    #[arg(long, value_name = "S", value_parser = severity)]
    pub(crate) severity: Option<Severity>,
    /// Whom it concerns, in the words of your agents; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Vec<String>,
    /// For how long it is of interest, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --json, a line for each: {\"uri\",\"cid\",\"state\":\"pending|written|failed\",\"attempts\",\"reason\",\"accepted_at\"}.
What waits is sent by the next command of this login that sends, by one that runs, or by --flush.")]
pub(crate) struct Outbox {
    /// Also what is written
    #[arg(long)]
    pub(crate) all: bool,
    /// Send what can be sent now, and show what is left
    #[arg(long)]
    pub(crate) flush: bool,
    /// Have one that failed sent again; may be repeated
    #[arg(long, value_name = "URI")]
    pub(crate) retry: Vec<AtUri>,
    /// Give one up that failed, or that is certainly not written; may be repeated
    #[arg(long, value_name = "URI")]
    pub(crate) drop: Vec<AtUri>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A PDS counts points: creating a record takes 3 (2 if it is sent alone), changing one 2, deleting one 1.
What the limits do not allow waits, and goes when they do.")]
pub(crate) struct Budget {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Deleted are messages, broadcasts, requests, handoffs and proposals that expired more than five minutes ago.
What was deleted was public, and others may keep it.")]
pub(crate) struct Prune {
    /// Print one JSON object: {\"expired\",\"deleted\",\"forgotten\"}
    #[arg(long)]
    pub(crate) json: bool,
}
