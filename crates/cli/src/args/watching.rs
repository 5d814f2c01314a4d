//! What is watched, kept and proven.

use std::path::PathBuf;
use std::time::Duration;

use atcomms::lexicon::{Address, AtUri};
use atcomms::subscribe::{Action, CollectionPattern, From, Source, Trust};
use clap::Args;

use super::admission::Admission;
use super::values::{action, duration, record_uri, trust};

#[derive(Debug, Args)]
#[command(after_help = "\
With --json, a line for each: {\"uri\",\"cid\",\"rev\",\"commit\",\"author\",\"collection\",\"rkey\",\"action\",\"trust\",
\"continuity\",\"live\",\"record\",\"source\",\"seq\"}, and on exit a summary on stderr: {\"frames\",\"delivered\",
\"duplicates\",\"rejected\":{REASON: N},\"resyncs\",\"seconds\"}, seconds from the first frame to the last.
Without --peer, everybody's records of the collections, as far as --block, --only-contacts and the budgets let them
in: what is refused is counted, and on exit the summary for people names those of whom most was. No login is needed. Without --durable it keeps nothing
on disk. With --durable, what comes is stored first, the next watch of that NAME goes on where this one was,
and several share the work. With --exec, COMMAND is split into words as a shell would, run without a shell for
one record at a time, and gets the line of JSON on stdin: exit 0 and it is done; 75, or a signal, and it comes
again; another and it is laid aside, with stderr as the reason (`atcomms inbox --dead`).")]
pub(crate) struct Watch {
    /// The host to watch, a PDS or a relay, or file:FILE for a recording; may be repeated [default: the PDSs of
    /// the peers, or your own]
    #[arg(long = "source", value_name = "HOST_URL")]
    pub(crate) sources: Vec<Source>,
    /// The Jetstream to watch, which sends no more than what is asked for; may be repeated, also beside --source.
    /// What it says is proven at each author's PDS, unless --trust takes its word
    #[arg(long = "jetstream", value_name = "HOST_URL", value_parser = Source::jetstream)]
    pub(crate) jetstreams: Vec<Source>,
    /// Only this agent's; may be repeated
    #[arg(long = "peer", value_name = "ADDRESS")]
    pub(crate) peers: Vec<Address>,
    /// Only this collection, or all below a prefix; may be repeated
    #[arg(
        long = "collection",
        value_name = "NSID|PREFIX.*",
        default_value = "agent.comms.*"
    )]
    pub(crate) collections: Vec<CollectionPattern>,
    /// Only this action: create, update or delete; may be repeated
    #[arg(long = "action", value_name = "ACTION", value_parser = action)]
    pub(crate) actions: Vec<Action>,
    /// The least trust to print: verified, relayed (a relay's word) or jetstream (its word)
    #[arg(long, value_name = "TRUST", default_value = "verified", value_parser = trust)]
    pub(crate) trust: Trust,
    /// Where to begin: live, start, or a sequence number of the source; for a Jetstream, a time in microseconds
    /// since 1970
    #[arg(long, value_name = "live|start|SEQ", default_value = "live")]
    pub(crate) from: From,
    /// Print one JSON object a line, and nothing else, on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// End after this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// End after this long without an event from the source, such as 2s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) idle: Option<Duration>,
    /// Keep what comes in the store under this name until it is printed, or done by --exec
    #[arg(long, value_name = "NAME")]
    pub(crate) durable: Option<String>,
    /// The command that is run for each record
    #[arg(long, value_name = "COMMAND", requires = "durable")]
    pub(crate) exec: Option<String>,
    /// How often a record is given to the command before it is laid aside
    #[arg(long, value_name = "N", default_value_t = 5, requires = "durable", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_deliver: u32,
    /// A record comes again when whoever had it was not heard of for this long, such as 30s; as long as a
    /// command runs, its watch is heard of
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "durable", value_parser = duration)]
    pub(crate) ack_wait: Duration,
    /// Remove the record of what was laid aside this long ago, such as 30d; it stays listed with its reason
    /// [default: keep it]
    #[arg(long, value_name = "DURATION", requires = "durable", value_parser = duration)]
    pub(crate) keep_dead: Option<Duration>,
    #[command(flatten)]
    pub(crate) admission: Admission,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --json, a line for each: that of `watch`, with {\"id\",\"durable\",\"attempts\",\"reason\"} before it; only \"uri\" of it
where the record cannot be read, or was removed (`watch --keep-dead`). Looking takes nothing out.")]
pub(crate) struct Inbox {
    /// Only of this durable watch [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) durable: Option<String>,
    /// What was laid aside, instead of what waits
    #[arg(long)]
    pub(crate) dead: bool,
    /// Have one that was laid aside delivered again, by its id; may be repeated
    #[arg(long, value_name = "ID")]
    pub(crate) retry: Vec<i64>,
    /// Forget one that was laid aside, by its id; may be repeated
    #[arg(long, value_name = "ID")]
    pub(crate) drop: Vec<i64>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every frame is recorded, of interest or not, as it came; nothing is verified until it is watched, with
`atcomms watch --source file:FILE`. The file holds for each frame its length (32 bits, little endian) and its bytes.
A Jetstream has no frames and
cannot be recorded. Ctrl-C ends it.")]
pub(crate) struct Record {
    /// The file, which must not be there yet
    pub(crate) file: PathBuf,
    /// The host whose firehose is recorded, a PDS or a relay
    #[arg(long, value_name = "HOST_URL")]
    pub(crate) source: Source,
    /// Where to begin: live, start, or a sequence number of the source
    #[arg(long, value_name = "live|start|SEQ", default_value = "live")]
    pub(crate) from: From,
    /// End after this many frames
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// End after this long without a frame, such as 2s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) idle: Option<Duration>,
    /// Print one JSON object at the end: {\"frames\",\"bytes\",\"first_seq\",\"last_seq\"}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file is a CAR: the signed commit, the way from there to the record, the record, and the author's DID document
as it is now, with the operations that led to it (did:plc). It goes to stdout, or into --out; what it proves is said on stderr. No login is needed, except
for handles that no DNS knows.")]
pub(crate) struct Prove {
    /// The record, such as at://alice.example.com/agent.comms.message/3n2xcy7j2kl2o
    #[arg(value_parser = record_uri)]
    pub(crate) uri: AtUri,
    /// Where to write it; a file that is there is replaced [default: stdout, if that is not a terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Proven is that the author's key signed a repository of the author in which the record stood. That the key is the
author's, a did:plc proves by its own operations in the file (key_proven). Where these are missing, as for a did:web, it
is the word of who made the file, and not proven unless --online or --trust-maker says so. When it was signed is the
signer's word.
With --json, one line: {\"proven\",\"uri\",\"cid\",\"rev\",\"commit\",\"author\",\"handle\",\"pds\",\"key\",\"key_proven\",\"resolved_at\",
\"record\",\"online\":{\"key\":\"current|past|unknown\",\"from\",\"until\"}}; online is null without --online; handle and pds are
those of the document. It is printed also where proven is false, and not where the file itself does not hold.
Exit code 0: proven; 1: not; 2: wrong usage.")]
pub(crate) struct Verify {
    /// The file, or - for stdin
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// Also ask the author's directory whether the key is the author's now, or was when the record was signed
    #[arg(long)]
    pub(crate) online: bool,
    /// Take the word of who made the file for whose key it is
    #[arg(long, conflicts_with = "online")]
    pub(crate) trust_maker: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
