//! What a PDS emits on its firehose, before it has a number.

use atcomms_lexicon::Datetime;
use atcomms_repo::Repository;
use atcomms_repo::frame::{AccountFrame, ErrorFrame, Frame, IdentityFrame, InfoFrame};
use atcomms_repo::repository::Applied;
use bytes::Bytes;

/// An event of one account.
pub(crate) enum Event<'a> {
    Identity {
        did: &'a str,
        handle: &'a str,
    },
    Account {
        did: &'a str,
        status: Option<&'a str>,
    },
    Commit(&'a Applied),
    Sync(&'a Repository),
}

impl Event<'_> {
    /// The event's frame.
    pub(crate) fn encode(&self, seq: i64, time: &Datetime) -> Bytes {
        let time = time.as_str();
        match self {
            Self::Identity { did, handle } => Frame::Identity(IdentityFrame {
                seq,
                did,
                handle: Some(handle),
                time,
            })
            .encode(),
            Self::Account { did, status } => Frame::Account(AccountFrame {
                seq,
                did,
                active: status.is_none(),
                status: *status,
                time,
            })
            .encode(),
            Self::Commit(applied) => applied.frame(seq, time),
            Self::Sync(repository) => repository.sync_frame(seq, time),
        }
        .into()
    }
}

/// The frame that ends a stream.
pub(crate) fn error_frame(error: &str, message: &str) -> Bytes {
    let message = Some(message);
    Frame::Error(ErrorFrame { error, message }).encode().into()
}

/// A notice in a stream.
pub(crate) fn info_frame(name: &str, message: &str) -> Bytes {
    let message = Some(message);
    Frame::Info(InfoFrame { name, message }).encode().into()
}
