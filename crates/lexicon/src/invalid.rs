use std::fmt;

use crate::value::{Value, ValueError, join};

/// A record that breaks its lexicon: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    path: String,
    reason: String,
}

impl Invalid {
    /// A record with something wrong in it; `reason` goes on after the name of the field ("is longer than …").
    pub fn new(reason: impl fmt::Display) -> Self {
        Self {
            path: String::new(),
            reason: reason.to_string(),
        }
    }

    /// The same, inside the field of that name.
    pub fn in_field(mut self, name: &str) -> Self {
        self.path = join(name, &self.path);
        self
    }

    /// The same, inside the item of a list.
    pub fn in_item(mut self, index: usize) -> Self {
        self.path = join(&format!("[{index}]"), &self.path);
        self
    }

    pub(crate) fn expected(what: &str, found: &Value) -> Self {
        Self::new(format_args!("must be {what}, not {}", found.kind()))
    }

    /// The fields and positions that lead to it, `attachments[2].name`; empty for the record itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl From<ValueError> for Invalid {
    fn from(error: ValueError) -> Self {
        Self {
            path: error.path().to_owned(),
            reason: error.problem().to_string(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the record {}", self.reason),
            path => write!(f, "{path}: {}", self.reason),
        }
    }
}

impl std::error::Error for Invalid {}
