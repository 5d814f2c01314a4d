use crate::BlobRef;
use crate::known_values::known_values;
use crate::object::{definition, object};
use crate::schema::{bytes, size};
use crate::value::{Map, Value, from_payload_data, to_payload_data};

known_values! {
    /// Which field of a [`Content`] holds what is said.
    pub enum ContentKind {
        /// `text`.
        Text = "text",
        /// `data`.
        Json = "json",
        /// `blob`.
        Binary = "binary",
        /// `data`, as something that happened.
        Event = "event",
    }
}

object! {
    /// What a message says: a text, data, or a blob.
    pub struct Content = "agent.comms.defs#content" {
        required {
            /// Which of the other fields holds it.
            kind: ContentKind = "kind";
        }
        optional {
            /// A text for people and models.
            text: String = "text", bytes(10_000);
            /// The MIME type of the blob or of the data.
            mime_type: String = "mimeType", bytes(255);
            /// Data; see [`Content::json`] for what is not an object.
            data: Map = "data";
            /// Bytes, stored beside the repository.
            blob: BlobRef = "blob", size(10_485_760);
        }
    }
}
definition!(Content = "agent.comms.defs#content");

impl Content {
    /// A text of at most 10,000 bytes.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self::bare(ContentKind::Text).text(text)
    }

    /// Any data; what is not an object is wrapped as `{"value": …}`.
    pub fn json(data: impl Into<Value>) -> Self {
        Self::bare(ContentKind::Json).data(to_payload_data(data.into()))
    }

    /// Data about something that happened.
    pub fn event(data: impl Into<Value>) -> Self {
        Self::bare(ContentKind::Event).data(to_payload_data(data.into()))
    }

    /// A blob.
    pub fn binary(blob: BlobRef) -> Self {
        Self::bare(ContentKind::Binary)
            .mime_type(blob.mime_type.as_str())
            .blob(blob)
    }

    /// The data as it was before it was wrapped.
    pub fn value(&self) -> Option<Value> {
        self.data.clone().map(from_payload_data)
    }

    /// What a content of the older kind `ref` points to.
    pub fn reference(&self) -> Option<&str> {
        match self.kind.as_str() {
            "ref" => self.extra.get("uri")?.as_text(),
            _ => None,
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::from_text(text)
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::from_text(text)
    }
}
