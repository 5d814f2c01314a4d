//! Repositories from the frames of a log.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atcomms_lexicon::{Datetime, Did, Tid, Value};
use atcomms_repo::car::{self, Block, Car};
use atcomms_repo::frame::{CommitFrame, Frame, SyncFrame, decode};
use atcomms_repo::mst::Tree;
use atcomms_repo::repository::LoadError;
use atcomms_repo::{Cid, Repository, SignedCommit, SigningKey};
use bytes::Bytes;

use super::blobs::Blobs;
use super::record::{blobs_of, path};

/// What a log holds.
pub(super) struct Rebuilt {
    repositories: HashMap<Did, Repository>,
    /// What is known of each frame.
    stamps: Vec<Stamp>,
}

impl Rebuilt {
    /// The frames as the log takes them: of a deleted account only the last one, which says so.
    pub(super) fn events(
        &self,
        frames: &[Bytes],
        deleted: &HashSet<Did>,
    ) -> Vec<(Option<i64>, SystemTime, Bytes)> {
        let last: HashMap<&str, i64> = self
            .stamps
            .iter()
            .map(|stamp| (stamp.did.as_str(), stamp.seq))
            .collect();
        self.stamps
            .iter()
            .zip(frames)
            .filter(|(stamp, _)| {
                let gone = deleted.iter().any(|did| did.as_str() == stamp.did);
                !gone || last.get(stamp.did.as_str()) == Some(&stamp.seq)
            })
            .map(|(stamp, frame)| (Some(stamp.seq), stamp.at, frame.clone()))
            .collect()
    }

    /// The newest rev of all repositories.
    pub(super) fn last_rev(&self) -> Option<Tid> {
        self.repositories
            .values()
            .map(|repository| repository.head().rev())
            .max()
    }

    pub(super) fn into_repositories(self) -> HashMap<Did, Repository> {
        self.repositories
    }
}

/// Whose frame it is, its number, and its time.
struct Stamp {
    did: String,
    seq: i64,
    at: SystemTime,
}

/// One repository on the way: its latest commit, and every block that it ever had.
struct Half {
    head: Cid,
    blocks: HashMap<Cid, Bytes>,
}

/// Rebuilds every repository whose keys are known, the present one first, and checks all of it. `snapshot`
/// gives a repository that did not come out of these frames, by its commit.
pub(super) fn rebuild(
    frames: &[Bytes],
    keys: impl Fn(&Did) -> Vec<SigningKey>,
    snapshot: impl Fn(&Cid) -> Option<Bytes>,
) -> Result<Rebuilt, String> {
    let mut halves: HashMap<Did, Half> = HashMap::new();
    let mut stamps = Vec::with_capacity(frames.len());
    for (index, bytes) in frames.iter().enumerate() {
        let at = |error: &dyn std::fmt::Display| format!("frame {}: {error}", index + 1);
        let frame = decode(bytes).map_err(|error| at(&error))?;
        let (did, time) = match &frame {
            Frame::Commit(frame) => (frame.repo, frame.time),
            Frame::Sync(frame) => (frame.did, frame.time),
            Frame::Identity(frame) => (frame.did, frame.time),
            Frame::Account(frame) => (frame.did, frame.time),
            _ => return Err(at(&"not an event of a PDS")),
        };
        let time: Datetime = time.parse().map_err(|error| at(&error))?;
        stamps.push(Stamp {
            did: did.to_owned(),
            seq: frame.seq().unwrap_or(0),
            at: system_time(&time),
        });
        match &frame {
            Frame::Commit(commit) => take_blocks(&mut halves, commit, bytes),
            Frame::Sync(sync) => take_snapshot(&mut halves, sync, &snapshot),
            _ => Ok(()),
        }
        .map_err(|error| at(&error))?;
    }
    let mut repositories = HashMap::new();
    for (did, half) in halves {
        let keys = keys(&did);
        let Some(present) = keys.first() else {
            continue;
        };
        let mut repository = half
            .whole(&keys)
            .map_err(|error| format!("{did}: {error}"))?;
        repository.rotate_key(present.clone());
        repositories.insert(did, repository);
    }
    Ok(Rebuilt {
        repositories,
        stamps,
    })
}

/// Notes which records hold which blobs.
pub(super) fn hold_blobs(repository: &Repository, blobs: &mut Blobs) {
    let rev = repository.head().rev();
    for collection in repository.collections() {
        for (rkey, _, cbor) in repository.records(&collection) {
            let held = match Value::from_cbor(cbor) {
                Ok(Value::Map(fields)) => blobs_of(&fields).unwrap_or_default(),
                _ => continue,
            };
            blobs.hold(&[(path(&collection, &rkey), held)], rev);
        }
    }
}

fn take_blocks(
    halves: &mut HashMap<Did, Half>,
    commit: &CommitFrame<'_>,
    bytes: &Bytes,
) -> Result<(), Box<dyn std::error::Error>> {
    let car = Car::read(commit.blocks)?;
    let half = halves.entry(commit.repo.parse()?).or_insert_with(|| Half {
        head: commit.commit,
        blocks: HashMap::new(),
    });
    half.head = commit.commit;
    half.blocks.extend(
        car.blocks()
            .map(|(cid, block)| (cid, bytes.slice_ref(block))),
    );
    Ok(())
}

/// Takes up a repository whose `#sync` names another commit than the events before it.
fn take_snapshot(
    halves: &mut HashMap<Did, Half>,
    sync: &SyncFrame<'_>,
    snapshot: impl Fn(&Cid) -> Option<Bytes>,
) -> Result<(), Box<dyn std::error::Error>> {
    let head = Car::read(sync.blocks)?.root();
    let did: Did = sync.did.parse()?;
    if halves.get(&did).is_some_and(|half| half.head == head) {
        return Ok(());
    }
    let blocks = match snapshot(&head) {
        Some(bytes) => Car::read(&bytes)?
            .blocks()
            .map(|(cid, block)| (cid, bytes.slice_ref(block)))
            .collect(),
        // An error only if the repository is still somebody's.
        None => HashMap::new(),
    };
    halves.insert(did, Half { head, blocks });
    Ok(())
}

impl Half {
    /// The repository, signed with one of the keys.
    fn whole(&self, keys: &[SigningKey]) -> Result<Repository, Box<dyn std::error::Error>> {
        let find = |cid: &Cid| -> Result<Block, String> {
            let bytes = self.blocks.get(cid).cloned();
            let bytes = bytes.ok_or_else(|| format!("block {cid} is missing"))?;
            Ok(Block { cid: *cid, bytes })
        };
        let commit = find(&self.head)?;
        let tree = Tree::load(
            SignedCommit::decode(commit.bytes.clone())?.data(),
            &self.blocks,
        )?;
        let mut blocks = vec![commit];
        blocks.extend(tree.blocks());
        for entry in tree.entries() {
            blocks.push(find(&entry?.1)?);
        }
        let car = car::write(&self.head, &blocks);
        let mut error = None;
        for key in keys {
            match Repository::load(&car, key.clone()) {
                Err(why @ LoadError::Signature(_)) => error = Some(why),
                loaded => return Ok(loaded?),
            }
        }
        Err(error.map_or_else(|| "no key".into(), Into::into))
    }
}

fn system_time(time: &Datetime) -> SystemTime {
    let millis = u64::try_from(time.unix_millis()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_millis(millis)
}
