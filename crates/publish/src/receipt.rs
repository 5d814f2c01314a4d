//! What a writer gets back.

use atcomms_lexicon::{AtUri, Cid, DecodeError, Map, Record, Tid, from_typed_map};

/// A record is in the repository, and the PDS has committed it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Where it is.
    pub uri: AtUri,
    /// What it is: computed here, and confirmed by the PDS.
    pub cid: Cid,
    /// The rev of the commit that wrote it. `None` where the PDS did not say: the answer was lost,
    /// or the same record was there already.
    pub rev: Option<Tid>,
}

/// A record is no longer in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// Where it was.
    pub uri: AtUri,
    /// The rev of the commit that deleted it. `None` where there was nothing to delete (any more).
    pub rev: Option<Tid>,
}

/// A record as it is in the repository now.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// Where it is.
    pub uri: AtUri,
    /// What it is; the value was hashed and agrees.
    pub cid: Cid,
    /// Its data, with `$type`.
    pub value: Map,
}

impl Stored {
    /// Reads it as a record of type `R`.
    ///
    /// # Errors
    /// [`DecodeError`] if it is another record, or breaks its lexicon.
    pub fn decode<R: Record>(&self) -> Result<R, DecodeError> {
        from_typed_map(self.value.clone())
    }
}
