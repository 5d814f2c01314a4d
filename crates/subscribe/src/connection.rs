//! Whether the sources of a subscription are connected.

use tokio::sync::watch;

/// How many sources are connected, and whether any ever was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links {
    /// How many there are to be connected to; none before that is known.
    pub(crate) wanted: usize,
    pub(crate) up: usize,
    pub(crate) ever: bool,
}

/// Tells whether a subscription's sources are connected; cheap to clone, and independent of the
/// subscription's own handle.
#[derive(Clone, Debug)]
pub struct Connection {
    links: watch::Receiver<Links>,
}

impl Connection {
    pub(crate) fn new(links: watch::Receiver<Links>) -> Self {
        Connection { links }
    }

    /// Waits until every source is connected; what happens from then on is seen. Returns at once if
    /// the subscription is over. The stream must be read meanwhile if it starts in the past: while
    /// deliveries wait to be taken, nothing else goes on. Cancel safe.
    pub async fn established(&mut self) {
        let all = |links: &Links| links.wanted > 0 && links.up >= links.wanted;
        // The sender lives as long as the driver; without it there is nothing left to wait for.
        let _ = self.links.wait_for(all).await;
    }

    /// Waits until any source is connected. Returns at once if the subscription is over. Cancel safe.
    pub async fn any(&mut self) {
        let _ = self.links.wait_for(|links| links.up > 0).await;
    }

    /// Whether any source was ever reached.
    pub fn was_established(&self) -> bool {
        self.links.borrow().ever
    }
}
