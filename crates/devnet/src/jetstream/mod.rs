//! Jetstream: the relay's events as JSON, one for each operation, filtered for each subscriber.
//!
//! An event's way: the relay's log → [`feed`], which gives it its time → [`event`], which makes its JSON for
//! each subscriber that wants it. The record is taken out of the commit's blocks, and nothing of the
//! signature reaches the subscriber.

mod event;
mod feed;
mod http;
mod options;
mod subscriber;

use std::sync::Arc;

use crate::Faults;
use crate::firehose::Stream;

pub(crate) use feed::{Setup, open};
pub(crate) use http::router;

/// The Jetstream of a [`Devnet`](crate::Devnet): `/subscribe` in its first version, fed by the relay. Cheap
/// to clone; it lives as long as its devnet.
///
/// A subscriber gets text frames, and says in the query what it wants: `wantedCollections` (NSIDs and
/// prefixes such as `agent.comms.*`, up to 100), `wantedDids` (up to 10,000), `maxMessageSizeBytes`,
/// `cursor` (a `time_us`, from which on events are replayed; absent or of the future: live) and
/// `requireHello`; and later in an `options_update` message. Compression is refused with a 400. As there, a
/// `#sync` is nobody's event, and accounts and identities come whatever the collections.
///
/// An event's `time_us` follows from the time in its frame, so that it is the same after a restart; it
/// strictly increases.
///
/// ```
/// use atcomms_devnet::Devnet;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let devnet = Devnet::builder().account("alice").start().await?;
/// let jetstream = devnet.jetstream();
/// println!("connect to {}/subscribe?wantedCollections=agent.comms.*", jetstream.ws_url());
/// assert!(jetstream.last_time_us() > 0, "alice's account is there");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Jetstream {
    stream: Arc<Stream>,
    url: String,
    ws_url: String,
}

impl Jetstream {
    pub(crate) fn new(stream: Arc<Stream>, url: String) -> Self {
        let ws_url = url.replacen("http", "ws", 1);
        Self {
            stream,
            url,
            ws_url,
        }
    }

    /// Its address, `http://localhost:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of its stream, `ws://localhost:PORT`, to which `/subscribe` is added.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// The time of its last event, in microseconds since 1970; 0 if there is none.
    pub fn last_time_us(&self) -> i64 {
        self.stream.log.last_seq()
    }

    /// Faults to test against; the XRPC methods that some of them are about are not here.
    pub fn faults(&self) -> &Faults {
        &self.stream.faults
    }
}
