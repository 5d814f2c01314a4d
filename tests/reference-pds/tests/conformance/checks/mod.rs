//! The checks, by what they are about.

mod accounts;
mod batches;
mod blobs;
mod events;
mod independent;
mod rate_limits;
mod reading;
mod records;
mod sessions;
mod stream;
mod sync;
mod validation;

use crate::check::Check;

/// All of them.
pub(crate) fn all() -> Vec<Check> {
    [
        accounts::list(),
        sessions::list(),
        records::list(),
        batches::list(),
        validation::list(),
        reading::list(),
        blobs::list(),
        sync::list(),
        events::list(),
        stream::list(),
        rate_limits::list(),
        independent::list(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
