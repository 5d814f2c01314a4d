//! One delivery as it is shown: a line of JSON, or a line for people.

use atcomms::lexicon::{Map, Value};
use atcomms::subscribe::Delivery;
use serde::Serialize;

use crate::line;

/// A delivery as one JSON object.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    uri: &'a str,
    cid: Option<String>,
    rev: String,
    commit: Option<String>,
    author: &'a str,
    collection: &'a str,
    rkey: &'a str,
    action: &'static str,
    trust: &'static str,
    continuity: &'static str,
    live: bool,
    record: Option<serde_json::Value>,
    source: &'a str,
    seq: i64,
}

impl<'a> Line<'a> {
    pub(crate) fn of(delivery: &'a Delivery) -> Self {
        Line {
            uri: delivery.uri.as_str(),
            cid: delivery.cid.map(|cid| cid.to_string()),
            rev: delivery.rev.to_string(),
            commit: delivery.commit.map(|commit| commit.to_string()),
            author: delivery.author.as_str(),
            collection: delivery.collection.as_str(),
            rkey: delivery.rkey.as_str(),
            action: delivery.action.as_str(),
            trust: delivery.trust.as_str(),
            continuity: delivery.continuity.as_str(),
            live: delivery.live,
            record: delivery
                .record
                .as_ref()
                .map(|record| Value::Map(record.clone()).to_json()),
            source: &delivery.source,
            seq: delivery.seq,
        }
    }
}

/// One line for a person: who, what, how much it is worth, and the words of it where there are any.
pub(crate) fn told(delivery: &Delivery) -> String {
    let words = delivery.record.as_ref().map(words).unwrap_or_default();
    let kind = delivery
        .collection
        .as_str()
        .strip_prefix("agent.comms.")
        .unwrap_or(delivery.collection.as_str());
    format!(
        "{} {} {} {} {}",
        line::dim(delivery.trust.as_str()),
        delivery.author,
        line::strong(kind),
        delivery.action.as_str(),
        line::harmless(&words)
    )
}

/// The text of a record, wherever our lexicons keep it.
fn words(record: &Map) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let content = match record.get("content") {
        Some(Value::Map(content)) => text(content.get("text")),
        _ => None,
    };
    content
        .or_else(|| {
            ["text", "task", "summary", "status", "state", "name"]
                .iter()
                .find_map(|field| text(record.get(*field)))
        })
        .unwrap_or_default()
}
