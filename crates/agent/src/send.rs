//! A message to one agent.

use std::future::IntoFuture;
use std::path::PathBuf;
use std::pin::Pin;

use atcomms_identity::ResolveError;
use atcomms_lexicon::{Address, AtUri, Content, Datetime, Message, RecordKey};
use atcomms_publish::{Attachment, PublishError, Receipt};

use crate::agent::Agent;

/// Why a message was not sent, or is not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The recipient could not be found.
    #[error("cannot find out who `{address}` is: {source}")]
    Resolve {
        /// Whom it was for.
        address: String,
        /// What went wrong.
        source: ResolveError,
    },
    /// It could not be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// A message in the making; `.await` sends it and gives the [`Receipt`] once the PDS has committed it.
/// Messages are public.
#[derive(Debug)]
#[must_use = "a message is sent by .await"]
pub struct SendMessage {
    agent: Agent,
    to: Address,
    content: Content,
    reply_to: Option<AtUri>,
    priority: Option<u8>,
    expires_at: Option<Datetime>,
    attachments: Vec<Attachment>,
    same: Option<(RecordKey, Datetime)>,
}

impl SendMessage {
    pub(crate) fn new(agent: Agent, to: Address, text: String) -> Self {
        SendMessage {
            agent,
            to,
            content: Content::from_text(text),
            reply_to: None,
            priority: None,
            expires_at: None,
            attachments: Vec::new(),
            same: None,
        }
    }

    /// Other content than text.
    pub fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Attaches a file. It is read when the message is sent.
    pub fn attach(self, path: impl Into<PathBuf>) -> Self {
        self.attachment(Attachment::file(path))
    }

    /// Attaches bytes or a file.
    pub fn attachment(mut self, attachment: Attachment) -> Self {
        self.attachments.push(attachment);
        self
    }

    /// The message that this one answers.
    pub fn reply_to(mut self, uri: AtUri) -> Self {
        self.reply_to = Some(uri);
        self
    }

    /// From 0 to 5, which is the highest.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// When it stops being of interest.
    pub fn expires_at(mut self, at: Datetime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// The record's key and time, for a caller that must be able to send the very same message again:
    /// then the repository holds it once.
    pub fn same_as(mut self, key: RecordKey, created_at: Datetime) -> Self {
        self.same = Some((key, created_at));
        self
    }

    async fn send(self) -> Result<Receipt, SendError> {
        let recipient =
            self.agent
                .resolve(&self.to)
                .await
                .map_err(|source| SendError::Resolve {
                    address: self.to.to_string(),
                    source,
                })?;
        let mut message = Message::new(self.agent.did(), recipient.did, self.content)
            .sender_handle(self.agent.handle());
        message.recipient_handle = recipient.handle;
        message.in_reply_to = self.reply_to;
        message.priority = self.priority.map(i64::from);
        message.expires_at = self.expires_at;
        if let Some((_, created_at)) = &self.same {
            message.created_at = created_at.clone();
            // Handles come and go; the very same message must not depend on them.
            message.sender_handle = None;
            message.recipient_handle = None;
        }
        let mut publish = self.agent.publish(message);
        for attachment in self.attachments {
            publish = publish.attach(attachment);
        }
        if let Some((key, _)) = self.same {
            publish = publish.key(key);
        }
        Ok(publish.await?)
    }
}

impl IntoFuture for SendMessage {
    type Output = Result<Receipt, SendError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Not cancel safe: dropped half-way, the message may or may not be in the repository.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
