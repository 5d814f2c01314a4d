//! Who acts, and whether all is well.

use std::path::PathBuf;

use atcomms::lexicon::Address;
use atcomms::subscribe::Source;
use clap::Args;
use url::Url;

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
#[command(after_help = "\
It writes a message to yourself, tries to write over it, and deletes it: that takes five points, and is seen by
who watches. It looks whether that comes by in the PDS's stream, and with --source whether other hosts have it. With --json, a line for each check: {\"check\",\"state\":\"ok|mind|bad\",\"found\",\"remedy\"}. Exit code 1 if
something is bad.")]
pub(crate) struct Doctor {
    /// A relay or another host: whether it has the newest commit of yours, and of each --peer; may be repeated
    #[arg(long = "source", value_name = "HOST_URL")]
    pub(crate) sources: Vec<Source>,
    /// Whose newest commit is looked for at each --source, too; may be repeated
    #[arg(long = "peer", value_name = "ADDRESS")]
    pub(crate) peers: Vec<Address>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
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
