use crate::object::{definition, object};
use crate::schema::bytes;

object! {
    /// The trace that a record is part of (W3C Trace Context).
    pub struct Trace = "agent.comms.defs#trace" {
        required {
            /// `version-traceid-parentid-flags`.
            traceparent: String = "traceparent", bytes(128);
        }
        optional {
            /// What tracing systems add.
            tracestate: String = "tracestate", bytes(512);
        }
    }
}
definition!(Trace = "agent.comms.defs#trace");

impl Trace {
    /// A trace by its `traceparent`.
    pub fn new(traceparent: impl Into<String>) -> Self {
        Self::bare(traceparent.into())
    }
}
