//! A repository of which everything is known, made of arbitrary bytes: what is genuine, to be told from what is not.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use atcomms_lexicon::{Cid, Did};
use atcomms_repo::repository::Applied;
use atcomms_repo::{Curve, Repository, SigningKey, TidClock, Write};
use bytes::Bytes;

/// When all of it happens, in microseconds since 1970.
pub(crate) const NOW: u64 = 1_700_000_000_000_000;

/// The most commits, and the most writes of one: enough for a tree of some levels, and for much fuzzing a second.
const MAX_COMMITS: usize = 4;
const MAX_WRITES: usize = 24;

const COLLECTIONS: [&str; 3] = [
    "agent.comms.message",
    "agent.comms.request",
    "com.example.note",
];

/// The key that signs everything genuine.
pub(crate) static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_bytes(Curve::K256, &[7; 32]).expect("a scalar of the curve"));

/// Whose repository it is.
pub(crate) static DID: LazyLock<Did> =
    LazyLock::new(|| "did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse().expect("a DID"));

/// What is done to a repository.
#[derive(Arbitrary, Debug)]
pub(crate) struct Story {
    commits: Vec<Vec<Step>>,
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Step {
    place: Place,
    record: u8,
    /// If there is a record already.
    delete: bool,
}

/// Where a record is, or could be.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) struct Place {
    collection: u8,
    rkey: u8,
}

impl Place {
    pub(crate) fn collection(self) -> atcomms_lexicon::Nsid {
        let at = usize::from(self.collection) % COLLECTIONS.len();
        COLLECTIONS[at].parse().expect("an NSID")
    }

    pub(crate) fn rkey(self) -> atcomms_lexicon::RecordKey {
        // Some share their beginning, and some do not.
        format!("{:x}{}", self.rkey / 16, self.rkey)
            .parse()
            .expect("a record key")
    }

    pub(crate) fn path(self) -> String {
        format!("{}/{}", self.collection(), self.rkey())
    }
}

/// What is in a repository: path, CID and bytes.
pub(crate) type Content = BTreeMap<String, (Cid, Bytes)>;

/// A story that has happened.
pub(crate) struct Told {
    pub(crate) repository: Repository,
    /// The last commit.
    pub(crate) last: Applied,
    /// What was in it before the last commit, and after.
    pub(crate) before: Content,
    pub(crate) after: Content,
}

impl Story {
    pub(crate) fn tell(&self) -> Told {
        let mut clock = TidClock::new(0);
        let (mut repository, mut last) =
            Repository::create(DID.clone(), KEY.clone(), clock.next(NOW));
        let (mut before, mut after) = (Content::new(), Content::new());
        for steps in self.commits.iter().take(MAX_COMMITS) {
            before = after.clone();
            let mut writes = Vec::new();
            let mut paths = std::collections::HashSet::new();
            for step in steps.iter().take(MAX_WRITES) {
                if paths.insert(step.place.path()) {
                    writes.push(step.write(&mut after));
                }
            }
            last = repository
                .apply(&writes, clock.next(NOW))
                .expect("the writes fit to what is there");
        }
        Told {
            repository,
            last,
            before,
            after,
        }
    }
}

impl Step {
    fn write(&self, content: &mut Content) -> Write {
        let (collection, rkey, path) = (
            self.place.collection(),
            self.place.rkey(),
            self.place.path(),
        );
        // {"n": …}
        let record = Bytes::copy_from_slice(&[0xa1, 0x61, b'n', self.record % 24]);
        if self.delete && content.remove(&path).is_some() {
            return Write::Delete { collection, rkey };
        }
        match content.insert(
            path,
            (atcomms_lexicon::cid_for_cbor(&record), record.clone()),
        ) {
            Some(_) => Write::Update {
                collection,
                rkey,
                record,
            },
            None => Write::Create {
                collection,
                rkey,
                record,
            },
        }
    }
}

/// Damage to some bytes.
#[derive(Arbitrary, Debug)]
pub(crate) enum Damage {
    Flip { at: u16, bits: u8 },
    Cut { at: u16 },
    Take { at: u16 },
    Put { at: u16, byte: u8 },
}

impl Damage {
    pub(crate) fn inflict(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        let place = |at: u16| usize::from(at) % len;
        match *self {
            Damage::Flip { at, bits } => bytes[place(at)] ^= bits,
            Damage::Cut { at } => bytes.truncate(place(at)),
            Damage::Take { at } => drop(bytes.remove(place(at))),
            Damage::Put { at, byte } => bytes.insert(place(at), byte),
        }
    }
}
