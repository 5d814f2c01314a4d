//! What a failed exchange means for what was sent, and for what comes next.

use std::time::Duration;

use crate::clock::now;
use crate::error::XrpcError;

/// What a failed exchange means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing was carried out, and nothing else would be: the PDS is out of reach.
    Away,
    /// Nobody knows whether it was carried out. `answered`: the PDS is done with it, one way or the
    /// other; else it may still be at it.
    Unclear { answered: bool },
    /// Nothing was carried out: too much was asked.
    Limited,
    /// Nothing was carried out, nor will be until somebody does something.
    Stuck,
    /// It was not carried out, and will not be: this write is refused.
    Refused,
}

/// The names of refusals that are about the account or its session, and not about a write.
const ABOUT_THE_ACCOUNT: [&str; 10] = [
    "AccountDeactivated",
    "AccountNotFound",
    "AccountTakedown",
    "AuthMissing",
    "AuthenticationRequired",
    "ExpiredToken",
    "InvalidToken",
    "RepoDeactivated",
    "RepoNotFound",
    "RepoTakendown",
];

pub(crate) fn trouble(error: &XrpcError) -> Trouble {
    match error {
        XrpcError::Unreachable { .. } => Trouble::Away,
        XrpcError::RateLimited { .. } => Trouble::Limited,
        // A gateway speaks for a PDS that may still be at it.
        XrpcError::Unavailable { status, .. } => Trouble::Unclear {
            answered: !matches!(status, 502..=504),
        },
        XrpcError::AnswerLost { .. }
        | XrpcError::TimedOut { .. }
        | XrpcError::NotXrpc { .. }
        | XrpcError::TooLong { .. } => Trouble::Unclear { answered: false },
        XrpcError::NotRenewed { source } => match trouble(source) {
            Trouble::Refused => Trouble::Stuck,
            // The renewal is in doubt, and the write was never sent.
            Trouble::Unclear { .. } => Trouble::Away,
            other => other,
        },
        XrpcError::SessionEnded { .. }
        | XrpcError::Redirected { .. }
        | XrpcError::BadUrl { .. } => Trouble::Stuck,
        XrpcError::Refused { status, name, .. } => {
            let account = ABOUT_THE_ACCOUNT.contains(&name.as_str());
            match account || matches!(status, 401 | 403) {
                true => Trouble::Stuck,
                false => Trouble::Refused,
            }
        }
    }
}

/// How long the PDS asks to wait, if it does.
pub(crate) fn named_wait(error: &XrpcError) -> Option<Duration> {
    match error {
        XrpcError::RateLimited { limit, .. } => {
            let seconds = u64::try_from(now() / 1000).unwrap_or(0);
            limit.as_ref()?.wait(seconds)
        }
        XrpcError::NotRenewed { source } => named_wait(source),
        _ => None,
    }
}

/// Whether the request never came so far that the PDS counted it: it was not sent at all, or refused for
/// who sent it.
pub(crate) fn costs_nothing(error: &XrpcError) -> bool {
    matches!(error, XrpcError::NotRenewed { .. })
        || matches!(trouble(error), Trouble::Away | Trouble::Stuck)
}
