//! The firehose: a log of frames, the file it survives in, and `com.atproto.sync.subscribeRepos` over it.
//!
//! The log is what a subscriber reads, at its own pace, by position: there is no queue for each subscriber
//! that could grow.

mod file;
mod log;
mod renumber;
mod stream;

pub(crate) use file::{FrameFile, split_frames};
pub(crate) use log::{EventLog, Position, Shown, Start};
pub(crate) use renumber::encode_as;
pub(crate) use stream::{
    FAREWELL, SUBSCRIBE_REPOS, Stream, StreamLimits, Unsent, finish, send, subscribe,
};
