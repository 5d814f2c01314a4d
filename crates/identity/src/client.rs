//! An HTTP client that connects only where the [`Guard`] allows.
//!
//! reqwest resolves names through the guard and follows redirects only after asking it, but
//! connects to an IP literal without any lookup: therefore the plain `reqwest::Client` is never
//! handed out, and every request passes [`GuardedClient`], which checks the URL first.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::fault;
use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, RequestBuilder, Response, redirect};
use url::Url;

use crate::guard::{CONNECT_TIMEOUT, Guard, LookupError, Refused};
use crate::tls;

/// Redirects followed for one request. Handles and documents are at most moved to another host or
/// behind a slash; more hops than this are a loop or a game.
pub const MAX_REDIRECTS: usize = 3;

/// Longest silence while a response is read. A total time is set by the request, since a
/// repository export may rightly take minutes.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What the client calls itself.
const USER_AGENT: &str = concat!("atcomms/", env!("CARGO_PKG_VERSION"));

/// An HTTP client for servers that strangers name: public addresses only (and loopback, if
/// allowed), no proxy, no cookies, TLS except on loopback, at most [`MAX_REDIRECTS`] redirects,
/// each checked. Cheap to clone; clones share their connections.
///
/// ```
/// use atcomms_identity::{GuardedClient, Refused};
///
/// let client = GuardedClient::new(false);
/// let refused = client.get("https://169.254.169.254/latest".parse()?).unwrap_err();
/// assert!(matches!(refused, Refused::NotPublic { .. }));
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GuardedClient {
    http: reqwest::Client,
    guard: Guard,
}

/// A [`GuardedClient`] in one call.
pub fn guarded_client(allow_loopback: bool) -> GuardedClient {
    GuardedClient::new(allow_loopback)
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The guard does not connect there.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The request failed on its way.
    #[error("the request failed: {}", innermost(.0))]
    Http(#[source] reqwest::Error),
}

/// Why a response's body was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is larger than the caller accepts.
    #[error("the answer is larger than {limit} bytes, which is all that is accepted here")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection broke or went silent.
    #[error("the answer broke off: {}", innermost(.0))]
    Http(#[source] reqwest::Error),
}

impl GuardedClient {
    /// A client for public addresses, and for this machine's own if `allow_loopback`.
    #[expect(
        clippy::expect_used,
        reason = "building fails only for a TLS configuration that reqwest doesn't know"
    )]
    pub fn new(allow_loopback: bool) -> Self {
        let guard = Guard::new(allow_loopback);
        let http = reqwest::Client::builder()
            .use_preconfigured_tls((*tls::client_config()).clone())
            .dns_resolver(Arc::new(GuardedNames(guard)))
            .redirect(redirect::Policy::custom(move |hop| follow(guard, hop)))
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(USER_AGENT)
            .build()
            .expect("reqwest takes a rustls configuration of its own version");
        Self { http, guard }
    }

    /// The rules that this client follows, for connections of another protocol.
    pub fn guard(&self) -> Guard {
        self.guard
    }

    /// A GET request, to be sent with [`RequestBuilder::send`].
    ///
    /// # Errors
    /// [`Refused`] if the URL itself shows that no connection may be made.
    pub fn get(&self, url: Url) -> Result<RequestBuilder, Refused> {
        self.request(Method::GET, url)
    }

    /// A request, to be sent with [`RequestBuilder::send`].
    ///
    /// # Errors
    /// [`Refused`] if the URL itself shows that no connection may be made.
    pub fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Refused> {
        self.guard.check_url(&url)?;
        Ok(self.http.request(method, url))
    }

    /// Sends a finished request.
    ///
    /// Cancel safe for us; whether the server acted on it is unknown if cancelled.
    ///
    /// # Errors
    /// [`RequestError::Refused`] also when a name or a redirect leads to a forbidden address.
    pub async fn execute(&self, request: reqwest::Request) -> Result<Response, RequestError> {
        self.guard.check_url(request.url())?;
        self.http.execute(request).await.map_err(RequestError::from)
    }
}

impl From<reqwest::Error> for RequestError {
    /// Finds the guard's refusal, if there is one, below reqwest's error.
    fn from(error: reqwest::Error) -> Self {
        match refusal(&error) {
            Some(why) => Self::Refused(why),
            None => Self::Http(error),
        }
    }
}

/// Reads a response's body of at most `limit` bytes. One that declares more is refused unread, and
/// one that goes on after the limit is cut off there.
///
/// Cancel safe: the rest of the body is dropped with its connection.
///
/// # Errors
/// [`BodyError::TooLarge`], or [`BodyError::Http`] for a connection that broke.
pub async fn read_body(mut response: Response, limit: usize) -> Result<Bytes, BodyError> {
    let declared = response.content_length().unwrap_or(0);
    if usize::try_from(declared).is_ok_and(|n| n > limit) || usize::try_from(declared).is_err() {
        return Err(BodyError::TooLarge { limit });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Http)? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(BodyError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Resolves names for reqwest, through the guard.
struct GuardedNames(Guard);

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0;
        Box::pin(async move {
            // Port 0 is replaced by the URL's.
            let addresses = guard.lookup(name.as_str(), 0).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

fn follow(guard: Guard, hop: redirect::Attempt<'_>) -> redirect::Action {
    if hop.previous().len() > MAX_REDIRECTS {
        return hop.error(TooManyRedirects);
    }
    match guard.check_url(hop.url()) {
        Err(_) if fault::on("redirect") => hop.follow(),
        Ok(()) => hop.follow(),
        Err(why) => hop.error(why),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_REDIRECTS} redirects")]
struct TooManyRedirects;

/// The guard's refusal within an error's causes.
fn refusal(error: &(dyn StdError + 'static)) -> Option<Refused> {
    causes(error).find_map(|cause| {
        cause.downcast_ref::<Refused>().cloned().or_else(|| {
            match cause.downcast_ref::<LookupError>() {
                Some(LookupError::Refused(why)) => Some(why.clone()),
                _ => None,
            }
        })
    })
}

/// Whether a request failed because its host's name has no address.
pub(crate) fn name_not_found(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        matches!(
            cause.downcast_ref::<LookupError>(),
            Some(LookupError::NotFound { .. })
        )
    })
}

/// The cause that says most: reqwest's own message only repeats the URL.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}
