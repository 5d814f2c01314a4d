//! Who has records of a collection, as a relay knows it (`com.atproto.sync.listReposByCollection`): how agents
//! are found that nobody has named, such as all that have an `agent.comms.card`.

use std::collections::VecDeque;
use std::time::Duration;

use atcomms_identity::{BodyError, Refused, RequestError, Resolver, read_body};
use atcomms_lexicon::{Did, Nsid};
use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use crate::source::Source;

/// Repositories that are asked for at once: what the method takes at most.
const PAGE: usize = 2000;
/// Bytes of a page, with room for long DIDs.
const MAX_BYTES: usize = 1_000_000;
/// A page is looked up in an index; what takes longer is down.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pages in a row without a repository, after which a list is not believed to have an end.
const MAX_EMPTY_PAGES: usize = 16;

/// Repositories that have records of a collection; made by [`discover`].
#[derive(Debug)]
pub struct Discovery {
    resolver: Resolver,
    url: Url,
    collection: Nsid,
    found: VecDeque<Did>,
    cursor: Option<String>,
    over: bool,
}

/// Why repositories are not found. [`Discovery::next`] can be called again, and goes on where it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The source answers no questions.
    #[error("{0} cannot be asked for repositories: name the host of a relay")]
    NoHost(String),
    /// The host has not got the method.
    #[error("{host} does not list repositories by collection, as a relay does: ask another one")]
    NotThere {
        /// The host.
        host: String,
    },
    /// The host is at an address where no connection is made.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The host was not reached.
    #[error("{host} was not reached: {source}")]
    Request {
        /// The host.
        host: String,
        /// What the network said.
        source: RequestError,
    },
    /// The host answered with something else.
    #[error("{host} answered with status {status} instead of repositories")]
    Status {
        /// The host.
        host: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// The host's answer broke off, or does not end.
    #[error("the list of repositories could not be read: {0}")]
    Body(#[from] BodyError),
    /// The host's answer is no list, or one without an end.
    #[error("{host} gave no list of repositories: {why}")]
    Malformed {
        /// The host.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Begins to list the repositories that have, or had, records of a collection, as a host knows it. That is its
/// word: a record is proven by [`prove`](crate::prove), or by watching its author.
///
/// ```
/// use atcomms_devnet::Devnet;
/// use atcomms_identity::Resolver;
/// use atcomms_subscribe::{Source, discover};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { tokio::runtime::Runtime::new()?.block_on(async {
/// let net = Devnet::start().await?;
/// let resolver = Resolver::builder().plc(net.plc_url().parse()?).allow_loopback(true).build();
/// let relay = Source::firehose(net.relay().url())?;
/// let mut agents = discover(&resolver, &relay, "agent.comms.card".parse()?)?;
/// while let Some(did) = agents.next().await? {
///     println!("{did} has a card");
/// }
/// # Ok(()) }) }
/// ```
///
/// # Errors
/// [`DiscoverError::NoHost`]: the source is no host that could be asked.
pub fn discover(
    resolver: &Resolver,
    host: &Source,
    collection: Nsid,
) -> Result<Discovery, DiscoverError> {
    let no_host = || DiscoverError::NoHost(host.to_string());
    let mut url = host.http_url().ok_or_else(no_host)?;
    url.set_path("/xrpc/com.atproto.sync.listReposByCollection");
    Ok(Discovery {
        resolver: resolver.clone(),
        url,
        collection,
        found: VecDeque::new(),
        cursor: None,
        over: false,
    })
}

#[derive(Deserialize)]
struct Page {
    cursor: Option<String>,
    repos: Vec<Repo>,
}

#[derive(Deserialize)]
struct Repo {
    did: String,
}

impl Discovery {
    /// The next repository; `None` at the end. One may come twice while the list changes. Cancel safe.
    ///
    /// # Errors
    /// [`DiscoverError`]; it can be called again.
    pub async fn next(&mut self) -> Result<Option<Did>, DiscoverError> {
        for _ in 0..MAX_EMPTY_PAGES {
            if let Some(did) = self.found.pop_front() {
                return Ok(Some(did));
            }
            if self.over {
                return Ok(None);
            }
            let page = self.fetch().await?;
            if page.cursor.is_some() && page.cursor == self.cursor {
                return Err(self.malformed("it stays at one cursor"));
            }
            // What is no DID is nobody.
            let dids = page.repos.iter().filter_map(|repo| repo.did.parse().ok());
            self.found.extend(dids);
            self.over = page.cursor.is_none();
            self.cursor = page.cursor;
        }
        match self.found.pop_front() {
            Some(did) => Ok(Some(did)),
            None if self.over => Ok(None),
            None => Err(self.malformed("it goes on and has nobody in it")),
        }
    }

    async fn fetch(&self) -> Result<Page, DiscoverError> {
        let mut url = self.url.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("collection", self.collection.as_str())
            .append_pair("limit", &PAGE.to_string());
        if let Some(cursor) = &self.cursor {
            query.append_pair("cursor", cursor);
        }
        drop(query);
        let request = self.resolver.client().get(url)?.timeout(TIMEOUT);
        let sent = request.send().await;
        let response = sent.map_err(|error| DiscoverError::Request {
            host: self.host(),
            source: error.into(),
        })?;
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED => {
                Err(DiscoverError::NotThere { host: self.host() })
            }
            status if !status.is_success() => {
                let body = read_body(response, MAX_BYTES).await.unwrap_or_default();
                Err(match says_not_there(&body) {
                    true => DiscoverError::NotThere { host: self.host() },
                    false => DiscoverError::Status {
                        host: self.host(),
                        status,
                    },
                })
            }
            _ => {
                let body = read_body(response, MAX_BYTES).await?;
                let page: Page =
                    serde_json::from_slice(&body).map_err(|error| self.malformed(error))?;
                match page.repos.len() > PAGE {
                    true => Err(self.malformed("a page has more than was asked for")),
                    false => Ok(page),
                }
            }
        }
    }

    fn host(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn malformed(&self, why: impl ToString) -> DiscoverError {
        DiscoverError::Malformed {
            host: self.host(),
            why: why.to_string(),
        }
    }
}

/// Whether a refusal is that of a PDS, which passes on what it has not got, and has nobody to pass this to.
fn says_not_there(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        message: Option<String>,
    }
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    let message = refusal.and_then(|refusal| refusal.message);
    message.is_some_and(|message| message.starts_with("No service configured for"))
}
