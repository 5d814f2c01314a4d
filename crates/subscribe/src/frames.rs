//! The raw frames of a source, each once, of interest or not: for recording them.

use std::pin::Pin;

use atcomms_repo::frame;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use crate::scope::{Scope, Who};
use crate::source::progress::Progress;
use crate::source::{From, Source, SourceEvent};

const NO_FRAMES: &str = "a Jetstream sends no frames: record the firehose of a relay or of a PDS";

/// The frames of one source, as they come. A connection that breaks is made again, and what was seen
/// drops out. Nothing is verified.
pub struct Frames {
    source: Source,
    events: Pin<Box<dyn Stream<Item = SourceEvent> + Send>>,
    progress: Progress,
    /// The newest frame that was given, by its sequence number.
    seen: i64,
    error: Option<String>,
}

impl Frames {
    /// The frames of this source, from here on. A Jetstream has none: that is the end, and an
    /// [`error`](Self::error).
    pub fn of(source: Source, from: From) -> Self {
        let progress = Progress::new();
        let everything = Scope::new(Who::Anyone, Vec::new(), Vec::new());
        let events = match source.is_jetstream() {
            true => stream::iter([SourceEvent::Ended(Some(NO_FRAMES.to_owned()))]).boxed(),
            false => source.events(from, progress.clone(), &everything),
        };
        Self {
            events,
            source,
            progress,
            seen: i64::MIN,
            error: None,
        }
    }

    /// The next frame; `None` at the end of a recorded file. A host's stream has no end. Cancel safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.events.next().await? {
                SourceEvent::Frame(bytes) => {
                    let seq = frame::peek(&bytes).ok().and_then(|peek| peek.seq());
                    let Some(seq) = seq else { return Some(bytes) };
                    // A reconnect goes back a little.
                    if seq > self.seen {
                        self.seen = seq;
                        self.progress.set(seq);
                        return Some(bytes);
                    }
                }
                SourceEvent::Connected => tracing::info!(host = %self.source, "connected"),
                SourceEvent::Disconnected(why) => {
                    tracing::warn!(host = %self.source, "not connected: {why}; trying again");
                }
                SourceEvent::TooLarge => {
                    tracing::warn!(host = %self.source, "a frame is too large to be read; going on behind it");
                }
                SourceEvent::Ended(error) => self.error = error,
                SourceEvent::Word(_) => {}
            }
        }
    }

    /// Why a recorded file ended before its end, or why there is nothing to record.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames")
            .field("source", &self.source)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
