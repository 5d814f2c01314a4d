//! Requests and their answers.

use std::time::Duration;

use atcomms::lexicon::Address;
use atcomms::subscribe::{From, Source};
use clap::Args;

use super::values::duration;

#[derive(Debug, Args)]
#[command(
    after_help = "Requests, parameters and answers are public. The answer counts only if it comes from the agent that was\nasked, for this request and no other. Exit code 3: no answer before the deadline; 4: it was refused."
)]
pub(crate) struct Request {
    /// Whom to ask: a handle or a DID
    pub(crate) to: Address,
    /// What to do, in the words of the agent that is asked
    pub(crate) task: String,
    /// Parameters, as JSON without floats
    #[arg(long, value_name = "JSON")]
    pub(crate) params: Option<String>,
    /// How long to wait for the answer, such as 30s
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) deadline: Duration,
    /// A key of yours for this request: with the same key again, it is not asked a second time; such a
    /// request tells the other side no deadline
    #[arg(long, value_name = "KEY")]
    pub(crate) once: Option<String>,
    /// The host on which to wait for the answer [default: the PDS of the agent that is asked]
    #[arg(long = "source", value_name = "HOST_URL")]
    pub(crate) sources: Vec<Source>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
COMMAND is split into words as a shell would, and run without a shell, so nothing of a request can be taken
for a command. It gets the request as JSON on stdin; what it prints is the result: JSON, or else a text.
Exit 0: the result is sent. Exit 75: an error that may be tried again. Another: a final error, with what it
wrote to stderr as the message. Each request is answered once.
On the PDS of this login alone, only its accounts reach you: name a relay by --source to hear everybody.")]
pub(crate) struct Serve {
    /// The task whose requests are answered
    pub(crate) task: String,
    /// The command that answers one request
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: String,
    /// How many at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) concurrency: u16,
    /// How long the command may take
    #[arg(long, value_name = "D", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Only requests of this agent; may be repeated [default: of anyone]
    #[arg(long = "peer", value_name = "ADDRESS")]
    pub(crate) peers: Vec<Address>,
    /// The host to watch for requests; may be repeated [default: the PDSs of the peers, or your own]
    #[arg(long = "source", value_name = "HOST_URL")]
    pub(crate) sources: Vec<Source>,
    /// Where to begin: live, start, or a sequence number; what was answered before is not answered again
    #[arg(long, value_name = "live|start|SEQ", default_value = "live")]
    pub(crate) from: From,
    /// Stop after this many answers; what is under way then is still finished
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Print one JSON object for each answer
    #[arg(long)]
    pub(crate) json: bool,
}
