//! An event under another number: what a relay does to each that it passes on.

use atcomms_repo::frame::Frame;
use bytes::Bytes;

/// The bytes of a frame with another number; everything else stays. `#info` and errors have none.
pub(crate) fn encode_as(frame: &Frame<'_>, number: i64) -> Bytes {
    let mut frame = frame.clone();
    match &mut frame {
        Frame::Commit(commit) => commit.seq = number,
        Frame::Sync(sync) => sync.seq = number,
        Frame::Identity(identity) => identity.seq = number,
        Frame::Account(account) => account.seq = number,
        Frame::Info(_) | Frame::Error(_) | Frame::Unknown(_) => {}
    }
    frame.encode().into()
}
