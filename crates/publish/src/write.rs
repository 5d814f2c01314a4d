//! One record into the repository, and certainty about it: the part of promise P1 that holds while
//! the process lives.
//!
//! A write whose answer was lost is read back before anything else is sent: the same CID means that
//! it was written. The key is fixed before the first try and the write is create-if-absent, so a
//! try that arrives late changes nothing.

use std::time::Duration;

use atcomms_lexicon::{Cid, Encoded};
use backon::{ExponentialBuilder, Retryable};

use crate::error::XrpcError;
use crate::pds::{self, Place, Swap};
use crate::publish_error::PublishError;
use crate::receipt::Receipt;
use crate::session::Session;

/// How often one record is sent: once more after a lost answer and a reading back that found
/// nothing. What still fails then is not repaired by haste.
const TRIES: usize = 2;

/// The first pause between two readings back; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How often the reading back is tried again: about four seconds of pauses, a restart of the PDS.
const READ_RETRIES: usize = 4;

/// Writes a record, and settles what became of it.
pub(crate) async fn write(
    session: &Session,
    place: &Place,
    encoded: &Encoded,
    swap: Swap,
) -> Result<Receipt, PublishError> {
    let uri = place.uri();
    let json = pds::json(&encoded.value);
    let receipt = |rev| Receipt {
        uri: uri.clone(),
        cid: encoded.cid,
        rev,
    };
    let unconfirmed = |source| PublishError::Unconfirmed {
        uri: uri.clone(),
        source,
    };
    let mut doubt = None;
    for _ in 0..TRIES {
        let error = match pds::put_record(session, place, &json, swap).await {
            Ok(written) if written.cid == encoded.cid => return Ok(receipt(written.rev)),
            Ok(written) => {
                return Err(PublishError::CidMismatch {
                    pds: session.xrpc().name(),
                    uri,
                    expected: Box::new(encoded.cid),
                    got: Box::new(written.cid),
                });
            }
            Err(error) => error,
        };
        let lost_a_race = error.name() == Some("InvalidSwap");
        if !lost_a_race && !error.may_be_done() {
            // An earlier try may still be on its way, unless the PDS refuses the record itself.
            let in_doubt = doubt.is_some() && error.is_transient();
            return Err(match in_doubt {
                true => unconfirmed(error),
                false => PublishError::Xrpc { uri, source: error },
            });
        }
        tracing::debug!(%uri, %error, "reading back");
        match (read_back(session, place).await.map_err(unconfirmed)?, swap) {
            (Some(found), _) if found == encoded.cid => return Ok(receipt(None)),
            (Some(found), Swap::Absent) => {
                return Err(PublishError::KeyTaken {
                    uri,
                    found: Box::new(found),
                });
            }
            (found, Swap::At(expected)) if found != Some(expected) => {
                return Err(PublishError::SwapFailed {
                    uri,
                    expected: Box::new(expected),
                    found: found.map(Box::new),
                });
            }
            _ => doubt = Some(error),
        }
    }
    Err(match doubt {
        Some(source) => unconfirmed(source),
        None => unreachable!("each try returns or leaves a doubt"),
    })
}

/// What the key holds now.
async fn read_back(session: &Session, place: &Place) -> Result<Option<Cid>, XrpcError> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_times(READ_RETRIES)
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
