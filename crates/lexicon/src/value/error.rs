use std::fmt;

use super::{MAX_DEPTH, MAX_INT, MAX_VALUES};

/// Data that is not in the data model, or does not have the shape that was asked for: what, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    path: String,
    problem: ValueProblem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueProblem {
    /// A float, which records cannot hold.
    #[error(
        "is a float ({0}); records hold no floats: write it as a text, or scale it to an integer"
    )]
    Float(String),
    /// An integer that a double does not hold exactly.
    #[error("is an integer beyond ±{MAX_INT} (53 bits); write it as a text")]
    IntegerTooLarge,
    /// Too many lists and maps in each other.
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Too many values in one document.
    #[error("makes more than {MAX_VALUES} values in one document")]
    TooManyValues,
    /// Bytes that are not DAG-CBOR.
    #[error("is not valid DAG-CBOR at byte {at}: {reason}")]
    Cbor {
        /// Where reading stopped, in bytes from the start.
        at: usize,
        /// The rule that is broken.
        reason: &'static str,
    },
    /// A `$type`, `$link`, `$bytes` or blob that breaks the data model.
    #[error("breaks the data model: {0}")]
    Model(&'static str),
    /// Data of another shape than the type that it was to become.
    #[error("does not fit: {0}")]
    Shape(String),
}

impl ValueError {
    /// Where: the names of the fields and the positions in lists that lead to it, `content.data.scores[2]`; empty for the
    /// whole value.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What.
    pub fn problem(&self) -> &ValueProblem {
        &self.problem
    }

    pub(crate) fn shape(message: impl fmt::Display) -> Self {
        ValueProblem::Shape(message.to_string()).into()
    }

    pub(super) fn in_field(mut self, name: &str) -> Self {
        self.path = join(name, &self.path);
        self
    }

    pub(super) fn in_item(mut self, index: usize) -> Self {
        self.path = join(&format!("[{index}]"), &self.path);
        self
    }
}

impl From<ValueProblem> for ValueError {
    fn from(problem: ValueProblem) -> Self {
        Self {
            path: String::new(),
            problem,
        }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the value {}", self.problem),
            path => write!(f, "{path} {}", self.problem),
        }
    }
}

impl std::error::Error for ValueError {}

/// Puts the segment of an outer field or item before a path.
pub(crate) fn join(segment: &str, path: &str) -> String {
    match path {
        "" => segment.to_owned(),
        _ if path.starts_with('[') => format!("{segment}{path}"),
        _ => format!("{segment}.{path}"),
    }
}

impl serde::ser::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        ValueProblem::Shape(message.to_string()).into()
    }
}

impl serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        ValueProblem::Shape(message.to_string()).into()
    }
}
