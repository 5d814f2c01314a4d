//! Who is let in, and how much of whom.

use atcomms::lexicon::Address;
use atcomms::subscribe::Budget;
use clap::Args;

use super::values::budget;

#[derive(Debug, Args)]
#[command(next_help_heading = "Who may write")]
pub(crate) struct Admission {
    /// Follow this agent's too, beside everybody's: no budget counts for it, and what the source did not bring
    /// of it is fetched; may be repeated
    #[arg(long = "contact", value_name = "ADDRESS", conflicts_with = "peers")]
    pub(crate) contacts: Vec<Address>,
    /// Nobody else's: others are refused, and counted
    #[arg(long, requires = "contacts")]
    pub(crate) only_contacts: bool,
    /// None of this agent's; may be repeated
    #[arg(long = "block", value_name = "ADDRESS")]
    pub(crate) blocks: Vec<Address>,
    /// Print none of this agent's, such as your own; may be repeated. Unlike --block, it is not counted, and if
    /// the agent is followed its commits are verified all the same
    #[arg(long = "leave-out", value_name = "ADDRESS")]
    pub(crate) left_out: Vec<Address>,
    /// How much is taken of any other agent, such as 100/1m: 100 at once, and then as many as a minute allows
    /// [default: 35000/1d, which is what a PDS lets an account write]
    #[arg(long, value_name = "N/DURATION", value_parser = budget)]
    pub(crate) author_budget: Option<Budget>,
    /// How much is taken of all other agents on one PDS together [default: 1000000/1d]
    #[arg(long, value_name = "N/DURATION", value_parser = budget)]
    pub(crate) host_budget: Option<Budget>,
}
