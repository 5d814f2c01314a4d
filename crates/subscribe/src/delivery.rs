//! What a subscriber receives: one operation of one verified commit, with all that is known of it.

use std::sync::Arc;

use atcomms_lexicon::{AtUri, Cid, Did, Map, Nsid, Record, RecordKey, Tid, decode};
use atcomms_repo::frame::Action;
use bytes::Bytes;

use crate::trust::{Continuity, Trust};

/// One create, update or delete of one record, once.
///
/// `T` is what the record is read as: [`Map`] as it comes, or a [`Record`] type after
/// [`Delivery::decode`] or [`Subscription::typed`](crate::Subscription::typed).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Delivery<T = Map> {
    /// Where the record is (or was).
    pub uri: AtUri,
    /// The record's content, by hash; `None` for a delete.
    pub cid: Option<Cid>,
    /// The revision of the repository that this operation made.
    pub rev: Tid,
    /// The signed commit, by hash; `None` if the source names none, as a Jetstream. Of what was raised by a
    /// proof, the commit of the proof, which may be a later one than that of the operation.
    pub commit: Option<Cid>,
    /// Who wrote it: the repository whose key signed the commit (P6).
    pub author: Did,
    /// The record's collection.
    pub collection: Nsid,
    /// The record's key.
    pub rkey: RecordKey,
    /// What was done.
    pub action: Action,
    /// Why it can be believed.
    pub trust: Trust,
    /// Whether the repository's earlier commits were seen, too.
    pub continuity: Continuity,
    /// Whether it came as an event of the stream, and not out of a resync.
    pub live: bool,
    /// The record; `None` for a delete.
    pub record: Option<T>,
    /// The host that it came from.
    pub source: Arc<str>,
    /// Its sequence number there; at a Jetstream its time, in microseconds since 1970.
    pub seq: i64,
    pub(crate) bytes: Option<Bytes>,
}

impl<T> Delivery<T> {
    /// The record's bytes (DAG-CBOR) as they were signed; `None` for a delete.
    pub fn bytes(&self) -> Option<&Bytes> {
        self.bytes.as_ref()
    }

    fn with_record<U>(self, record: Option<U>) -> Delivery<U> {
        Delivery {
            uri: self.uri,
            cid: self.cid,
            rev: self.rev,
            commit: self.commit,
            author: self.author,
            collection: self.collection,
            rkey: self.rkey,
            action: self.action,
            trust: self.trust,
            continuity: self.continuity,
            live: self.live,
            record,
            source: self.source,
            seq: self.seq,
            bytes: self.bytes,
        }
    }
}

impl Delivery {
    /// Reads the record as a `T`; a delete has none and stays one.
    ///
    /// # Errors
    /// The record is not a `T`, or outside of its limits.
    #[expect(clippy::result_large_err, reason = "a delivery is larger still")]
    pub fn decode<T: Record>(self) -> Result<Delivery<T>, Undecodable> {
        let record = match self.bytes.as_deref().map(decode::<T>).transpose() {
            Ok(record) => record,
            Err(error) => {
                let reason = format!("it is not a valid {}: {error}", T::NSID);
                return Err(Undecodable {
                    uri: self.uri,
                    cid: self.cid,
                    action: self.action,
                    rev: self.rev,
                    commit: self.commit,
                    author: self.author,
                    live: self.live,
                    reason,
                    bytes: self.bytes.unwrap_or_default(),
                    source: self.source,
                    seq: self.seq,
                });
            }
        };
        Ok(self.with_record(record))
    }
}

/// A record that somebody signed and that cannot be read (P7): a value, not the end of the stream.
/// It carries no [`Trust`], since nothing that it says was understood.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{uri} cannot be read: {reason}")]
#[non_exhaustive]
pub struct Undecodable {
    /// Where the record is.
    pub uri: AtUri,
    /// Its content, by hash.
    pub cid: Option<Cid>,
    /// What was done.
    pub action: Action,
    /// The revision that brought it.
    pub rev: Tid,
    /// The signed commit, by hash; `None` if the source names none, as a Jetstream.
    pub commit: Option<Cid>,
    /// Whose repository it is in.
    pub author: Did,
    /// Whether it came as an event of the stream, and not out of a resync.
    pub live: bool,
    /// What is wrong with it.
    pub reason: String,
    /// The record as it was signed; empty if the source does not say it, as a Jetstream.
    pub bytes: Bytes,
    /// The host that it came from.
    pub r#source: Arc<str>,
    /// Its sequence number there.
    pub seq: i64,
}
