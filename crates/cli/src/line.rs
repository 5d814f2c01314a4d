//! One line of output: JSON for programs, text for people.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::ProgressBar;
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

/// How often what is shown while something runs is brought up to date.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// Something runs, and nobody knows how long. On stderr, and only on a terminal.
pub(crate) fn progress() -> ProgressBar {
    ProgressBar::new_spinner()
}

/// So many things are done one after the other. On stderr, and only on a terminal.
pub(crate) fn progress_of(all: u64) -> ProgressBar {
    ProgressBar::new(all)
}

/// What the eye looks for.
pub(crate) fn strong(word: &str) -> String {
    format!("\u{1b}[1m{word}\u{1b}[0m")
}

/// What is there if one looks for it.
pub(crate) fn dim(word: &str) -> String {
    format!("\u{1b}[2m{word}\u{1b}[0m")
}

/// The text in one line, without what could steer a terminal or pass for a line of somebody else's:
/// control characters and line breaks are made visible, marks that turn the direction of text too.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// The same for a text of several lines that stands alone.
pub(crate) fn harmless_lines(text: &str) -> String {
    text.lines().map(harmless).collect::<Vec<_>>().join("\n")
}

fn visible(c: char) -> char {
    match c {
        '\n' | '\u{2028}' | '\u{2029}' => '\u{23ce}',
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_message_cannot_steer_the_terminal_or_pass_for_another_line() {
        assert_eq!(
            super::harmless("a\u{1b}[2Jb\nc\u{202e}d"),
            "a\u{fffd}[2Jb\u{23ce}c\u{fffd}d"
        );
    }
}
