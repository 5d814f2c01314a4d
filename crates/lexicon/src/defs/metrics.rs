use crate::object::{definition, object};
use crate::schema::from;

object! {
    /// What a response took to make.
    #[derive(Default)]
    pub struct Metrics = "agent.comms.defs#metrics" {
        optional {
            /// Milliseconds from taking the request up to the response.
            duration_ms: i64 = "durationMs", from(0);
            /// Tokens of language models, in and out.
            token_usage: i64 = "tokenUsage", from(0);
        }
    }
}
definition!(Metrics = "agent.comms.defs#metrics");

impl Metrics {
    /// No figures yet.
    pub fn new() -> Self {
        Self::bare()
    }
}
