use crate::object::{definition, object};
use crate::schema::bytes;
use crate::value::Value;

object! {
    /// Why a request was not done.
    pub struct Failure = "agent.comms.defs#failure" lenient text_as_message {
        optional {
            /// A short name for programs, `no_such_file`.
            code: String = "code", bytes(128);
            /// What happened, for people and models.
            message: String = "message", bytes(2048);
            /// Whether the same request may succeed later.
            retryable: bool = "retryable";
        }
    }
}
definition!(Failure = "agent.comms.defs#failure");

impl Failure {
    /// A failure with a message for people and models.
    pub fn new(message: impl Into<String>) -> Self {
        Self::bare().message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// Older records hold a text where a failure belongs.
fn text_as_message(value: Value) -> Value {
    match value {
        Value::Text(message) => Value::from([("message", Value::Text(message))]),
        other => other,
    }
}
