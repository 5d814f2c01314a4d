//! How a command ends: an exit code, and one line that says what happened and what to do.

use std::fmt;
use std::process::ExitCode;

use atcomms::publish::ErrorKind;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 1.
    Failed(anyhow::Error),
    /// Exit code 2: the command line asks for something that cannot be.
    Usage(String),
    /// Exit code 3.
    TimedOut(String),
    /// Exit code 4: the other side said no.
    Refused(String),
}

impl Failure {
    /// What an error of the publisher means for the command.
    pub(crate) fn of(kind: ErrorKind, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        match kind {
            ErrorKind::Invalid => Failure::Usage(told(&error)),
            ErrorKind::KeyTaken | ErrorKind::Refused => Failure::Refused(told(&error)),
            ErrorKind::TimedOut => Failure::TimedOut(told(&error)),
            _ => Failure::Failed(error),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::TimedOut(_) => 3,
            Failure::Refused(_) => 4,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(error) => out.write_str(&told(error)),
            Failure::Usage(what) | Failure::TimedOut(what) | Failure::Refused(what) => {
                out.write_str(what)
            }
        }
    }
}

/// An error in one line: with its causes, unless it has told of them itself.
fn told(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.into())
    }
}

pub(crate) type Outcome = Result<(), Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("the disk is full");
        let telling = anyhow::anyhow!(cause).context("cannot write x (the disk is full)");
        assert_eq!(told(&telling), "cannot write x (the disk is full)");
        let cause = std::io::Error::other("the disk is full");
        assert_eq!(
            told(&anyhow::anyhow!(cause).context("cannot write x")),
            "cannot write x: the disk is full"
        );
    }
}
