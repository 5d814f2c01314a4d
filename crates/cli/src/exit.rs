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
            ErrorKind::Invalid => Failure::Usage(format!("{error:#}")),
            ErrorKind::KeyTaken | ErrorKind::Refused => Failure::Refused(format!("{error:#}")),
            ErrorKind::TimedOut => Failure::TimedOut(format!("{error:#}")),
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
            Failure::Failed(error) => write!(out, "{error:#}"),
            Failure::Usage(what) | Failure::TimedOut(what) | Failure::Refused(what) => {
                out.write_str(what)
            }
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.into())
    }
}

pub(crate) type Outcome = Result<(), Failure>;
