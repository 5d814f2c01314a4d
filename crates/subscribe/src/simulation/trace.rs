//! What happened, line by line: the last lines are kept, and all of them are in the hash.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// Lines that are shown with a failure.
const LINES: usize = 120;

#[derive(Debug)]
pub(super) struct Trace {
    last: VecDeque<String>,
    hash: DefaultHasher,
    print: bool,
}

impl Trace {
    pub(super) fn new(print: bool) -> Self {
        Self {
            last: VecDeque::new(),
            // Its keys are fixed, unlike those of a map.
            hash: DefaultHasher::new(),
            print,
        }
    }

    /// Adds a line, with the time in microseconds since the beginning.
    pub(super) fn line(&mut self, at: u64, line: fmt::Arguments<'_>) {
        let line = format!("{:>12.6} {line}", at as f64 / 1e6);
        self.hash.write(line.as_bytes());
        if self.print {
            println!("{line}");
        }
        if self.last.len() == LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(super) fn last(&self) -> String {
        self.last
            .iter()
            .fold(String::new(), |all, line| all + line + "\n")
    }
}
