//! The caller's own key for a record: the first command with it notes down the record's key and time
//! before anything is sent, and every later one writes the very same record, which the repository then
//! holds once.

use atcomms::Agent;
use atcomms::lexicon::{Datetime, RecordKey};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::exit::Failure;

/// What was noted down for a key of the caller's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Once {
    /// The record's key in the repository.
    pub(crate) key: RecordKey,
    /// The record's `createdAt`.
    pub(crate) created_at: Datetime,
}

impl Once {
    /// What stands for this key of the caller's: noted before, or noted now.
    pub(crate) fn of(
        context: &Context,
        agent: &Agent,
        name: Option<String>,
    ) -> Result<Option<Self>, Failure> {
        let Some(name) = name else { return Ok(None) };
        let fresh = Once {
            key: agent.publisher().next_tid().to_string().parse()?,
            created_at: Datetime::now(),
        };
        let once = context.state.change(|contents| {
            let login = contents
                .logins
                .get_mut(agent.did())
                .ok_or_else(|| anyhow::anyhow!("the login is gone: log in again"))?;
            Ok(login.once.entry(name).or_insert(fresh).clone())
        })?;
        Ok(Some(once))
    }
}
