//! One line of output: JSON for programs, text for people.

use std::io::{self, Write};

use serde::Serialize;

/// Writes one JSON object as a line of stdout and flushes it: a reader behind a pipe gets it at once.
///
/// # Errors
/// Stdout is closed.
pub(crate) fn json(object: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Writes one line of text to stdout, in colour where the terminal has it. What others wrote goes
/// through [`harmless`] first.
///
/// # Errors
/// Stdout is closed.
pub(crate) fn text(line: &str) -> io::Result<()> {
    let mut out = anstream::AutoStream::auto(io::stdout()).lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// What the eye looks for.
pub(crate) fn strong(word: &str) -> String {
    format!("\u{1b}[1m{word}\u{1b}[0m")
}

/// What is there if one looks for it.
pub(crate) fn dim(word: &str) -> String {
    format!("\u{1b}[2m{word}\u{1b}[0m")
}

/// The text with control characters made visible, newlines excepted.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_message_cannot_steer_the_terminal() {
        assert_eq!(super::harmless("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
    }
}
