//! The command line as it is typed.

use std::path::PathBuf;
use std::time::Duration;

use atcomms::lexicon::{Address, AtUri, Severity};
use atcomms::subscribe::{Action, CollectionPattern, From, Source, Trust};
use clap::{Args, Parser, Subcommand};
use url::Url;

const ABOUT: &str = "Agents that talk over AT Protocol: signed, verified messages without a broker";
const AFTER: &str = "\
Everything is public: every message, parameter and attachment can be read by anyone, also after it was
deleted. Who signs is who holds the repository's signing key, normally the PDS.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 timed out, 4 refused by the other side.";

#[derive(Debug, Parser)]
#[command(name = "atcomms", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The store: logins, and what is to be sent [default: atcomms/store.sqlite3 in your data folder]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ATCOMMS_STATE",
        hide_env_values = true
    )]
    pub(crate) state: Option<PathBuf>,
    /// Which login to use, if there are several: a DID or a handle
    #[arg(
        long = "as",
        global = true,
        value_name = "ADDRESS",
        env = "ATCOMMS_AS",
        hide_env_values = true
    )]
    pub(crate) login: Option<Address>,
    /// The did:plc directory [default: that of the login, or the public one]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ATCOMMS_PLC",
        hide_env_values = true
    )]
    pub(crate) plc: Option<Url>,
    /// What is logged to stderr: error, warn, info, debug, trace, or a filter such as atcomms_subscribe=debug
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "ATCOMMS_LOG",
        hide_env_values = true,
        default_value = "warn"
    )]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an AT network on this machine, for development and tests
    Devnet(Devnet),
    /// Log in with an app password, read from stdin or ATCOMMS_PASSWORD
    Login(Login),
    /// Show which login is used
    Whoami(Whoami),
    /// Send a message to an agent
    Send(Send),
    /// Tell everybody who listens
    Broadcast(Broadcast),
    /// Print the records that agents write, verified
    Watch(Watch),
    /// Record a stream into a file, which every --source takes as file:FILE
    Record(Record),
    /// Ask an agent to do something, and wait for its answer
    Request(Request),
    /// Answer requests by running a command
    Serve(Serve),
    /// Show what durable watches have taken in and not done, and what they have laid aside
    Inbox(Inbox),
    /// Show what is accepted and not written yet, and what has failed
    Outbox(Outbox),
    /// Show what the account may still write
    Budget(Budget),
    /// Delete your own records that have expired
    Prune(Prune),
    /// Make a file that proves a record, also when it is deleted and its author's key is another
    Prove(Prove),
    /// Check such a file; no network is needed
    Verify(Verify),
    /// Check that everything is as it should be
    Doctor(Doctor),
}

#[derive(Debug, Args)]
#[command(
    after_help = "The first line of stdout, once all is ready, is one JSON object:\n  {\"plc\",\"relay\",\"jetstream\",\"pds\":[...],\"accounts\":[{\"handle\",\"did\",\"password\",\"pds\"}]}\nTo hear everybody, give the relay to --source. The Jetstream serves /subscribe. Stop it with Ctrl-C."
)]
pub(crate) struct Devnet {
    /// Port of the first PDS [default: a free one]
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// How many PDSs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) pds: u16,
    /// Create this account (NAME becomes NAME.test); may be repeated
    #[arg(long = "account", value_name = "NAME")]
    pub(crate) accounts: Vec<String>,
    /// Keep everything in this folder, and go on from there [default: in memory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Answer 429 over the rate limits of the reference PDS, such as 5000 points an hour for an
    /// account's writes: create 3, update 2, delete 1 [default: no limits]
    #[arg(long)]
    pub(crate) rate_limits: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Make an app password in your account's settings; do not use the main one.\nEverything an agent writes is public. Who signs is who holds the repository's signing key, normally the PDS."
)]
pub(crate) struct Login {
    /// The account: a handle, or a DID
    #[arg(value_name = "HANDLE")]
    pub(crate) address: Address,
    /// The account's PDS [default: looked up]
    #[arg(long, value_name = "URL")]
    pub(crate) pds: Option<Url>,
}

#[derive(Debug, Args)]
pub(crate) struct Whoami {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

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
With --json, a line for each: {\"uri\",\"cid\",\"rev\",\"commit\",\"author\",\"collection\",\"rkey\",\"action\",\"trust\",
\"continuity\",\"live\",\"record\",\"source\",\"seq\"}, and on exit a summary on stderr: {\"frames\",\"delivered\",
\"duplicates\",\"rejected\":{REASON: N},\"resyncs\",\"seconds\"}, seconds from the first frame to the last.
Without --peer, everybody's records of the collections. No login is needed. Without --durable it keeps nothing
on disk. With --durable, what comes is stored first, the next watch of that NAME goes on where this one was,
and several share the work. With --exec, COMMAND is split into words as a shell would, run without a shell for
one record at a time, and gets the line of JSON on stdin: exit 0 and it is done; 75, or a signal, and it comes
again; another and it is laid aside, with stderr as the reason (`atcomms inbox --dead`).")]
pub(crate) struct Watch {
    /// The host to watch, a PDS or a relay, or file:FILE for a recording; may be repeated [default: the PDSs of
    /// the peers, or your own]
    #[arg(long = "source", value_name = "HOST_URL")]
    pub(crate) sources: Vec<Source>,
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
    /// Where to begin: live, start, or a sequence number of the source
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
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --json, a line for each: that of `watch`, with {\"id\",\"durable\",\"attempts\",\"reason\"} before it. Looking takes
nothing out.")]
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
Ctrl-C ends it.")]
pub(crate) struct Record {
    /// The file, which must not be there yet
    pub(crate) file: PathBuf,
    /// The host whose stream is recorded
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
    /// Give one up that failed or was never sent; may be repeated
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

#[derive(Debug, Args)]
#[command(after_help = "\
It writes a message to yourself, tries to write over it, and deletes it: that takes five points, and is seen by
who watches. With --json, a line for each check: {\"check\",\"state\":\"ok|mind|bad\",\"found\",\"remedy\"}. Exit code 1 if
something is bad.")]
pub(crate) struct Doctor {
    /// Print one JSON object a line
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

fn record_uri(text: &str) -> Result<AtUri, String> {
    let uri: AtUri = text
        .parse()
        .map_err(|error: atcomms::lexicon::SyntaxError| error.to_string())?;
    match uri.rkey() {
        Some(_) => Ok(uri),
        None => Err("that is no record: it takes at://AUTHOR/COLLECTION/KEY".to_owned()),
    }
}

fn action(text: &str) -> Result<Action, String> {
    match text {
        "create" => Ok(Action::Create),
        "update" => Ok(Action::Update),
        "delete" => Ok(Action::Delete),
        _ => Err("an action is create, update or delete".to_owned()),
    }
}

fn trust(text: &str) -> Result<Trust, String> {
    match text {
        "verified" => Ok(Trust::Verified),
        "relayed" => Ok(Trust::Relayed),
        "jetstream" => Ok(Trust::Jetstream),
        _ => Err("trust is verified, relayed or jetstream".to_owned()),
    }
}

fn severity(text: &str) -> Result<Severity, String> {
    match text {
        "info" => Ok(Severity::Info),
        "notice" => Ok(Severity::Notice),
        "warning" => Ok(Severity::Warning),
        "critical" => Ok(Severity::Critical),
        _ => Err("a severity is info, notice, warning or critical".to_owned()),
    }
}

/// The longest duration that makes sense for a command; sums of times stay within what clocks hold.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A number with ms, s, m, h or d; several add up (`1h30m`).
fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        |_| "a duration is a number with its unit, such as 500ms, 30s, 10m or 2h".to_owned();
    let duration = humantime::parse_duration(text).map_err(wrong)?;
    if duration.is_zero() || duration > LONGEST {
        return Err("a duration is more than nothing, and a year at most".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("5").unwrap_err().contains("30s"));
        for unreasonable in ["0s", "500000000000y", "2y"] {
            assert!(duration(unreasonable).is_err(), "{unreasonable}");
        }
    }
}
