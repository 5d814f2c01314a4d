//! A host's `com.atproto.sync.subscribeRepos`. It does not look into a frame: the driver tells it how far the
//! engine has come.

use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::socket::Endpoint;
use super::{From, SourceEvent};

/// How far a reconnect goes back: hosts differ on whether a cursor names the last event seen or the
/// first one wanted, and some send neighbouring events out of order. What was seen drops out.
const REWIND: i64 = 32;

/// How an error frame begins: a map of one entry, `op`, which is -1.
const ERROR_HEADER: &[u8] = b"\xa1bop\x20";

pub(super) struct Firehose {
    url: Url,
    from: From,
}

impl Firehose {
    pub(super) fn new(url: Url, from: From) -> Self {
        Self { url, from }
    }
}

impl Endpoint for Firehose {
    fn url(&self, seq: Option<i64>, oversized: u32) -> Url {
        let mut url = self.url.clone();
        url.set_path("/xrpc/com.atproto.sync.subscribeRepos");
        // For messages that were too large to be read, the cursor goes on.
        let behind = i64::from(oversized);
        let cursor = match (seq, self.from) {
            (Some(seq), _) if behind > 0 => Some(seq.saturating_add(behind)),
            (Some(seq), _) => Some((seq - REWIND).max(0)),
            (None, From::Live) => None,
            (None, From::Start) => Some(behind),
            (None, From::Seq(seq)) => Some(seq.saturating_add(behind)),
        };
        if let Some(cursor) = cursor {
            url.query_pairs_mut()
                .append_pair("cursor", &cursor.to_string());
        }
        url
    }

    fn event(&self, message: Message) -> Option<SourceEvent> {
        match message {
            Message::Binary(bytes) => Some(SourceEvent::Frame(bytes)),
            _ => None,
        }
    }

    fn shows_life(&self, event: &SourceEvent) -> bool {
        matches!(event, SourceEvent::Frame(bytes) if !bytes.starts_with(ERROR_HEADER))
    }
}
