//! A relay: the streams of several hosts as one, under numbers of its own, and what it has seen of each
//! repository.
//!
//! An event's way: a host's log or socket → [`intake`] → [`seen`] → the relay's log → its subscribers.
//! Nothing is verified on the way, so that what a forging host says reaches whoever has to notice it.

mod external;
mod http;
mod intake;
mod methods;
mod open;
mod seen;

use std::sync::Arc;
use std::time::SystemTime;

use atcomms_repo::frame::peek;
use bytes::Bytes;

use crate::Faults;
use intake::Intake;

pub(crate) use external::ExternalHost;
pub(crate) use http::router;
pub(crate) use open::{Setup, open};

/// The relay of a [`Devnet`](crate::Devnet). Cheap to clone; it lives as long as its devnet.
///
/// What a PDS emits is on its stream before the PDS answers. It passes on `#commit`, `#sync`, `#identity`
/// and `#account` as they are, but for the number; not what cannot be read, a commit that is not newer than
/// the repository's last one, and what a host says of an account whose document names another PDS of this
/// devnet (of which an `#identity` stays, without its handle).
///
/// It answers `listRepos`, `getRepoStatus`, `getLatestCommit`, `listReposByCollection` and `listHosts` from
/// what it has seen, and sends `getRepo` to the account's PDS.
///
/// ```
/// use atcomms_devnet::Devnet;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let devnet = Devnet::builder().pds(2).account("alice").account("bob").start().await?;
/// let relay = devnet.relay();
/// println!("watch everybody at {}", relay.ws_url());
/// assert_eq!(relay.last_seq(), devnet.pds().iter().map(|pds| pds.last_seq()).sum::<i64>());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Relay {
    intake: Arc<Intake>,
    url: String,
    ws_url: String,
}

impl Relay {
    pub(crate) fn new(intake: Arc<Intake>, url: String) -> Self {
        let ws_url = url.replacen("http", "ws", 1);
        Self {
            intake,
            url,
            ws_url,
        }
    }

    /// The address of its XRPC methods, `http://localhost:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of its stream, `ws://localhost:PORT`.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// The number of the last event of its stream; 0 if there is none.
    pub fn last_seq(&self) -> i64 {
        self.intake.stream.log.last_seq()
    }

    /// Puts a frame into the stream as it is, under the number that it has or lacks; the next event is numbered
    /// behind it. It is not kept in the data folder.
    pub fn inject_frame(&self, frame: impl Into<Bytes>) {
        let frame = frame.into();
        let seq = peek(&frame).ok().and_then(|peek| peek.seq());
        self.faults().on_injected_frame();
        let log = &self.intake.stream.log;
        log.inject(seq, SystemTime::now(), frame);
    }

    /// Faults to test against, of its stream and of its methods. An event that a PDS's faults alter comes here
    /// as altered; its cuts and stalls do not touch the way from that PDS to here.
    pub fn faults(&self) -> &Faults {
        &self.intake.stream.faults
    }
}
