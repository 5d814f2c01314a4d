//! Rate limits, as the reference PDS has them when it has any. In memory: a restart forgets what was used.

mod budget;
mod limits;
mod status;
mod windows;

pub(crate) use budget::{Budget, Cost};
pub use limits::{Limit, RateLimits};
pub(crate) use status::{Status, exceeded};
