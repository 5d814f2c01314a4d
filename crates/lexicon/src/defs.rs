//! The objects that records share (`agent.comms.defs`).

mod artifact;
mod content;
mod failure;
mod metrics;
mod payload;
mod skill;
mod trace;

pub use artifact::Artifact;
pub use content::{Content, ContentKind};
pub use failure::Failure;
pub use metrics::Metrics;
pub use payload::Payload;
pub use skill::Skill;
pub use trace::Trace;
