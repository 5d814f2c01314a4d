//! One bounded GET, as every lookup of this crate does it.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use url::Url;

use crate::client::{BodyError, GuardedClient, RequestError, innermost, name_not_found, read_body};
use crate::guard::Refused;

/// Longest time for one lookup, redirects and body included. Documents are small; a server that
/// takes longer holds up every commit that waits for its key.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How a lookup failed.
#[derive(Debug)]
pub(crate) enum FetchError {
    Refused(Refused),
    /// An answer that is no success.
    Status(StatusCode),
    TooLarge(BodyError),
    /// The host's name has no address, as far as the system's resolver knows.
    NoSuchHost(String),
    /// Everything that may be different next time.
    Transport(String),
}

impl FetchError {
    /// Whether the same request may succeed later. Unknown host names count: the system's resolver
    /// does not say whether the name is wrong or the network is down.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Refused(_) | Self::TooLarge(_) => false,
            Self::NoSuchHost(_) | Self::Transport(_) => true,
            Self::Status(status) => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT
                            | StatusCode::TOO_EARLY
                            | StatusCode::TOO_MANY_REQUESTS
                    )
            }
        }
    }
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::TooLarge(why) => why.fmt(f),
            Self::NoSuchHost(why) | Self::Transport(why) => f.write_str(why),
        }
    }
}

/// Reads what a URL gives, up to `limit` bytes, within [`REQUEST_TIMEOUT`].
pub(crate) async fn fetch(
    client: &GuardedClient,
    url: Url,
    limit: usize,
) -> Result<Bytes, FetchError> {
    let request = client.get(url).map_err(FetchError::Refused)?;
    let sent = request.timeout(REQUEST_TIMEOUT).send().await;
    let response = sent.map_err(|error| match RequestError::from(error) {
        RequestError::Refused(why) => FetchError::Refused(why),
        RequestError::Http(error) if name_not_found(&error) => {
            FetchError::NoSuchHost(innermost(&error))
        }
        RequestError::Http(error) => FetchError::Transport(innermost(&error)),
    })?;
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status()));
    }
    read_body(response, limit)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge { .. } => FetchError::TooLarge(error),
            BodyError::Http(_) => FetchError::Transport(error.to_string()),
        })
}
