//! A message to one agent.

use std::future::IntoFuture;
use std::path::PathBuf;
use std::pin::Pin;

use atcomms_identity::ResolveError;
use atcomms_lexicon::{Address, AtUri, Content, Datetime, Did, Handle, Message};
use atcomms_publish::{Accepted, Attachment, PublishError, Receipt};

use crate::agent::Agent;

/// Why a message was not accepted, or not written after it was.
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

/// A message in the making; `.await` sends it and gives the [`Receipt`] once the PDS has committed it;
/// [`enqueue`](Self::enqueue) returns as soon as it is accepted. Messages are public.
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
    once: Option<String>,
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
            once: None,
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

    /// A key of the caller's: a message sent with it again, also by another process of the same store
    /// after a crash, is not written a second time, and has the first one's receipt.
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.once = Some(key.into());
        self
    }

    /// Accepts the message: when this returns, it survives what the agent's store survives, and will be
    /// sent. Cancel safe: it was accepted, or it was not.
    ///
    /// # Errors
    /// The recipient cannot be found, or the message was not accepted.
    pub async fn enqueue(self) -> Result<Accepted, SendError> {
        let (recipient, handle) = self.recipient().await?;
        let mut message = Message::new(self.agent.did(), recipient, self.content)
            .sender_handle(self.agent.handle());
        message.recipient_handle = handle;
        message.in_reply_to = self.reply_to;
        message.priority = self.priority.map(i64::from);
        message.expires_at = self.expires_at;
        let mut publish = self.agent.publish(message);
        for attachment in self.attachments {
            publish = publish.attach(attachment);
        }
        if let Some(once) = self.once {
            publish = publish.once(once);
        }
        Ok(publish.enqueue().await?)
    }

    /// Who it is for. A DID says so by itself: then nobody has to be within reach.
    async fn recipient(&self) -> Result<(Did, Option<Handle>), SendError> {
        match (self.agent.resolve(&self.to).await, &self.to) {
            (Ok(identity), _) => Ok((identity.did, identity.handle)),
            (Err(error), Address::Did(did)) if error.is_transient() => Ok((did.clone(), None)),
            (Err(source), to) => Err(SendError::Resolve {
                address: to.to_string(),
                source,
            }),
        }
    }
}

impl IntoFuture for SendMessage {
    type Output = Result<Receipt, SendError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Cancel safe: it was accepted, or it was not; what was accepted is sent.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.enqueue().await?.receipt().await?) })
    }
}
