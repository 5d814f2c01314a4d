//! One exchange with a PDS: a request out, an answer in, bounded in time and size, with the
//! headers kept. Knows nothing of sessions, records or retries.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atcomms_identity::{CONNECT_TIMEOUT, is_loopback_url, tls};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use reqwest::redirect;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::answer;
use crate::error::XrpcError;

/// How long one exchange may take if the caller does not say: a PDS commits within milliseconds,
/// and one under load within seconds.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes. A record has at most 1,000,000 bytes of CBOR; its
/// JSON grows by base64 and by `\u` escapes, in the worst case sixfold.
const MAX_ANSWER: usize = 8 << 20;

/// The longest error that is read, in bytes: a name and a sentence. The rest is dropped.
const MAX_ERROR: usize = 64 << 10;

const USER_AGENT: &str = concat!("atcomms/", env!("CARGO_PKG_VERSION"));

/// A PDS's XRPC endpoint. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Xrpc {
    client: reqwest::Client,
    /// Connections of their own for uploads, see [`Self::abandon_uploads`].
    uploads: Arc<Mutex<reqwest::Client>>,
    base: Url,
    timeout: Duration,
}

/// An answer's JSON, and its headers.
pub(crate) struct Answer<T> {
    pub(crate) body: T,
    pub(crate) headers: HeaderMap,
}

/// What a request sends: its place, its proof of who asks, its body.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) verb: Method,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) token: Option<&'a str>,
    /// A secret in the body, which the answer might repeat.
    pub(crate) secret: Option<&'a str>,
    pub(crate) json: Option<Vec<u8>>,
}

impl<'a> Call<'a> {
    /// A method that reads.
    pub(crate) fn query(method: &'static str, query: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            method,
            verb: Method::GET,
            query,
            token: None,
            secret: None,
            json: None,
        }
    }

    /// A method that does something.
    pub(crate) fn procedure(method: &'static str, input: Option<&impl Serialize>) -> Self {
        // A map with string keys always serialises: inputs are structs of this crate.
        let json = input.and_then(|input| serde_json::to_vec(input).ok());
        Self {
            method,
            verb: Method::POST,
            query: &[],
            token: None,
            secret: None,
            json,
        }
    }

    pub(crate) fn token(mut self, token: Option<&'a str>) -> Self {
        self.token = token;
        self
    }
}

impl Xrpc {
    /// An endpoint; `base` is the PDS's URL without a path.
    pub(crate) fn new(base: &Url, timeout: Duration) -> Result<Self, XrpcError> {
        let base = checked(base)?;
        let uploads = Arc::new(Mutex::new(client(timeout)));
        let client = client(timeout);
        Ok(Self {
            client,
            uploads,
            base,
            timeout,
        })
    }

    /// The PDS's URL.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The PDS as it stands in messages.
    pub(crate) fn name(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// How long one exchange may take, or a transfer may stand still.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The URL of a method.
    pub(crate) fn url(&self, method: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/xrpc/{method}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request and reads the JSON that answers it.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
    ) -> Result<Answer<T>, XrpcError> {
        let method = call.method;
        let mut request = Request::builder()
            .method(call.verb)
            .uri(self.url(method, call.query).as_str())
            .header(header::ACCEPT, "application/json");
        if let Some(token) = call.token {
            request = request.header(header::AUTHORIZATION, self.bearer(token)?);
        }
        if call.json.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(call.json.unwrap_or_default())
            .map_err(|_| self.bad_url("the request could not be formed from it"))?;
        let response = self.send(request).await?;
        let secrets = [call.token, call.secret];
        answer::read(&self.name(), method, response, &secrets)
    }

    /// Sends a whole request and reads the whole answer, of whatever status.
    pub(crate) async fn send(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, XrpcError> {
        let method = method_of(request.uri().path());
        let request = reqwest::Request::try_from(request)
            .map_err(|_| self.bad_url("the request could not be formed from it"))?;
        let exchange = async {
            let response = self.client.execute(request).await;
            let response = response.map_err(|error| self.failed(&method, error))?;
            self.read(&method, response).await
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(self.timed_out(&method, self.timeout)))
    }

    /// Starts an upload, whose body is a stream and whose time is watched by the caller.
    pub(crate) fn upload(&self, url: Url) -> reqwest::RequestBuilder {
        let uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.post(url)
    }

    /// Gives up the connections on which uploads went. To be called after one has failed: a PDS
    /// that refuses a blob before it has read it may never read on, and the reference PDS leaves
    /// such a connection open. The next request on it would wait until it times out.
    pub(crate) fn abandon_uploads(&self) {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        *uploads = client(self.timeout);
    }

    /// Reads an answer's body within its bounds.
    pub(crate) async fn read(
        &self,
        method: &str,
        mut response: reqwest::Response,
    ) -> Result<Response<Vec<u8>>, XrpcError> {
        let limit = if response.status().is_success() {
            MAX_ANSWER
        } else {
            MAX_ERROR
        };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= limit => {
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => break,
                // The status of a refusal says enough; only its text is lost.
                _ if !response.status().is_success() => break,
                Ok(Some(_)) => {
                    return Err(XrpcError::TooLong {
                        pds: self.name(),
                        method: method.to_owned(),
                        limit,
                    });
                }
                Err(error) => return Err(self.failed(method, error)),
            }
        }
        let mut read = Response::new(body);
        *read.status_mut() = response.status();
        *read.headers_mut() = std::mem::take(response.headers_mut());
        Ok(read)
    }

    /// Tells a request that was never sent from one whose answer was lost.
    pub(crate) fn failed(&self, method: &str, error: reqwest::Error) -> XrpcError {
        let unsent = error.is_connect() || error.is_builder();
        let source: crate::error::Cause = std::sync::Arc::new(error.without_url());
        if unsent {
            XrpcError::Unreachable {
                pds: self.name(),
                source,
            }
        } else {
            XrpcError::AnswerLost {
                pds: self.name(),
                method: method.to_owned(),
                source,
            }
        }
    }

    pub(crate) fn timed_out(&self, method: &str, after: Duration) -> XrpcError {
        XrpcError::TimedOut {
            pds: self.name(),
            method: method.to_owned(),
            after,
        }
    }

    /// The header that proves who asks, hidden from `Debug`.
    pub(crate) fn bearer(&self, token: &str) -> Result<HeaderValue, XrpcError> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| self.bad_url("the PDS gave a token that cannot be sent"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn bad_url(&self, reason: &'static str) -> XrpcError {
        XrpcError::BadUrl {
            url: self.base.to_string(),
            reason,
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "building fails only for a TLS configuration that reqwest doesn't know"
)]
fn client(timeout: Duration) -> reqwest::Client {
    reqwest::Client::builder()
        .use_preconfigured_tls((*tls::client_config()).clone())
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .user_agent(USER_AGENT)
        .build()
        .expect("reqwest takes a rustls configuration of its own version")
}

/// A PDS is a host: its URL has no path, and nothing that would be sent to it in the clear.
fn checked(url: &Url) -> Result<Url, XrpcError> {
    let bad = |reason| {
        // A password in the URL is not repeated.
        let shown = if url.password().is_some() {
            "the URL"
        } else {
            url.as_str()
        };
        Err(XrpcError::BadUrl {
            url: shown.to_owned(),
            reason,
        })
    };
    if !url.has_host() || !matches!(url.scheme(), "http" | "https") {
        return bad("give one such as https://pds.example.com");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("it carries a user name or a password; leave them out");
    }
    if url.scheme() == "http" && !is_loopback_url(url) {
        return bad(
            "the password would travel unencrypted; use https (http is for localhost only)",
        );
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return bad("leave out what follows the host, it is added for each method");
    }
    Ok(url.clone())
}

/// The XRPC method that a path names, for messages.
fn method_of(path: &str) -> String {
    path.strip_prefix("/xrpc/").unwrap_or(path).to_owned()
}
