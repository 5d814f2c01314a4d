//! A devnet's directory, as its user sees it.

use std::sync::Arc;

use crate::Faults;

/// The PLC directory of a [`Devnet`](crate::Devnet). Cheap to clone; it lives as long as its devnet.
#[derive(Debug, Clone)]
pub struct Plc {
    url: String,
    faults: Arc<Faults>,
}

impl Plc {
    pub(crate) fn new(url: String, faults: Arc<Faults>) -> Self {
        Self { url, faults }
    }

    /// Its address, `http://localhost:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Faults to test against. The methods are [`Plc::RESOLVE`] and [`Plc::SUBMIT`]; the PDSs and the relay of
    /// the devnet do not ask over HTTP, and meet none.
    ///
    /// ```
    /// use atcomms_devnet::{Devnet, Fault, Plc};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let devnet = Devnet::start().await?;
    /// let faults = devnet.plc().faults();
    /// // Down until further notice: every connection ends without an answer.
    /// faults.inject(Plc::RESOLVE, Fault::RequestLost, u64::MAX);
    /// faults.clear(); // and up again
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Whatever is read of a DID: its document, its data, its log.
    pub const RESOLVE: &str = "resolve";

    /// An operation that is sent for a DID.
    pub const SUBMIT: &str = "submit";
}
