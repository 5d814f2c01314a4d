//! A word to everybody who listens.

use std::future::IntoFuture;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use atcomms_lexicon::{Broadcast, Content, Severity};
use atcomms_publish::{Accepted, Attachment, PublishError, Receipt};

use crate::agent::Agent;

/// A broadcast in the making; `.await` publishes it; [`enqueue`](Self::enqueue) returns as soon as it is
/// accepted. Broadcasts are public.
#[derive(Debug)]
#[must_use = "a broadcast is published by .await"]
pub struct SendBroadcast {
    agent: Agent,
    record: Broadcast,
    attachments: Vec<Attachment>,
    once: Option<String>,
}

impl SendBroadcast {
    pub(crate) fn new(agent: Agent, text: String) -> Self {
        let record = Broadcast::new(agent.did(), Content::from_text(text));
        SendBroadcast {
            agent,
            record,
            attachments: Vec::new(),
            once: None,
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

    /// A key of the caller's: a broadcast published with it again, also by another process of the same
    /// store after a crash, is not written a second time, and has the first one's receipt.
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.once = Some(key.into());
        self
    }

    /// Accepts the broadcast: when this returns, it survives what the agent's store survives, and will
    /// be published. Cancel safe: it was accepted, or it was not.
    ///
    /// # Errors
    /// It was not accepted.
    pub async fn enqueue(self) -> Result<Accepted, PublishError> {
        let mut publish = self.agent.publish(self.record);
        for attachment in self.attachments {
            publish = publish.attach(attachment);
        }
        if let Some(once) = self.once {
            publish = publish.once(once);
        }
        publish.enqueue().await
    }
}

impl IntoFuture for SendBroadcast {
    type Output = Result<Receipt, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Cancel safe: it was accepted, or it was not; what was accepted is published.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.enqueue().await?.receipt().await })
    }
}
