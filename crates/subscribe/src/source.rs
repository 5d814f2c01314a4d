//! Where frames come from. A source yields bytes and says when its connection comes and goes; what
//! the bytes mean is the engine's business.

pub(crate) mod file;
mod firehose;
mod jetstream;
pub(crate) mod progress;
mod socket;

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use atcomms_identity::{Guard, Identity, Resolver};
use bytes::Bytes;
use futures::Stream;
use url::Url;

use self::firehose::Firehose;
use self::jetstream::Jetstream;
use self::progress::Progress;
use crate::scope::Scope;
use crate::trust::Trust;

/// Where an event stream comes from: a host, or a file into which one was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Firehose {
        url: Url,
        /// Where this host may be, if it was not the caller's own choice.
        guard: Option<Guard>,
        name: String,
    },
    Jetstream {
        url: Url,
        name: String,
    },
    File {
        path: PathBuf,
        name: String,
    },
}

/// A source that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a source: {why}; write it as wss://HOST or ws://localhost:PORT, without a path, or as file:FILE"
)]
pub struct SourceError {
    text: String,
    why: String,
}

impl Source {
    /// The firehose (`com.atproto.sync.subscribeRepos`) of a relay or a PDS. Takes ws, wss, http and
    /// https URLs; the path is ours to add.
    ///
    /// # Errors
    /// The URL has another scheme, no host, or a path of its own.
    pub fn firehose(host: &str) -> Result<Self, SourceError> {
        let url = host_url(host)?;
        let name = url.as_str().trim_end_matches('/').to_owned();
        Ok(Source(Kind::Firehose {
            url,
            guard: None,
            name,
        }))
    }

    /// A Jetstream, which sends no more than what is wanted, as JSON and on its word: an event of it is proven
    /// by a look at its author's PDS, unless the subscriber takes the word as it is
    /// ([`Subscriber::trust`](crate::Subscriber::trust)). What it leaves out is not noticed. Takes the same URLs as
    /// [`Source::firehose`]; the path is ours to add. Its sequence numbers are times, in microseconds since
    /// 1970, from which on it sends; the public ones keep about a day and a half.
    ///
    /// Nothing is compressed: for that, a Jetstream uses a dictionary that no crate has to offer by itself.
    ///
    /// # Errors
    /// The URL has another scheme, no host, or a path of its own.
    pub fn jetstream(host: &str) -> Result<Self, SourceError> {
        let url = host_url(host)?;
        let name = format!("{}{JETSTREAM}", url.as_str().trim_end_matches('/'));
        Ok(Source(Kind::Jetstream { url, name }))
    }

    /// A recorded stream ([`Recording`](crate::Recording)). It is played back as fast as it is taken, and
    /// then it is over.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = format!("{FILE}{}", path.display());
        Source(Kind::File { path, name })
    }

    /// The firehose of an account's PDS. Where that is was the account's choice, so that the
    /// connection passes the resolver's guard: not into a private network. It counts only for the accounts
    /// whose documents name this PDS.
    ///
    /// # Errors
    /// The PDS's URL has a path.
    pub fn of_pds(identity: &Identity, resolver: &Resolver) -> Result<Self, SourceError> {
        let mut source = Source::firehose(identity.pds.as_str())?;
        if let Kind::Firehose { guard, .. } = &mut source.0 {
            *guard = Some(resolver.client().guard());
        }
        Ok(source)
    }

    /// The same host's URL for requests over HTTP; `None` for a file, and for a Jetstream, which answers none.
    pub fn http_url(&self) -> Option<Url> {
        match &self.0 {
            Kind::Firehose { url, .. } => Some(socket::http_url(url)),
            Kind::Jetstream { .. } | Kind::File { .. } => None,
        }
    }

    /// The host whose accounts alone it counts for, if it is somebody's PDS and nobody vouches for it.
    pub(crate) fn own(&self) -> Option<Arc<str>> {
        match &self.0 {
            Kind::Firehose {
                url,
                guard: Some(_),
                ..
            } => Some(host_of(url).into()),
            _ => None,
        }
    }

    /// Whether what it does not bring is to be fetched elsewhere: not where a file is read for what is in it, or
    /// where a Jetstream's word is enough.
    pub(crate) fn tells_all(&self, required: Trust) -> bool {
        match &self.0 {
            Kind::Firehose { .. } => true,
            Kind::Jetstream { .. } => required > Trust::Jetstream,
            Kind::File { .. } => false,
        }
    }

    /// The source, as it stands in a [`Delivery`](crate::Delivery)'s `source`: scheme, name and port, for a
    /// Jetstream with its path, or the file.
    pub fn host(&self) -> &str {
        match &self.0 {
            Kind::Firehose { name, .. }
            | Kind::Jetstream { name, .. }
            | Kind::File { name, .. } => name,
        }
    }

    /// Whether it sends words, and no frames.
    pub(crate) fn is_jetstream(&self) -> bool {
        matches!(self.0, Kind::Jetstream { .. })
    }

    /// Whether it is a recorded stream.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.0, Kind::File { .. })
    }

    /// All that happens there, from here on; of a Jetstream only what is in scope.
    pub(crate) fn events(
        &self,
        from: From,
        progress: Progress,
        scope: &Scope,
    ) -> Pin<Box<dyn Stream<Item = SourceEvent> + Send>> {
        match &self.0 {
            Kind::Firehose { url, guard, .. } => {
                socket::events(Firehose::new(url.clone(), from), *guard, progress)
            }
            Kind::Jetstream { url, .. } => {
                socket::events(Jetstream::new(url.clone(), from, scope), None, progress)
            }
            Kind::File { path, .. } => file::events(Path::new(path), from, &progress),
        }
    }
}

/// The URL of a host's WebSockets.
fn host_url(host: &str) -> Result<Url, SourceError> {
    let fail = |why: &str| SourceError {
        text: host.to_owned(),
        why: why.to_owned(),
    };
    let mut url = Url::parse(host).map_err(|error| fail(&error.to_string()))?;
    let scheme = match url.scheme() {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        other => return Err(fail(&format!("its scheme is {other}"))),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fail(
            "it has a user name or a password, which a stream does not take",
        ));
    }
    if !url.path().trim_matches('/').is_empty() || url.query().is_some() {
        return Err(fail(match url.path() {
            JETSTREAM => {
                "that is a Jetstream's path: a Jetstream is another kind of source, and named by its host alone"
            }
            _ => "it has a path",
        }));
    }
    url.set_scheme(scheme)
        .map_err(|()| fail("its scheme cannot be changed to a WebSocket's"))?;
    Ok(url)
}

/// The path of a Jetstream, by which it differs from the firehose of the same host.
const JETSTREAM: &str = "/subscribe";

/// A URL's host, with its port if that is not the scheme's own.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// How a file is written where a host could be.
const FILE: &str = "file:";

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        match text.strip_prefix(FILE) {
            Some("") => Err(SourceError {
                text: text.to_owned(),
                why: "it names no file".to_owned(),
            }),
            Some(path) => Ok(Source::file(path)),
            None => Source::firehose(text),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.host())
    }
}

/// Where in the stream to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum From {
    /// With what happens from now on.
    #[default]
    Live,
    /// With the oldest event that the host still has.
    Start,
    /// After this sequence number of the host; for a Jetstream from this time on, in microseconds since 1970.
    Seq(i64),
}

/// A place to begin that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place to start from: write live, start, or a sequence number of the source")]
pub struct FromError(String);

impl FromStr for From {
    type Err = FromError;

    fn from_str(text: &str) -> Result<Self, FromError> {
        match text {
            "live" => Ok(From::Live),
            "start" => Ok(From::Start),
            seq => seq
                .parse()
                .ok()
                .filter(|seq| *seq >= 0)
                .map(From::Seq)
                .ok_or_else(|| FromError(text.to_owned())),
        }
    }
}

/// What a source reports to the driver.
#[derive(Debug)]
pub(crate) enum SourceEvent {
    /// The connection stands.
    Connected,
    /// One binary frame.
    Frame(Bytes),
    /// One event of a Jetstream.
    Word(Bytes),
    /// A frame was too large to be read; the connection is made anew behind it.
    TooLarge,
    /// The connection ended or could not be made; it is tried again.
    Disconnected(String),
    /// Nothing more will come: a file is at its end, or cannot be read any further.
    Ended(Option<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_of_the_host_leads_to_its_web_socket() {
        for (given, host) in [
            ("http://localhost:2583", "ws://localhost:2583"),
            ("https://bsky.network/", "wss://bsky.network"),
            ("wss://a.example", "wss://a.example"),
        ] {
            assert_eq!(Source::firehose(given).unwrap().host(), host);
        }
    }

    #[test]
    fn a_jetstream_is_another_source_than_the_firehose_of_its_host() {
        let jetstream = Source::jetstream("https://a.example").unwrap();
        assert_eq!(jetstream.host(), "wss://a.example/subscribe");
        let error = Source::firehose("wss://a.example/subscribe").unwrap_err();
        assert!(error.to_string().contains("a Jetstream"), "{error}");
    }

    #[test]
    fn what_is_no_host_is_refused_with_how_to_write_it() {
        for wrong in [
            "localhost:2583",
            "ftp://a.example",
            "wss://a.example/xrpc/com.atproto.sync.subscribeRepos",
            "",
            "wss://",
        ] {
            let error = Source::firehose(wrong).unwrap_err().to_string();
            assert!(error.contains("wss://HOST"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_start_is_a_word_or_a_sequence_number() {
        assert_eq!("live".parse(), Ok(From::Live));
        assert_eq!("start".parse(), Ok(From::Start));
        assert_eq!("17".parse(), Ok(From::Seq(17)));
        assert!("-1".parse::<From>().is_err() && "soon".parse::<From>().is_err());
    }
}
