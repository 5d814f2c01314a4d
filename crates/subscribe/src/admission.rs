//! Who may write to us when anyone may: contacts, blocks, and how much of the others is taken in.

mod budget;
mod refused;

use std::collections::HashSet;
use std::time::Duration;

use atcomms_lexicon::Did;

pub use self::budget::Budget;
pub(crate) use self::budget::Spending;
pub(crate) use self::refused::RefusedMost;
pub use self::refused::{Origin, Refusal, Refused};

const DAY: Duration = Duration::from_secs(86_400);

/// What is taken in of one author unless the caller says otherwise: what a PDS of the network lets an account
/// write in a day (35,000 points, at least one for each write). An honest author does not meet it, even if a
/// day of it is caught up on at once.
pub const AUTHOR_BUDGET: Budget = Budget::new(35_000, DAY);

/// What is taken in of all authors of one host together unless the caller says otherwise: some thirty that
/// write all day as much as they may. The largest hosts have hundreds of thousands of accounts, of which few
/// write to agents.
pub const HOST_BUDGET: Budget = Budget::new(1_000_000, DAY);

/// Who is let in by a subscriber of [`anyone`](crate::Subscriber::anyone), and how much of whom. What is
/// refused costs no verification and no disk; it is counted in [`Summary::rejected`](crate::Summary), and
/// [`Subscription::refused`](crate::Subscription::refused) tells of whom most was refused. A refused commit
/// moves nothing: a later one of its author is delivered as `linked`.
///
/// A commit is let in whole as long as its author's budget has anything left, and costs as many as it has
/// events, at least one; it pays only once it is believed, so that neither what comes twice nor what was
/// forged in an author's name costs that author anything. Budgets are kept in memory, and full at each start.
///
/// ```
/// use std::time::Duration;
/// use atcomms_subscribe::{Admission, Budget};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let friend = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse()?;
/// let admission = Admission::new()
///     .contacts([friend])
///     .budget_per_author(Budget::new(100, Duration::from_secs(60)));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it counts once a subscriber has it"]
pub struct Admission {
    pub(crate) contacts: HashSet<Did>,
    pub(crate) contacts_only: bool,
    pub(crate) blocks: HashSet<Did>,
    pub(crate) per_author: Budget,
    pub(crate) per_host: Budget,
}

impl Admission {
    /// Everybody, within [`AUTHOR_BUDGET`] and [`HOST_BUDGET`].
    pub fn new() -> Self {
        Self {
            contacts: HashSet::new(),
            contacts_only: false,
            blocks: HashSet::new(),
            per_author: AUTHOR_BUDGET,
            per_host: HOST_BUDGET,
        }
    }

    /// Also lets these in without a budget; as it does all that are followed by name.
    pub fn contacts(mut self, contacts: impl IntoIterator<Item = Did>) -> Self {
        self.contacts.extend(contacts);
        self
    }

    /// Lets in nobody but contacts, and those that are followed by name.
    pub fn contacts_only(mut self) -> Self {
        self.contacts_only = true;
        self
    }

    /// Also refuses these, whatever else is said of them: a contact or a followed repository that is blocked
    /// is neither.
    pub fn blocks(mut self, blocks: impl IntoIterator<Item = Did>) -> Self {
        self.blocks.extend(blocks);
        self
    }

    /// How much is taken in of each author; [`AUTHOR_BUDGET`] by default.
    pub fn budget_per_author(mut self, budget: Budget) -> Self {
        self.per_author = budget;
        self
    }

    /// How much is taken in of all authors of one host together, so that many accounts are worth no more
    /// than one; [`HOST_BUDGET`] by default. The host is the PDS that the author's identity names, with its
    /// port. That is the author's word; a relay and a PDS pass on only what comes from there.
    pub fn budget_per_host(mut self, budget: Budget) -> Self {
        self.per_host = budget;
        self
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new()
    }
}
