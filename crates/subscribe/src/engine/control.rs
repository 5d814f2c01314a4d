//! Frames that are not commits. None of them is signed: they may make us look again, and never make us
//! believe.

use atcomms_lexicon::Did;
use atcomms_repo::frame::{self, Frame};

use super::repository::Key;
use super::{Engine, Output, SourceIndex};

impl Engine {
    pub(super) fn control(&mut self, source: SourceIndex, bytes: &[u8]) {
        match frame::decode(bytes) {
            Ok(Frame::Identity(identity)) => {
                if let Ok(did) = identity.did.parse() {
                    self.forget(did);
                }
            }
            Ok(Frame::Info(info)) => {
                let name = info.name;
                let message = info.message.unwrap_or_default();
                let host = self.hosts.get(source).map_or("", |host| host);
                tracing::warn!(%host, name, message, "the host says that we were away for too long: older events are gone from its stream");
            }
            Ok(Frame::Error(error)) if error.error == "FutureCursor" => {
                let error = "FutureCursor: our cursor is beyond its newest event. It was reset or replaced: start again with --from live or --from start; a durable watch, under another name".to_owned();
                self.questions.push_back(Output::Stop { source, error });
            }
            Ok(Frame::Error(error)) => {
                // The host closes the connection after it, and the source reconnects.
                let host = self.hosts.get(source).map_or("", |host| host);
                tracing::warn!(%host, error = error.error, message = error.message.unwrap_or_default(), "the host ended the stream");
            }
            // An account's or a repository's new state is unsigned, and needs no action without a store.
            Ok(_) => {}
            Err(error) => self.counters.rejected(error.reason()),
        }
    }

    /// What was resolved of an identity may be out of date.
    pub(super) fn forget(&mut self, did: Did) {
        if let Some(repository) = self.repositories.get_mut(&did)
            && let Key::Known { .. } = repository.key
        {
            repository.key = Key::Unknown;
        }
        self.questions.push_back(Output::Forget { did });
    }
}
