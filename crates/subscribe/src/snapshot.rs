//! A followed repository as its PDS gives it: the records in scope, at one signed commit. What was known of it
//! before is compared with it, and only the difference is delivered.

use std::collections::BTreeMap;
use std::sync::Arc;

use atcomms_lexicon::{Cid, Nsid, RecordKey};
use atcomms_repo::VerifyingKey;
use atcomms_repo::verify::Head;
use bytes::Bytes;

/// Where a record is in its repository. In the order of the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Path {
    pub(crate) collection: Nsid,
    pub(crate) rkey: RecordKey,
}

/// The records in scope of a repository that are known, by their CIDs.
pub(crate) type KnownRecords = BTreeMap<Path, Cid>;

/// What a repository holds, verified.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The state that is signed.
    pub(crate) head: Head,
    /// The commit, by hash.
    pub(crate) commit: Cid,
    /// The key that signed.
    pub(crate) key: VerifyingKey,
    /// The PDS that it came from.
    pub(crate) host: Arc<str>,
    /// All records in scope; each hashes to its CID.
    pub(crate) records: BTreeMap<Path, (Cid, Bytes)>,
}

impl Snapshot {
    /// Whether it has the bytes of each record that is not as it is known. Of a large repository, what was
    /// known when it was read comes without.
    pub(crate) fn tells_all_but(&self, known: &KnownRecords) -> bool {
        let mut records = self.records.iter();
        records.all(|(path, (cid, bytes))| !bytes.is_empty() || known.get(path) == Some(cid))
    }
}

/// Why a repository could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchFailure {
    /// It may be there next time.
    ForNow(String),
    /// Its PDS says that it is not served: deactivated, taken down, deleted or unknown.
    NotServed(String),
}
