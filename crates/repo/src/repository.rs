//! A whole repository in memory, for those who write one: the devnet, and tests.
//!
//! It keeps every record and the tree, makes signed commits with all that a frame carries, and
//! exports itself. No storage: load and export are how it outlives a process.

mod export;
mod write;

use std::collections::HashMap;

use atcomms_lexicon::{Did, Nsid, RecordKey, Tid};
use bytes::Bytes;
use cid::Cid;

pub use export::LoadError;
pub use write::{Applied, AppliedOp, Write, WriteError};

use crate::car::Block;
use crate::commit::{SignedCommit, UnsignedCommit};
use crate::key::SigningKey;
use crate::mst::Tree;
use crate::proof;

/// A repository with its signing key. Cloning copies the index of its blocks, not their bytes.
///
/// ```
/// use atcomms_repo::{Curve, Repository, SigningKey, TidClock, Write};
/// use atcomms_repo::frame::{self, Frame};
/// use atcomms_repo::verify::{Limits, verify_commit};
///
/// let key = SigningKey::generate(Curve::K256);
/// let mut clock = TidClock::new(0);
/// let now = 1_700_000_000_000_000;
/// let did = "did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse()?;
/// let (mut repository, first) = Repository::create(did, key.clone(), clock.next(now));
/// let applied = repository.apply(&[Write::Create {
///     collection: "com.example.note".parse()?,
///     rkey: "hello".parse()?,
///     record: vec![0xa0].into(),
/// }], clock.next(now))?;
///
/// let bytes = applied.frame(2, "2026-01-01T00:00:00.000Z");
/// let Frame::Commit(commit) = frame::decode(&bytes)? else { panic!("not a commit") };
/// let verified = verify_commit(&commit, &key.public(), now, &Limits::default())?;
/// assert_eq!(verified.ops()[0].record().unwrap()[..], [0xa0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Repository {
    key: SigningKey,
    head: SignedCommit,
    tree: Tree,
    records: HashMap<Cid, Stored>,
    /// The rev that each node of the tree is of.
    nodes: HashMap<Cid, Tid>,
}

/// A record's bytes, under however many paths.
#[derive(Debug, Clone)]
struct Stored {
    bytes: Bytes,
    since: Tid,
    paths: usize,
}

impl Repository {
    /// Makes an empty repository, and its first commit.
    #[must_use]
    pub fn create(did: Did, key: SigningKey, rev: Tid) -> (Self, Applied) {
        let tree = Tree::new();
        let head = UnsignedCommit {
            did,
            rev,
            data: tree.root_cid(),
        }
        .sign(&key);
        let nodes = tree.blocks();
        let applied = Applied {
            commit: head.clone(),
            since: None,
            prev_data: None,
            ops: Vec::new(),
            blocks: nodes.iter().chain([head.block()]).cloned().collect(),
        };
        let nodes = nodes.iter().map(|block| (block.cid, rev)).collect();
        (
            Self {
                key,
                head,
                tree,
                records: HashMap::new(),
                nodes,
            },
            applied,
        )
    }

    /// The account that the repository is of.
    #[must_use]
    pub fn did(&self) -> &Did {
        self.head.did()
    }

    /// The latest commit.
    #[must_use]
    pub fn head(&self) -> &SignedCommit {
        &self.head
    }

    /// The tree of the latest commit.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The key that signs.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs with another key from the next commit on.
    pub fn rotate_key(&mut self, key: SigningKey) {
        self.key = key;
    }

    /// A record with its CID.
    #[must_use]
    pub fn get(&self, collection: &Nsid, rkey: &RecordKey) -> Option<(Cid, &Bytes)> {
        let cid = self.tree.get(&path(collection, rkey)).ok()??;
        self.records.get(&cid).map(|stored| (cid, &stored.bytes))
    }

    /// The records of a collection, in the order of their keys.
    pub fn records(&self, collection: &Nsid) -> impl Iterator<Item = (RecordKey, Cid, &Bytes)> {
        let prefix = format!("{collection}/");
        let start = self.tree.entries_from(&prefix).filter_map(Result::ok);
        start.map_while(move |(path, cid)| {
            let rkey = path.strip_prefix(&prefix)?.parse().ok()?;
            Some((rkey, cid, &self.records.get(&cid)?.bytes))
        })
    }

    /// The collections that have records, in order.
    #[must_use]
    pub fn collections(&self) -> Vec<Nsid> {
        let mut collections: Vec<Nsid> = Vec::new();
        for (path, _) in self.tree.entries().filter_map(Result::ok) {
            let collection = path.split('/').next().unwrap_or_default();
            if collections
                .last()
                .is_none_or(|last| last.as_str() != collection)
            {
                collections.extend(collection.parse());
            }
        }
        collections
    }

    /// A CAR that proves a record to be there, or not to be: what `com.atproto.sync.getRecord` gives.
    #[must_use]
    pub fn record_proof(&self, collection: &Nsid, rkey: &RecordKey) -> Vec<u8> {
        let record = self.get(collection, rkey).map(|(cid, bytes)| Block {
            cid,
            bytes: bytes.clone(),
        });
        #[expect(
            clippy::expect_used,
            reason = "a repository's tree is whole: it was made here, or checked when loaded"
        )]
        proof::record_proof(&self.head, &self.tree, collection, rkey, record.as_ref())
            .expect("the tree is whole")
    }
}

fn path(collection: &Nsid, rkey: &RecordKey) -> String {
    format!("{collection}/{rkey}")
}
