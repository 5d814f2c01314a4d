//! What a record's key holds now: asked where an answer was lost.

use std::time::Duration;

use atcomms_lexicon::Cid;
use backon::{ExponentialBuilder, Retryable};

use crate::error::XrpcError;
use crate::pds::{self, Place};
use crate::session::Session;

/// The first pause between two readings back; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How often the reading back is tried again: about two seconds of pauses. Whoever asks tries again
/// later.
const RETRIES: usize = 3;

/// What the key holds now. Cancel safe.
pub(crate) async fn read_back(session: &Session, place: &Place) -> Result<Option<Cid>, XrpcError> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_times(RETRIES)
        .with_jitter();
    let reading = (|| pds::get_record(session, place))
        .retry(pauses)
        .when(|error| error.is_transient() && !matches!(error, XrpcError::RateLimited { .. }));
    let patience = session.xrpc().timeout();
    match tokio::time::timeout(patience, reading).await {
        Ok(read) => Ok(read?.map(|found| found.cid)),
        Err(_) => Err(session
            .xrpc()
            .timed_out("com.atproto.repo.getRecord", patience)),
    }
}
