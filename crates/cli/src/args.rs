//! The command line as it is typed.

mod account;
mod admission;
mod conversation;
mod values;
mod watching;
mod writing;

use std::path::PathBuf;

use atcomms::lexicon::Address;
use clap::{Args, Parser, Subcommand};
use url::Url;

pub(crate) use self::account::{Devnet, Doctor, Login, Whoami};
pub(crate) use self::admission::Admission;
pub(crate) use self::conversation::{Request, Serve};
pub(crate) use self::watching::{Inbox, Prove, Record, Verify, Watch};
pub(crate) use self::writing::{Broadcast, Budget, Outbox, Prune, Send};

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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
