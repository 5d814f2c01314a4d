//! Frames that are not commits. None of them but `#sync` is signed: they may make us look again, and never make
//! us believe.

use atcomms_lexicon::{Did, Tid};
use atcomms_repo::frame::{self, Frame, SyncFrame};
use atcomms_repo::verify::{Limits, verify_sync};

use super::repository::Key;
use super::{Engine, Outcome, Output, SourceIndex, Verified};

impl Engine {
    pub(super) fn control(&mut self, source: SourceIndex, bytes: &[u8], now: u64) {
        match frame::decode(bytes) {
            Ok(Frame::Identity(identity)) => {
                if let Ok(did) = identity.did.parse() {
                    self.forget(did);
                }
            }
            Ok(Frame::Sync(sync)) => self.sync(source, &sync, now),
            Ok(Frame::Info(info)) => {
                let name = info.name;
                let message = info.message.unwrap_or_default();
                let host = self.name_of(source);
                tracing::warn!(%host, name, message, "the host says that we were away for too long: older events are gone from its stream");
                // What the stream passed over shows in the revs of the repositories that are followed.
                self.questions.push_back(Output::Sweep);
            }
            Ok(Frame::Error(error)) if error.error == "FutureCursor" => {
                let error = "FutureCursor: our cursor is beyond its newest event. It was reset or replaced: start again with --from live or --from start; a durable watch, under another name".to_owned();
                self.questions.push_back(Output::Stop { source, error });
            }
            Ok(Frame::Error(error)) => {
                // The host closes the connection after it, and the source reconnects.
                let host = self.name_of(source);
                tracing::warn!(%host, error = error.error, message = error.message.unwrap_or_default(), "the host ended the stream");
            }
            Ok(Frame::Account(account)) => self.account(&account),
            Ok(_) => {}
            Err(error) => self.counters.rejected(error.reason()),
        }
    }

    /// A repository has a new state, after which its earlier commits say nothing: a tree that was rebuilt, say.
    fn sync(&mut self, source: SourceIndex, sync: &SyncFrame<'_>, now: u64) {
        let (Ok(did), Ok(rev)) = (sync.did.parse::<Did>(), sync.rev.parse::<Tid>()) else {
            self.counters.rejected("rev_syntax");
            return;
        };
        if !self.scope.follows(did.as_str()) {
            return;
        }
        let Some(repository) = self.repositories.get_mut(&did) else {
            return;
        };
        let known = repository.head;
        if known.is_some_and(|head| head.rev >= rev) {
            return;
        }
        // Without the key it is a hint, and so is one of before a rotation: what the PDS gives is checked.
        let verified = match &repository.key {
            Key::Known { key, .. } => verify_sync(sync, key, now, &Limits::default()).ok(),
            _ => None,
        };
        if let Some(head) = &verified
            && known.is_some_and(|known| known.data == head.data())
            && repository.held.is_empty()
        {
            let head = head.head();
            repository.head = Some(head);
            let verified = Box::new(Verified {
                did,
                head,
                known: Vec::new(),
                standing: None,
            });
            self.order.put(
                repository.last_ticket,
                Output::Settled {
                    source,
                    seq: sync.seq,
                    outcome: Outcome::Verified(verified),
                },
            );
            return;
        }
        let signed = verified.map(|head| head.rev());
        self.miss(&did, signed, "its repository was set anew", now);
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
