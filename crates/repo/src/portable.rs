//! A proof to keep: one CAR from which a record can be checked when its repository, its server and its
//! author's key are gone.
//!
//! # The file
//!
//! A CAR of version 1 with two roots, and nothing but these blocks:
//!
//! - the signed commit, which is the **first root**: who reads the CARs of `com.atproto.sync.getRecord`
//!   reads this one;
//! - the nodes of the commit's tree on the way to the record;
//! - the record;
//! - the statement, which is the **second root**: which record is proven, and what its author's DID
//!   document said of the signing key. In DAG-CBOR, shown as JSON:
//!
//! ```json
//! {
//!   "proof": 1,
//!   "uri": "at://did:plc:…/agent.comms.message/3n2xcy7j2kl2o",
//!   "resolvedAt": "2026-01-31T12:00:00.000Z",
//!   "document": {
//!     "id": "did:plc:…",
//!     "alsoKnownAs": ["at://alice.example.com"],
//!     "verificationMethod": [{
//!       "id": "did:plc:…#atproto", "type": "Multikey", "controller": "did:plc:…", "publicKeyMultibase": "z…"
//!     }],
//!     "service": [{
//!       "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example.com"
//!     }]
//!   },
//!   "log": [{"type": "plc_operation", "prev": null, "sig": "…"}]
//! }
//! ```
//!
//! `document` is the DID document, as far as this protocol reads it, and `log` holds the operations of a
//! did:plc up to that document, as its directory lists them. `alsoKnownAs`, `service` and `log` may be absent;
//! what else the statement or the document holds is not read.
//!
//! # What it proves, and what it does not
//!
//! Who holds the key of the document signed a repository of that DID in which the record stood.
//!
//! That the key was the DID's, the `log` proves: a did:plc is the hash of its first operation, each operation
//! is signed by a rotation key of the one before, and the last names the key. What it cannot show is that the
//! owner took none of them back later, which the directory allows for 72 hours. Without a log (did:web has
//! none) it is the word of who made the proof: nobody signs a DID document, and a forger can put a key of his
//! own in it. [`PortableProof::is_key_proven`] tells the two apart.
//!
//! Neither does it prove when the commit was signed (the rev is the signer's own claim), nor that the record is
//! still there.

mod document;
mod error;
mod plc;
mod statement;

use atcomms_lexicon::{AtUri, Nsid, RecordKey, fault};
use bytes::Bytes;
use cid::Cid;

pub use document::KeyDocument;
pub use error::{PortableProofError, StatementError};
pub use plc::{PlcLog, PlcLogError};

use crate::car::{self, Block, Car};
use crate::key::VerifyingKey;
use crate::mst::Tree;
use crate::verify::{Limits, VerifiedHead, VerifyError};
use statement::Statement;

/// Beside the nodes on its way, a record needs its commit, itself and the statement.
const OTHER_BLOCKS: usize = 3;

/// A record that its author signed, with all that is needed to check that: there is none that was not
/// checked.
///
/// ```
/// use atcomms_repo::portable::{KeyDocument, PortableProof};
/// use atcomms_repo::verify::Limits;
/// use atcomms_repo::{Curve, Repository, SigningKey, TidClock, Write};
///
/// let key = SigningKey::generate(Curve::K256);
/// let (now, mut clock) = (1_700_000_000_000_000, TidClock::new(0));
/// let did: atcomms_lexicon::Did = "did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse()?;
/// let (mut repository, _) = Repository::create(did.clone(), key.clone(), clock.next(now));
/// let (collection, rkey) = ("com.example.note".parse()?, "hello".parse()?);
/// let write = Write::Create { collection, rkey, record: vec![0xa0].into() };
/// repository.apply(&[write], clock.next(now))?;
///
/// let (collection, rkey) = ("com.example.note".parse()?, "hello".parse()?);
/// let fetched = repository.record_proof(&collection, &rkey); // as com.atproto.sync.getRecord gives it
/// let document = KeyDocument::new(did, key.public(), "2026-01-31T12:00:00.000Z".parse()?);
/// let made = PortableProof::new(&fetched, &collection, &rkey, document, now, &Limits::default())?;
///
/// let checked = PortableProof::check(made.as_bytes(), now, &Limits::default())?; // years later, offline
/// assert_eq!(checked.uri().as_str(), "at://did:plc:zmwaxnesqhtu6sdgylzfwfdz/com.example.note/hello");
/// assert_eq!(checked.record(), &[0xa0][..]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortableProof {
    statement: Statement,
    head: VerifiedHead,
    cid: Cid,
    record: Bytes,
    bytes: Bytes,
}

impl PortableProof {
    /// Makes a proof out of a CAR that has the commit as its root and holds the record with its way: what
    /// `com.atproto.sync.getRecord` gives, and the blocks of the frame of a commit that wrote the record.
    ///
    /// # Errors
    /// [`PortableProofError`]; [`PortableProofError::Absent`] if the blocks prove that there is no such record.
    pub fn new(
        blocks: &[u8],
        collection: &Nsid,
        rkey: &RecordKey,
        document: KeyDocument,
        now_micros: u64,
        limits: &Limits,
    ) -> Result<Self, PortableProofError> {
        check_len(blocks, limits)?;
        let car = Car::read(blocks)?;
        let statement = Statement {
            collection: collection.clone(),
            rkey: rkey.clone(),
            document,
        };
        let found = Found::find(&car, &statement, now_micros, limits)?;
        let bytes = found.encode(&car, &statement)?;
        check_len(&bytes, limits)?;
        Ok(found.proof(statement, bytes.into()))
    }

    /// Checks a proof: every block's hash, the signature under the key of the document, the way from the
    /// signed root to the record, and that nothing else is in it.
    ///
    /// # Errors
    /// [`PortableProofError`].
    pub fn check(
        bytes: &[u8],
        now_micros: u64,
        limits: &Limits,
    ) -> Result<Self, PortableProofError> {
        check_len(bytes, limits)?;
        let car = Car::read(bytes)?;
        let [second] = car.more_roots() else {
            return Err(PortableProofError::NoStatement);
        };
        let block = car
            .get(second)
            .ok_or(PortableProofError::StatementMissing)?;
        let statement = Statement::read(block)?;
        let found = Found::find(&car, &statement, now_micros, limits)?;
        // All that is needed was found, so as many blocks as that are these.
        if car.len() != found.nodes.len() + OTHER_BLOCKS && !fault::on("proof-surplus") {
            return Err(PortableProofError::Surplus);
        }
        Ok(found.proof(statement, Bytes::copy_from_slice(bytes)))
    }

    /// The file.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where the record stood.
    #[must_use]
    pub fn uri(&self) -> AtUri {
        self.statement.uri()
    }

    /// The record's content, by hash.
    #[must_use]
    pub fn cid(&self) -> Cid {
        self.cid
    }

    /// The record (DAG-CBOR).
    #[must_use]
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The signed state of the repository in which the record stood: author, rev and commit. The record may
    /// have been written long before that rev.
    #[must_use]
    pub fn head(&self) -> &VerifiedHead {
        &self.head
    }

    /// The key that signed.
    #[must_use]
    pub fn key(&self) -> &VerifyingKey {
        &self.statement.document.key
    }

    /// Whether the DID itself vouches for the key, by the operations in [`KeyDocument::log`]; otherwise it is
    /// the word of who made the proof.
    #[must_use]
    pub fn is_key_proven(&self) -> bool {
        self.statement.document.log.is_some()
    }

    /// What the DID document said of the key, by the word of who made the proof.
    #[must_use]
    pub fn document(&self) -> &KeyDocument {
        &self.statement.document
    }
}

fn check_len(bytes: &[u8], limits: &Limits) -> Result<(), PortableProofError> {
    match bytes.len() {
        len if len > limits.blocks_len => Err(VerifyError::BlocksTooLarge {
            len,
            max: limits.blocks_len,
        }
        .into()),
        _ => Ok(()),
    }
}

/// The record in a CAR, and what leads to it from a signed commit.
struct Found {
    head: VerifiedHead,
    nodes: Vec<Block>,
    cid: Cid,
    record: Bytes,
}

impl Found {
    fn find(
        car: &Car<'_>,
        statement: &Statement,
        now_micros: u64,
        limits: &Limits,
    ) -> Result<Self, PortableProofError> {
        let KeyDocument { did, key, .. } = &statement.document;
        statement
            .document
            .check_log()
            .map_err(StatementError::from)?;
        let head = VerifiedHead::verify(car, did, key, now_micros, limits)?;
        let path = statement.path();
        let tree = Tree::load(head.data(), car).map_err(VerifyError::from)?;
        let Some(cid) = tree.get(&path).map_err(VerifyError::from)? else {
            return Err(PortableProofError::Absent {
                uri: Box::new(statement.uri()),
                rev: head.rev(),
            });
        };
        Ok(Self {
            nodes: tree.proof(&path).map_err(VerifyError::from)?,
            record: Bytes::copy_from_slice(limits.record(car, &cid, &path)?),
            head,
            cid,
        })
    }

    fn encode(&self, car: &Car<'_>, statement: &Statement) -> Result<Vec<u8>, PortableProofError> {
        let commit = self.head.commit();
        let bytes = car.get(&commit).ok_or(VerifyError::CommitMissing)?;
        let commit = Block {
            cid: commit,
            bytes: Bytes::copy_from_slice(bytes),
        };
        let record = Block {
            cid: self.cid,
            bytes: self.record.clone(),
        };
        let statement = Block::from_cbor(statement.to_cbor());
        let roots = [commit.cid, statement.cid];
        let blocks = std::iter::once(&commit).chain(&self.nodes);
        Ok(car::write_roots(
            &roots,
            blocks.chain([&record, &statement]),
        ))
    }

    fn proof(self, statement: Statement, bytes: Bytes) -> PortableProof {
        PortableProof {
            statement,
            head: self.head,
            cid: self.cid,
            record: self.record,
            bytes,
        }
    }
}
