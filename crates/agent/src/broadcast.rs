//! A word to everybody who listens.

use std::future::IntoFuture;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use atcomms_lexicon::{Broadcast, Content, Datetime, RecordKey, Severity};
use atcomms_publish::{Attachment, PublishError, Receipt};

use crate::agent::Agent;

/// A broadcast in the making; `.await` publishes it. Broadcasts are public.
#[derive(Debug)]
#[must_use = "a broadcast is published by .await"]
pub struct SendBroadcast {
    agent: Agent,
    record: Broadcast,
    attachments: Vec<Attachment>,
    key: Option<RecordKey>,
}

impl SendBroadcast {
    pub(crate) fn new(agent: Agent, text: String) -> Self {
        let record = Broadcast::new(agent.did(), Content::from_text(text));
        SendBroadcast {
            agent,
            record,
            attachments: Vec::new(),
            key: None,
        }
    }

    /// What it is about.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.record.topic = Some(topic.into());
        self
    }

    /// Also for those who go by this name.
    pub fn audience(mut self, name: impl Into<String>) -> Self {
        self.record.audience.push(name.into());
        self
    }

    /// How much it should disturb.
    pub fn severity(mut self, severity: impl Into<Severity>) -> Self {
        self.record.severity = Some(severity.into());
        self
    }

    /// For how long it is of interest, in whole seconds; a week at most.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.record.ttl_seconds = Some(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        self
    }

    /// Attaches a file. It is read when the broadcast is published.
    pub fn attach(self, path: impl Into<PathBuf>) -> Self {
        self.attachment(Attachment::file(path))
    }

    /// Attaches bytes or a file.
    pub fn attachment(mut self, attachment: Attachment) -> Self {
        self.attachments.push(attachment);
        self
    }

    /// The record's key and time, for a caller that must be able to publish the very same record
    /// again: then the repository holds it once.
    pub fn same_as(mut self, key: RecordKey, created_at: Datetime) -> Self {
        self.key = Some(key);
        self.record.created_at = created_at;
        self
    }
}

impl IntoFuture for SendBroadcast {
    type Output = Result<Receipt, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Not cancel safe: dropped half-way, the broadcast may or may not be in the repository.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut publish = self.agent.publish(self.record);
            for attachment in self.attachments {
                publish = publish.attach(attachment);
            }
            if let Some(key) = self.key {
                publish = publish.key(key);
            }
            publish.await
        })
    }
}
