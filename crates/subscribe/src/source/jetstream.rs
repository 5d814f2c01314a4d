//! A host's Jetstream: `/subscribe` in its first version. What is wanted is said to the host; what an event
//! is, it does not look.

use bytes::Bytes;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::socket::{Endpoint, MAX_MESSAGE};
use super::{From, SourceEvent};
use crate::scope::{CollectionPattern, Scope, Who};

/// How far a reconnect goes back, in microseconds. A cursor is a time by the host's clock, and takes in the
/// event of that time; behind one name there may be several hosts, each with a clock of its own, for which a
/// few seconds are what a Jetstream's makers advise. What was seen drops out.
const REWIND: i64 = 5_000_000;
/// Collections and prefixes that a Jetstream takes.
const MAX_COLLECTIONS: usize = 100;
/// DIDs that a Jetstream takes.
const MAX_DIDS: usize = 10_000;
/// Bytes of a query; what is longer is said in a message. Common proxies take a line of 8 KB.
const MAX_QUERY: usize = 4096;

pub(super) struct Jetstream {
    url: Url,
    from: From,
    collections: Vec<String>,
    dids: Vec<String>,
    /// What is wanted is too much for a URL.
    by_message: bool,
}

impl Jetstream {
    pub(super) fn new(url: Url, from: From, scope: &Scope) -> Self {
        let mut jetstream = Self {
            url,
            from,
            collections: collections(scope),
            dids: dids(scope),
            by_message: false,
        };
        jetstream.url.set_path("/subscribe");
        let mut whole = jetstream.url.clone();
        jetstream.wanted(&mut whole);
        jetstream.by_message = whole.query().unwrap_or_default().len() > MAX_QUERY;
        jetstream
    }

    fn wanted(&self, url: &mut Url) {
        let mut query = url.query_pairs_mut();
        for collection in &self.collections {
            query.append_pair("wantedCollections", collection);
        }
        for did in &self.dids {
            query.append_pair("wantedDids", did);
        }
    }
}

/// The collections that the host is to send; none for all, also where there are more than it takes: then they
/// are sorted out here.
fn collections(scope: &Scope) -> Vec<String> {
    let all = |pattern: &CollectionPattern| matches!(pattern, CollectionPattern::Prefix(prefix) if prefix.is_empty());
    let wanted = scope.collections();
    if wanted.iter().any(all) {
        return Vec::new();
    }
    if wanted.len() > MAX_COLLECTIONS {
        tracing::warn!(
            "a Jetstream takes {MAX_COLLECTIONS} collections at most: it sends all, and they are sorted out here"
        );
        return Vec::new();
    }
    wanted.iter().map(ToString::to_string).collect()
}

/// The same for repositories.
fn dids(scope: &Scope) -> Vec<String> {
    let Who::Peers(peers) = scope.who() else {
        return Vec::new();
    };
    if peers.len() > MAX_DIDS {
        tracing::warn!(
            "a Jetstream takes {MAX_DIDS} repositories at most: it sends everybody's records, and they are sorted out here"
        );
        return Vec::new();
    }
    let mut dids: Vec<_> = peers.iter().map(ToString::to_string).collect();
    dids.sort_unstable();
    dids
}

impl Endpoint for Jetstream {
    fn url(&self, seq: Option<i64>, oversized: u32) -> Url {
        let mut url = self.url.clone();
        if !self.by_message {
            self.wanted(&mut url);
        }
        let mut query = url.query_pairs_mut();
        if self.by_message {
            query.append_pair("requireHello", "true");
        }
        let cursor = match (seq, self.from) {
            (Some(seq), _) if oversized > 0 => Some(seq.saturating_add(behind(oversized))),
            (Some(seq), _) => Some((seq - REWIND).max(0)),
            (None, From::Live) => None,
            (None, From::Start) => Some(0),
            (None, From::Seq(time)) => Some(time.saturating_add(behind(oversized))),
        };
        if let Some(cursor) = cursor {
            query.append_pair("cursor", &cursor.to_string());
        }
        if oversized > 0 {
            query.append_pair("maxMessageSizeBytes", &MAX_MESSAGE.to_string());
        }
        drop(query);
        url
    }

    fn hello(&self, oversized: u32) -> Option<Message> {
        self.by_message.then(|| {
            let update = json!({
                "type": "options_update",
                "payload": {
                    "wantedCollections": self.collections,
                    "wantedDids": self.dids,
                    "maxMessageSizeBytes": if oversized > 0 { MAX_MESSAGE } else { 0 },
                },
            });
            Message::text(update.to_string())
        })
    }

    /// Text is an event. So is what is binary, which the engine counts as none: we ask for no compression.
    fn event(&self, message: Message) -> Option<SourceEvent> {
        match message {
            Message::Text(text) => Some(SourceEvent::Word(Bytes::from(text))),
            Message::Binary(bytes) => Some(SourceEvent::Word(bytes)),
            _ => None,
        }
    }

    fn shows_life(&self, event: &SourceEvent) -> bool {
        matches!(event, SourceEvent::Word(_))
    }
}

/// How far to go behind messages that were too large to be read, in microseconds. The host is asked to leave
/// them out; where it does not, this doubles until it is past them.
fn behind(oversized: u32) -> i64 {
    match oversized {
        0 => 0,
        more => 1_i64 << more.min(40),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atcomms_lexicon::Did;

    fn peers(count: usize) -> Scope {
        let did = |n: usize| format!("did:web:n{n}.example").parse::<Did>().unwrap();
        Scope::new(Who::Peers((0..count).map(did).collect()), vec![], vec![])
    }

    fn at(scope: &Scope, from: From) -> Jetstream {
        Jetstream::new("wss://jet.example/".parse().unwrap(), from, scope)
    }

    #[test]
    fn what_is_wanted_stands_in_the_url_as_long_as_it_fits() {
        let jetstream = at(&peers(2), From::Live);
        let url = jetstream.url(None, 0).to_string();
        assert_eq!(
            url,
            "wss://jet.example/subscribe?wantedCollections=agent.comms.*&wantedDids=did%3Aweb%3An0.example&wantedDids=did%3Aweb%3An1.example"
        );
        assert_eq!(jetstream.hello(0), None);

        let jetstream = at(&peers(MAX_DIDS), From::Start);
        let url = jetstream.url(None, 0).to_string();
        assert_eq!(
            url,
            "wss://jet.example/subscribe?requireHello=true&cursor=0"
        );
        let hello = jetstream.hello(0).unwrap().into_text().unwrap();
        let hello: serde_json::Value = serde_json::from_str(&hello).unwrap();
        assert_eq!(hello["type"], "options_update");
        let payload = &hello["payload"];
        assert_eq!(
            payload["wantedDids"].as_array().map(Vec::len),
            Some(MAX_DIDS)
        );
        assert_eq!(payload["wantedCollections"], json!(["agent.comms.*"]));
    }

    #[test]
    fn what_is_more_than_it_takes_is_not_said() {
        let jetstream = at(&peers(MAX_DIDS + 1), From::Live);
        let url = jetstream.url(None, 0).to_string();
        assert_eq!(
            url,
            "wss://jet.example/subscribe?wantedCollections=agent.comms.*"
        );
        let name = |n: usize| format!("a.b.c{n}").parse().unwrap();
        let many = Scope::new(
            Who::Anyone,
            (0..=MAX_COLLECTIONS).map(name).collect(),
            vec![],
        );
        assert_eq!(at(&many, From::Live).url(None, 0).query(), Some(""));
        let all = Scope::new(Who::Anyone, vec!["*".parse().unwrap(), name(0)], vec![]);
        assert_eq!(at(&all, From::Live).url(None, 0).query(), Some(""));
    }

    #[test]
    fn a_reconnect_goes_back_a_little_and_past_what_cannot_be_read() {
        let jetstream = at(&peers(0), From::Seq(7));
        let cursor = |seq, oversized| {
            let url = jetstream.url(seq, oversized);
            let found = url.query_pairs().find(|(name, _)| name == "cursor");
            found.map(|(_, cursor)| cursor.parse::<i64>().unwrap())
        };
        assert_eq!(cursor(None, 0), Some(7));
        assert_eq!(cursor(Some(3), 0), Some(0));
        assert_eq!(cursor(Some(9 * REWIND), 0), Some(8 * REWIND));
        assert_eq!(cursor(Some(100), 1), Some(102));
        assert_eq!(cursor(Some(100), 5), Some(132));
        let url = jetstream.url(Some(100), 1).to_string();
        assert!(url.ends_with("&maxMessageSizeBytes=6000000"), "{url}");
    }
}
