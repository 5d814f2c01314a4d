//! How an exchange with a PDS fails, and what the user can do about it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::RateLimit;

/// The cause below a failed exchange. Shared, so that everyone who waits for one exchange (a
/// refresh of the session) gets it.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why an exchange with a PDS gave no usable answer. It never holds a password or a token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XrpcError {
    /// The URL cannot be that of a PDS.
    #[error("{url} cannot be the URL of a PDS: {reason}")]
    BadUrl {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it, and how it should look.
        reason: &'static str,
    },
    /// No connection was made: nothing was sent.
    #[error("no connection to {pds} ({}): check that the URL is right and that the PDS runs, then try again", innermost(.source))]
    Unreachable {
        /// The PDS.
        pds: String,
        /// What the network said.
        source: Cause,
    },
    /// The request was sent, or a part of it, and the connection broke before the answer was read.
    #[error("{pds} did not finish its answer to {method} ({}): whether the request was carried out is not known", innermost(.source))]
    AnswerLost {
        /// The PDS.
        pds: String,
        /// The XRPC method.
        method: String,
        /// What the network said.
        source: Cause,
    },
    /// The answer took too long.
    #[error("{pds} did not answer {method} within {} s: try again later", .after.as_secs_f32())]
    TimedOut {
        /// The PDS.
        pds: String,
        /// The XRPC method.
        method: String,
        /// How long was waited.
        after: Duration,
    },
    /// What came back is not what the method answers: another kind of server is there, or
    /// something stands between.
    #[error(
        "{pds} answered {method} with {found}, which is not the answer of a PDS: check the URL, and what stands between (a proxy, a login page)"
    )]
    NotXrpc {
        /// The PDS.
        pds: String,
        /// The XRPC method.
        method: String,
        /// What came back, in a few words.
        found: String,
    },
    /// The answer is longer than this method's answers can be. The rest of it was not read.
    #[error(
        "{pds} answered {method} with more than {limit} bytes, which no PDS does: check the URL"
    )]
    TooLong {
        /// The PDS.
        pds: String,
        /// The XRPC method.
        method: String,
        /// How many bytes were accepted.
        limit: usize,
    },
    /// The server sends us elsewhere. It is not followed: the request carries a secret.
    #[error("{pds} redirects {method} to {to}: if that is the PDS, use its URL")]
    Redirected {
        /// The PDS.
        pds: String,
        /// The XRPC method.
        method: String,
        /// Where to.
        to: String,
    },
    /// The server failed (5xx). The request may have been carried out all the same.
    #[error("{pds} failed on {method} ({status}{}): try again later", said(.name, .message))]
    Unavailable {
        /// The PDS.
        pds: String,
        /// The XRPC method.
        method: String,
        /// The HTTP status.
        status: u16,
        /// The error's name, if there is one.
        name: String,
        /// What the server said of it.
        message: String,
    },
    /// The account or the address has used up its rate limit. The request was not carried out.
    #[error("{pds} refused {method} because its rate limit is used up: {}", wait(.limit.as_deref()))]
    RateLimited {
        /// The PDS.
        pds: String,
        /// The XRPC method.
        method: String,
        /// What the server said of the limit.
        limit: Option<Box<RateLimit>>,
    },
    /// The tokens have expired and could not be renewed now. The request itself was not carried
    /// out; the session goes on.
    #[error("the session could not be renewed: {source}")]
    NotRenewed {
        /// Why not.
        source: Box<XrpcError>,
    },
    /// The PDS accepts the session's refresh token no more.
    #[error("the session of {did} at {pds} has ended ({reason}): log in again")]
    SessionEnded {
        /// The account.
        did: String,
        /// The PDS.
        pds: String,
        /// What the server said.
        reason: String,
    },
    /// The server understood the request and refused it (4xx). It was not carried out.
    #[error("{pds} refused {method} ({status}{}){}", said(.name, .message), advice(.name))]
    Refused {
        /// The PDS.
        pds: String,
        /// The XRPC method.
        method: String,
        /// The HTTP status.
        status: u16,
        /// The error's name, such as `InvalidSwap`.
        name: String,
        /// What the server said of it.
        message: String,
    },
}

impl XrpcError {
    /// The error's name as the server gave it, such as `RecordNotFound`.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Refused { name, .. } | Self::Unavailable { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether the same request may succeed later, without the user doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::AnswerLost { .. }
            | Self::TimedOut { .. }
            | Self::Unavailable { .. }
            | Self::RateLimited { .. } => true,
            // A gateway's own page: what stands behind it may come back.
            Self::NotXrpc { .. } | Self::TooLong { .. } => true,
            Self::NotRenewed { source } => source.is_transient(),
            Self::BadUrl { .. }
            | Self::Redirected { .. }
            | Self::SessionEnded { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// Whether the PDS refused the access token: a renewal decides whether the session goes on.
    /// It says so with status 400. `InvalidToken` stands for a token that was revoked, or signed by
    /// a key which the PDS has replaced.
    pub(crate) fn is_token_refused(&self) -> bool {
        matches!(self.name(), Some("ExpiredToken" | "InvalidToken"))
    }

    /// Whether a request that does no harm twice should be sent again at once. Not after a
    /// time-out, which has cost its time already.
    pub(crate) fn is_worth_repeating(&self) -> bool {
        self.is_token_refused()
            || matches!(
                self,
                Self::Unreachable { .. } | Self::AnswerLost { .. } | Self::Unavailable { .. }
            )
    }

    /// An error of the renewal, as an error of the request that waited for it.
    pub(crate) fn not_renewed(self) -> Self {
        match self {
            ended @ Self::SessionEnded { .. } => ended,
            other => Self::NotRenewed {
                source: Box::new(other),
            },
        }
    }
}

/// The cause that says most: the outer ones only repeat the URL.
pub(crate) fn innermost(cause: &Cause) -> String {
    let mut cause: &(dyn Error + 'static) = cause;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

fn said(name: &str, message: &str) -> String {
    match (name.is_empty(), message.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(" {name}"),
        (true, false) => format!(": {message}"),
        (false, false) => format!(" {name}: {message}"),
    }
}

/// What to do about the refusals that every method may give.
fn advice(name: &str) -> &'static str {
    match name {
        "AccountTakedown" => ": the account was taken down; ask the PDS's operator",
        "AccountDeactivated" | "RepoDeactivated" => ": activate the account first",
        "AccountNotFound" | "RepoNotFound" => ": there is no such account here (any more)",
        "AuthMissing" | "ExpiredToken" | "InvalidToken" => ": log in again",
        "PayloadTooLarge" | "PayloadTooLargeError" => {
            ": it is larger than this PDS accepts; send less, or in parts"
        }
        _ => "",
    }
}

fn wait(limit: Option<&RateLimit>) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    match limit.and_then(|limit| limit.wait(now)) {
        Some(wait) => format!("try again in {} s", wait.as_secs().max(1)),
        None => "try again later".to_owned(),
    }
}
