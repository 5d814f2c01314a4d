//! From a handle to its DID: DNS first, then https, then a server that the user named.
//!
//! Says only where the handle points. Whether the DID's document names it in return is asked by
//! [`Resolver::resolve`](crate::Resolver::resolve).

use atcomms_lexicon::{Did, Handle};
use serde::Deserialize;
use url::Url;

use crate::client::GuardedClient;
use crate::dns::{DnsError, HandleRecords};
use crate::error::ResolveError;
use crate::fetch::{FetchError, fetch};

/// Largest answer that is read, in bytes: a DID has at most 2,048, and the rest is JSON around it.
const MAX_ANSWER_BYTES: usize = 4 * 1024;

/// Top-level domains that never resolve in public (atproto handle specification): nobody is asked
/// about them but the user's own server.
const RESERVED: &[&str] = &[
    "alt",
    "arpa",
    "example",
    "internal",
    "invalid",
    "local",
    "localhost",
    "onion",
    "test",
];

/// The ways to resolve a handle.
pub(crate) struct Handles {
    pub(crate) client: GuardedClient,
    pub(crate) records: HandleRecords,
    /// Asked by `com.atproto.identity.resolveHandle` when the other ways fail.
    pub(crate) server: Option<Url>,
    /// Instead of `https://HANDLE`, whose names and certificates a test can't have.
    #[cfg(test)]
    pub(crate) origin: Option<Url>,
}

/// What one way said, other than a DID.
enum Failed {
    /// It knows of no such handle.
    Negative(String),
    /// It gave no answer that could be used, and may give one later.
    Transient(String),
}

/// The ways that failed so far.
#[derive(Default)]
struct Tried {
    reasons: Vec<String>,
    transient: bool,
}

impl Tried {
    fn note(&mut self, way: &str, failed: Failed) {
        let (why, transient) = match failed {
            Failed::Negative(why) => (why, false),
            Failed::Transient(why) => (why, true),
        };
        self.reasons.push(format!("{way}: {why}"));
        self.transient |= transient;
    }

    fn into_error(self, handle: &Handle) -> ResolveError {
        let tried = self.reasons.join("; ");
        if self.transient {
            ResolveError::Unavailable {
                subject: handle.to_string(),
                reason: tried,
            }
        } else {
            ResolveError::HandleNotFound {
                handle: handle.clone(),
                tried,
            }
        }
    }
}

impl Handles {
    /// Where the handle points.
    pub(crate) async fn resolve(&self, handle: &Handle) -> Result<Did, ResolveError> {
        let mut tried = Tried::default();
        if is_reserved(handle) {
            tried.note(
                "DNS",
                Failed::Negative("its top-level domain is never in it".into()),
            );
        } else {
            match self.records.did(handle).await {
                Ok(did) => return Ok(did),
                Err(DnsError::Conflict(dids)) => {
                    let dids: Vec<&str> = dids.iter().map(Did::as_str).collect();
                    let dids = dids.join(", ");
                    return Err(ResolveError::HandleConflict {
                        handle: handle.clone(),
                        dids,
                    });
                }
                Err(DnsError::NoRecord(why)) => tried.note("DNS", Failed::Negative(why.into())),
                Err(DnsError::Unavailable(why)) => tried.note("DNS", Failed::Transient(why)),
            }
            let dns_works = !tried.transient;
            match by_https(&self.client, self.well_known(handle)?, dns_works).await {
                Ok(did) => return Ok(did),
                Err(failed) => tried.note("https", failed),
            }
        }
        if let Some(server) = &self.server {
            match by_server(&self.client, server, handle).await {
                Ok(did) => return Ok(did),
                Err(failed) => tried.note(server.as_str(), failed),
            }
        }
        Err(tried.into_error(handle))
    }

    fn well_known(&self, handle: &Handle) -> Result<Url, ResolveError> {
        #[cfg(test)]
        if let Some(origin) = &self.origin {
            let mut url = origin.clone();
            url.set_path("/.well-known/atproto-did");
            return Ok(url);
        }
        let url = format!("https://{handle}/.well-known/atproto-did");
        url.parse().map_err(|error| ResolveError::Rejected {
            subject: handle.to_string(),
            reason: format!("it is no host name ({error})"),
        })
    }
}

fn is_reserved(handle: &Handle) -> bool {
    let top = handle.as_str().rsplit('.').next().unwrap_or_default();
    RESERVED
        .iter()
        .any(|reserved| top.eq_ignore_ascii_case(reserved))
}

/// Asks the handle's own host. `dns_works`: a name server answered just now, so that a host whose
/// name is not found does not exist.
async fn by_https(client: &GuardedClient, url: Url, dns_works: bool) -> Result<Did, Failed> {
    let body = match fetch(client, url, MAX_ANSWER_BYTES).await {
        Ok(body) => body,
        Err(FetchError::NoSuchHost(why)) if dns_works => return Err(Failed::Negative(why)),
        Err(error) => return Err(error.into()),
    };
    let did = str::from_utf8(&body)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    did.ok_or_else(|| Failed::Negative("the answer is not a DID".into()))
}

/// Asks a PDS or an AppView. A handle that it does not know is a 400 there.
async fn by_server(client: &GuardedClient, server: &Url, handle: &Handle) -> Result<Did, Failed> {
    #[derive(Deserialize)]
    struct Answer {
        did: Did,
    }
    let mut url = server.clone();
    url.set_path("/xrpc/com.atproto.identity.resolveHandle");
    url.query_pairs_mut()
        .clear()
        .append_pair("handle", handle.as_str());
    let body = fetch(client, url, MAX_ANSWER_BYTES).await?;
    let answer: Result<Answer, _> = serde_json::from_slice(&body);
    answer
        .map(|answer| answer.did)
        .map_err(|error| Failed::Negative(error.to_string()))
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        if error.is_transient() {
            Self::Transient(error.to_string())
        } else {
            Self::Negative(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::name_server::NameServer;

    const ALICE: &str = "did:plc:44ybard66vv44zksje25o7dz";
    const BOB: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    fn handle() -> Handle {
        "alice.example.com".parse().unwrap()
    }

    /// The handle's host and the handle server: two servers with one answer each.
    struct Network {
        host: MockServer,
        server: MockServer,
        handles: Handles,
    }

    impl Network {
        async fn new(names: &NameServer, host: ResponseTemplate, server: ResponseTemplate) -> Self {
            let at_host = MockServer::start().await;
            Mock::given(method("GET"))
                .and(path("/.well-known/atproto-did"))
                .respond_with(host)
                .mount(&at_host)
                .await;
            let at_server = MockServer::start().await;
            Mock::given(method("GET"))
                .and(path("/xrpc/com.atproto.identity.resolveHandle"))
                .and(query_param("handle", "alice.example.com"))
                .respond_with(server)
                .mount(&at_server)
                .await;
            let handles = Handles {
                client: GuardedClient::new(true),
                records: HandleRecords::new(Some(names.address())),
                server: Some(at_server.uri().parse().unwrap()),
                origin: Some(at_host.uri().parse().unwrap()),
            };
            Self {
                host: at_host,
                server: at_server,
                handles,
            }
        }

        async fn asked(&self) -> (usize, usize) {
            let count = async |server: &MockServer| server.received_requests().await.unwrap().len();
            (count(&self.host).await, count(&self.server).await)
        }
    }

    fn status(status: u16) -> ResponseTemplate {
        ResponseTemplate::new(status)
    }

    fn did_text(did: &str) -> ResponseTemplate {
        status(200).set_body_string(format!("{did}\n"))
    }

    fn did_json(did: &str) -> ResponseTemplate {
        status(200).set_body_json(serde_json::json!({ "did": did }))
    }

    #[tokio::test]
    async fn dns_comes_first() {
        let names =
            NameServer::with(&[("_atproto.alice.example.com.", &[&format!("did={ALICE}")])]).await;
        let network = Network::new(&names, did_text(BOB), did_json(BOB)).await;
        assert_eq!(network.handles.resolve(&handle()).await.unwrap(), *ALICE);
        assert_eq!(network.asked().await, (0, 0));
        assert_eq!(names.queries(), 1);
    }

    #[tokio::test]
    async fn a_conflict_in_dns_is_not_settled_by_another_way() {
        let texts = [&*format!("did={ALICE}"), &*format!("did={BOB}")];
        let names = NameServer::with(&[("_atproto.alice.example.com.", &texts)]).await;
        let network = Network::new(&names, did_text(ALICE), did_json(ALICE)).await;
        let error = network.handles.resolve(&handle()).await.unwrap_err();
        assert!(
            matches!(error, ResolveError::HandleConflict { .. }),
            "{error}"
        );
        assert!(!error.is_transient());
        assert_eq!(network.asked().await, (0, 0));
    }

    #[tokio::test]
    async fn https_comes_second() {
        let names = NameServer::with(&[]).await;
        let network = Network::new(&names, did_text(ALICE), did_json(BOB)).await;
        assert_eq!(network.handles.resolve(&handle()).await.unwrap(), *ALICE);
        assert_eq!(network.asked().await, (1, 0));
    }

    #[tokio::test]
    async fn the_server_is_asked_last() {
        let names = NameServer::with(&[]).await;
        for host in [
            status(404),
            did_text("not a DID"),
            did_text(&"x".repeat(5000)),
            status(503),
        ] {
            let network = Network::new(&names, host, did_json(ALICE)).await;
            assert_eq!(network.handles.resolve(&handle()).await.unwrap(), *ALICE);
            assert_eq!(network.asked().await, (1, 1));
        }
    }

    #[tokio::test]
    async fn a_handle_that_nobody_knows_is_final() {
        let names = NameServer::with(&[]).await;
        let network = Network::new(&names, status(404), status(400)).await;
        let error = network.handles.resolve(&handle()).await.unwrap_err();
        assert!(
            matches!(error, ResolveError::HandleNotFound { .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains("404"),
            "it says what was tried: {error}"
        );
    }

    #[tokio::test]
    async fn a_way_that_is_down_makes_it_transient() {
        let names = NameServer::with(&[]).await;
        for (host, server) in [(503, 400), (404, 500), (429, 400)] {
            let network = Network::new(&names, status(host), status(server)).await;
            let error = network.handles.resolve(&handle()).await.unwrap_err();
            assert!(error.is_transient(), "{host} and {server}: {error}");
        }
    }

    #[tokio::test]
    async fn reserved_domains_are_asked_of_the_server_only() {
        let names = NameServer::with(&[]).await;
        let mut network = Network::new(&names, did_text(BOB), status(500)).await;
        network.handles.server = None;
        for handle in [
            "alice.test",
            "alice.localhost",
            "alice.LOCAL",
            "a.b.example",
        ] {
            let error = network
                .handles
                .resolve(&handle.parse().unwrap())
                .await
                .unwrap_err();
            assert!(
                matches!(error, ResolveError::HandleNotFound { .. }),
                "{handle}: {error}"
            );
        }
        assert_eq!(network.asked().await, (0, 0));
        assert_eq!(names.queries(), 0);
    }
}
