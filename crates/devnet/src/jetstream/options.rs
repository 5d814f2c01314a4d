//! What a subscriber wants: from its query first, and from its messages later.

use std::collections::HashSet;

use atcomms_lexicon::{Did, Nsid};
use serde::Deserialize;

/// What a subscriber wants. The default is everything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// All if there are neither collections nor prefixes.
    collections: HashSet<String>,
    /// Each ends with a dot.
    prefixes: Vec<String>,
    /// Everybody if it is empty.
    dids: HashSet<String>,
    /// Bytes of an event's text; no limit if it is 0.
    max_message_bytes: usize,
}

/// A message of a subscriber.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Update {
    wanted_collections: Option<Vec<String>>,
    wanted_dids: Option<Vec<String>>,
    max_message_size_bytes: i64,
}

impl Options {
    /// Checks what a subscriber says that it wants.
    pub(super) fn new<'a>(
        collections: impl Iterator<Item = &'a str>,
        dids: impl Iterator<Item = &'a str>,
        max_message_bytes: i64,
    ) -> Result<Self, String> {
        let mut options = Self {
            max_message_bytes: usize::try_from(max_message_bytes).unwrap_or(0),
            ..Self::default()
        };
        for collection in collections {
            if let Some(prefix) = collection.strip_suffix('*').filter(|p| p.ends_with('.')) {
                options.prefixes.push(prefix.to_owned());
            } else if collection.parse::<Nsid>().is_ok() {
                options.collections.insert(collection.to_owned());
            } else {
                return Err(refuse(&format!("invalid collection: {collection}")));
            }
        }
        for did in dids {
            if did.parse::<Did>().is_err() {
                return Err(refuse(&format!("invalid DID: {did}")));
            }
            options.dids.insert(did.to_owned());
        }
        if options.dids.len() > MAX_DIDS {
            return Err(refuse("too many wanted DIDs"));
        }
        if options.collections.len() + options.prefixes.len() > MAX_COLLECTIONS {
            return Err(refuse("too many wanted collections"));
        }
        Ok(options)
    }

    /// Reads a subscriber's message; `None` if it is of another type than `options_update`.
    pub(super) fn from_message(text: &str) -> Result<Option<Self>, String> {
        let failed = |error| format!("failed to unmarshal subscriber sourced message: {error}");
        let message: Message = serde_json::from_str(text).map_err(failed)?;
        if message.kind != "options_update" {
            return Ok(None);
        }
        let update: Update = serde_json::from_value(message.payload).map_err(failed)?;
        let collections = update.wanted_collections.unwrap_or_default();
        let dids = update.wanted_dids.unwrap_or_default();
        Self::new(
            collections.iter().map(String::as_str),
            dids.iter().map(String::as_str),
            update.max_message_size_bytes,
        )
        .map(Some)
    }

    pub(super) fn wants_collection(&self, collection: &str) -> bool {
        let all = self.collections.is_empty() && self.prefixes.is_empty();
        let mut prefixes = self.prefixes.iter();
        all || self.collections.contains(collection)
            || prefixes.any(|prefix| collection.starts_with(prefix))
    }

    pub(super) fn wants_did(&self, did: &str) -> bool {
        self.dids.is_empty() || self.dids.contains(did)
    }

    pub(super) fn takes(&self, bytes: usize) -> bool {
        self.max_message_bytes == 0 || bytes <= self.max_message_bytes
    }
}

fn refuse(why: &str) -> String {
    format!("invalid subscriber options: {why}")
}

/// Collections and prefixes of one subscriber, as there.
const MAX_COLLECTIONS: usize = 100;

/// DIDs of one subscriber, as there.
const MAX_DIDS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(collections: &[&str]) -> Result<Options, String> {
        Options::new(collections.iter().copied(), [].into_iter(), 0)
    }

    #[test]
    fn a_prefix_takes_all_below_it_and_nothing_beside_it() {
        let options = wanted(&["agent.comms.*", "com.example.note"]).unwrap();
        for (collection, takes) in [
            ("agent.comms.message", true),
            ("agent.commsx.message", false),
            ("com.example.note", true),
            ("com.example.notes", false),
        ] {
            assert_eq!(options.wants_collection(collection), takes, "{collection}");
        }
        assert!(wanted(&[]).unwrap().wants_collection("any.thing.atall"));
    }

    #[test]
    fn what_is_no_collection_and_what_is_too_much_is_refused() {
        for wrong in ["", "*", "agent", "agent.comms*", "agent.comms.message/x"] {
            assert!(wanted(&[wrong]).is_err(), "{wrong}");
        }
        let names: Vec<String> = (0..101).map(|n| format!("com.example.c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(wanted(&names).is_err());
        assert!(wanted(&names[..100]).is_ok());
    }

    #[test]
    fn a_message_that_is_no_update_says_nothing_and_a_broken_one_is_an_error() {
        let update = r#"{"type":"options_update","payload":{"wantedDids":["did:plc:abc"],"maxMessageSizeBytes":9}}"#;
        let options = Options::from_message(update).unwrap().unwrap();
        assert!(options.wants_did("did:plc:abc") && !options.wants_did("did:plc:other"));
        assert!(options.takes(9) && !options.takes(10));
        assert_eq!(Options::from_message(r#"{"type":"other"}"#), Ok(None));
        for wrong in [
            "{",
            r#"{"type":"options_update","payload":{"wantedDids":["x"]}}"#,
        ] {
            assert!(Options::from_message(wrong).is_err(), "{wrong}");
        }
    }
}
