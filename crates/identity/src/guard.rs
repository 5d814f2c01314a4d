//! Where a connection may go: the check on URLs, on names once they are resolved, and a TCP
//! connect that has it built in.
//!
//! The name is resolved here and the very addresses that passed are connected to, so a name that
//! changes its address between check and use gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use atcomms_lexicon::fault;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::ip::{is_loopback, is_public};

/// How long a TCP connection may take to be established, the name's lookup included. A server that
/// takes longer is treated as down; callers try again.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Decides which URLs and addresses may be connected to. Copied into everything that connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    allow_loopback: bool,
}

/// Why the [`Guard`] does not connect there. Final: trying again changes nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The URL has no host to connect to.
    #[error("{url} names no host: give a URL such as https://example.com")]
    NoHost {
        /// The URL.
        url: String,
    },
    /// The URL's scheme is not encrypted (or not known), and its host is not this machine.
    #[error("{url} is not encrypted: use https (or wss); plain http is only for localhost")]
    Scheme {
        /// The URL.
        url: String,
    },
    /// The URL carries a user name or password, which would be sent to whoever answers.
    #[error("the URL of {host} carries a user name or password: remove them")]
    Credentials {
        /// The URL's host; the URL itself is not repeated, because it holds a secret.
        host: String,
    },
    /// The address is on this machine, and loopback was not allowed.
    #[error("{host} is on this machine ({address}), which must be allowed explicitly")]
    Loopback {
        /// The host as the URL gives it.
        host: String,
        /// The address that it stands for.
        address: IpAddr,
    },
    /// The address is in a private or reserved network.
    #[error("{host} is at {address}, which is not a public address: no connection is made there")]
    NotPublic {
        /// The host as the URL gives it.
        host: String,
        /// The address that it stands for.
        address: IpAddr,
    },
}

/// Why [`Guard::lookup`] gave no address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// None of the name's addresses may be connected to.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name could not be resolved.
    #[error("the address of {host} could not be found: {source}")]
    NotFound {
        /// The name.
        host: String,
        /// What the system's resolver said.
        source: io::Error,
    },
}

/// Why [`Guard::connect`] gave no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The guard does not connect there.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The host's name could not be resolved.
    #[error("the address of {host} could not be found: {source}")]
    NotFound {
        /// The name.
        host: String,
        /// What the system's resolver said.
        source: io::Error,
    },
    /// No address accepted a connection.
    #[error("no connection to {url}: {source}; is the server running there?")]
    Io {
        /// Where to.
        url: String,
        /// What the last address tried said.
        source: io::Error,
    },
    /// It took longer than [`CONNECT_TIMEOUT`].
    #[error("no connection to {url} within {} seconds", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// Where to.
        url: String,
    },
}

impl Guard {
    /// A guard that lets only public addresses pass, and this machine's own if `allow_loopback`.
    pub const fn new(allow_loopback: bool) -> Self {
        Self { allow_loopback }
    }

    /// Whether connections to this machine are let pass.
    pub const fn allows_loopback(self) -> bool {
        self.allow_loopback
    }

    /// Checks scheme, credentials and, if the host is an IP literal, its address.
    ///
    /// `http` and `ws` pass only for `localhost` names and loopback literals, and only if loopback
    /// is allowed. A name's addresses are checked when it is resolved ([`Self::lookup`]).
    ///
    /// # Errors
    /// [`Refused`] says which rule the URL breaks.
    pub fn check_url(self, url: &Url) -> Result<(), Refused> {
        let Some(host) = url.host() else {
            return Err(Refused::NoHost {
                url: url.to_string(),
            });
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials {
                host: host.to_string(),
            });
        }
        match url.scheme() {
            "https" | "wss" => {}
            "http" | "ws" if is_loopback_url(url) => {}
            _ => {
                return Err(Refused::Scheme {
                    url: url.to_string(),
                });
            }
        }
        match host {
            Host::Ipv4(v4) => self.check_address(&host.to_string(), v4.into()),
            Host::Ipv6(v6) => self.check_address(&host.to_string(), v6.into()),
            Host::Domain(_) => Ok(()),
        }
    }

    /// Checks one address that `host` stands for.
    ///
    /// # Errors
    /// [`Refused::Loopback`] or [`Refused::NotPublic`].
    pub fn check_address(self, host: &str, address: IpAddr) -> Result<(), Refused> {
        if is_public(address)
            || ((self.allow_loopback || fault::on("loopback")) && is_loopback(address))
        {
            return Ok(());
        }
        let host = host.to_owned();
        Err(if is_loopback(address) {
            Refused::Loopback { host, address }
        } else {
            Refused::NotPublic { host, address }
        })
    }

    /// Resolves a name with the system's resolver and keeps the addresses that may be connected to.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LookupError::Refused`] if addresses were found but none may be used.
    pub async fn lookup(self, host: &str, port: u16) -> Result<Vec<SocketAddr>, LookupError> {
        let not_found = |source| LookupError::NotFound {
            host: host.to_owned(),
            source,
        };
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in tokio::net::lookup_host((host, port))
            .await
            .map_err(not_found)?
        {
            match self.check_address(host, address.ip()) {
                Ok(()) => allowed.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(why)) => Err(why.into()),
            (true, None) => Err(not_found(io::Error::from(io::ErrorKind::NotFound))),
        }
    }

    /// Connects to a URL's host, for protocols that bring their own handshake, such as WebSocket.
    /// Small writes are sent at once (`TCP_NODELAY`).
    ///
    /// Cancel safe: a connection that is being made is dropped.
    ///
    /// # Errors
    /// [`ConnectError`]: refused by the guard, unknown name, unreachable, or too slow.
    pub async fn connect(self, url: &Url) -> Result<TcpStream, ConnectError> {
        self.check_url(url)?;
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect_unbounded(url))
            .await
            .unwrap_or_else(|_| {
                Err(ConnectError::Timeout {
                    url: url.to_string(),
                })
            })
    }

    async fn connect_unbounded(self, url: &Url) -> Result<TcpStream, ConnectError> {
        let failed = |source| ConnectError::Io {
            url: url.to_string(),
            source,
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses = match url.host() {
            Some(Host::Ipv4(v4)) => vec![SocketAddr::new(v4.into(), port)],
            Some(Host::Ipv6(v6)) => vec![SocketAddr::new(v6.into(), port)],
            Some(Host::Domain(name)) => self.lookup(name, port).await.map_err(|e| match e {
                LookupError::Refused(why) => ConnectError::Refused(why),
                LookupError::NotFound { host, source } => ConnectError::NotFound { host, source },
            })?,
            None => {
                return Err(Refused::NoHost {
                    url: url.to_string(),
                }
                .into());
            }
        };
        let stream = TcpStream::connect(addresses.as_slice())
            .await
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }
}

/// Whether a URL names this machine: `localhost`, a name under it, or a loopback literal.
///
/// A program whose user configured such a URL (a devnet's, a test's) knows by this to allow
/// loopback.
pub fn is_loopback_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(v4)) => is_loopback(v4.into()),
        Some(Host::Ipv6(v6)) => is_loopback(v6.into()),
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: Guard = Guard::new(false);
    const LOOPBACK: Guard = Guard::new(true);

    fn check(guard: Guard, url: &str) -> Result<(), Refused> {
        guard.check_url(&url.parse().unwrap())
    }

    #[test]
    fn literals_in_every_spelling_are_checked() {
        for url in [
            "https://10.0.0.1/",
            "https://169.254.169.254/latest",
            "https://0.0.0.0/",
            "https://[fe80::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://0x0a000001/",
            "https://167772161/",
            "https://012.0.0.1/",
            "https://[64:ff9b::a00:1]/",
        ] {
            for guard in [PUBLIC, LOOPBACK] {
                let outcome = check(guard, url);
                assert!(
                    matches!(outcome, Err(Refused::NotPublic { .. })),
                    "{url}: {outcome:?}"
                );
            }
        }
        for url in [
            "https://127.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
        ] {
            assert!(
                matches!(check(PUBLIC, url), Err(Refused::Loopback { .. })),
                "{url}"
            );
            assert_eq!(check(LOOPBACK, url), Ok(()), "{url}");
        }
    }

    #[test]
    fn plain_text_is_for_this_machine_only() {
        assert!(matches!(
            check(LOOPBACK, "http://example.com/"),
            Err(Refused::Scheme { .. })
        ));
        assert!(matches!(
            check(LOOPBACK, "ws://1.1.1.1/"),
            Err(Refused::Scheme { .. })
        ));
        assert!(matches!(
            check(LOOPBACK, "ftp://localhost/"),
            Err(Refused::Scheme { .. })
        ));
        assert!(matches!(
            check(LOOPBACK, "http://localhost.example.com/"),
            Err(Refused::Scheme { .. })
        ));
        assert_eq!(check(LOOPBACK, "http://localhost:2583/"), Ok(()));
        assert_eq!(check(LOOPBACK, "ws://pds.localhost:1/"), Ok(()));
        assert_eq!(check(PUBLIC, "wss://example.com/"), Ok(()));
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        let why = check(PUBLIC, "https://alice:s3cret@example.com/").unwrap_err();
        assert!(matches!(why, Refused::Credentials { .. }));
        assert!(!why.to_string().contains("s3cret"), "{why}");
    }

    #[tokio::test]
    async fn a_name_is_checked_by_its_addresses() {
        let why = PUBLIC.lookup("localhost", 1).await.unwrap_err();
        assert!(
            matches!(why, LookupError::Refused(Refused::Loopback { .. })),
            "{why}"
        );
        assert!(!LOOPBACK.lookup("localhost", 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn connect_reaches_loopback_only_when_allowed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let url: Url = format!("ws://{host}:{port}/").parse().unwrap();
            assert!(LOOPBACK.connect(&url).await.is_ok(), "{url}");
            let why = PUBLIC.connect(&url).await.unwrap_err();
            assert!(
                matches!(why, ConnectError::Refused(Refused::Loopback { .. })),
                "{why}"
            );
        }
        drop(listener);
        let url: Url = format!("ws://127.0.0.1:{port}/").parse().unwrap();
        assert!(matches!(
            LOOPBACK.connect(&url).await,
            Err(ConnectError::Io { .. })
        ));
    }
}
