//! Finding out how a PDS behaves, where promise P1 depends on it.

use std::time::Duration;

use atcomms_lexicon::{Content, Datetime, Message, Nsid, Record, Tid, encode};
use atcomms_store::Pool;

use crate::budget::{DELETE_POINTS, PUT_POINTS};
use crate::clock::now;
use crate::error::XrpcError;
use crate::pds::{self, Place, Swap};
use crate::publish_error::PublishError;
use crate::publisher::Publisher;

/// How long the probe is of interest to anybody who sees it, and to `prune` if it stays behind.
const EXPIRES: Duration = Duration::from_secs(60);

/// What a PDS makes of putRecord with `swapRecord: null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NullSwap {
    /// It writes only if nothing is there, as it should.
    Honoured,
    /// It writes over what is there.
    Ignored,
}

impl Publisher {
    /// Finds out whether the PDS honours an explicit null swap, by writing a message to oneself, trying
    /// to write over it, and deleting it. Costs five points, and is seen by everybody who watches.
    ///
    /// Not cancel safe: the message may stay; it has expired after a minute, and
    /// [`prune`](Self::prune) deletes it.
    ///
    /// # Errors
    /// [`PublishError`] if the PDS does not take the message.
    pub async fn probe_null_swap(&self) -> Result<NullSwap, PublishError> {
        let session = self.session();
        let micros = u64::try_from(now().saturating_mul(1000)).unwrap_or(0);
        let key = Tid::from_parts(micros, 0).to_string();
        let place = Place {
            repo: session.did().clone(),
            collection: Message::NSID
                .parse::<Nsid>()
                .map_err(PublishError::Collection)?,
            rkey: key.parse().map_err(PublishError::Collection)?,
        };
        let put = async |text: &str| {
            let own = session.did();
            let mut message = Message::new(own, own.clone(), Content::from_text(text));
            let expires = now().saturating_add(crate::clock::millis(EXPIRES));
            message.expires_at = Some(Datetime::from_unix_millis(expires));
            let record = pds::json(&encode(&message)?.cbor).unwrap_or_default();
            Ok::<_, PublishError>(pds::put_record(session, &place, &record, Swap::Absent).await)
        };
        let refused = |error: XrpcError| PublishError::Refused {
            uri: place.uri(),
            name: error.name().unwrap_or_default().to_owned(),
            reason: error.to_string(),
        };
        let points = 2 * PUT_POINTS + DELETE_POINTS;
        self.store()
            .spend(session.did(), Pool::Writes, points, now())
            .await?;
        put("atcomms doctor was here").await?.map_err(refused)?;
        let second = put("atcomms doctor was here, and wrote over its own word").await?;
        let deleted = pds::delete_record(session, &place, Swap::Any).await;
        let found = match second {
            Ok(_) => NullSwap::Ignored,
            Err(error) if error.name() == Some("InvalidSwap") => NullSwap::Honoured,
            Err(error) => return Err(refused(error)),
        };
        deleted.map_err(refused)?;
        Ok(found)
    }
}
