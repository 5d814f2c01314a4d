//! Repositories from the frames of a log.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atcomms_lexicon::{Datetime, Did, Tid, Value};
use atcomms_repo::car::{self, Block, Car};
use atcomms_repo::frame::{CommitFrame, Frame, decode};
use atcomms_repo::mst::Tree;
use atcomms_repo::{Cid, Repository, SignedCommit, SigningKey};
use bytes::Bytes;

use super::blobs::Blobs;
use super::record::{blobs_of, path};

/// What a log holds.
pub(super) struct Rebuilt {
    repositories: HashMap<Did, Repository>,
    /// The number and the time of each frame.
    stamps: Vec<(i64, SystemTime)>,
}

impl Rebuilt {
    /// The frames as the log takes them.
    pub(super) fn events(&self, frames: &[Bytes]) -> Vec<(Option<i64>, SystemTime, Bytes)> {
        self.stamps
            .iter()
            .zip(frames)
            .map(|((seq, at), frame)| (Some(*seq), *at, frame.clone()))
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

/// One repository on the way: its latest commit, and every block that it ever had.
struct Half {
    head: Cid,
    blocks: HashMap<Cid, Bytes>,
}

/// Rebuilds every repository whose key is known, and checks all of it.
pub(super) fn rebuild(
    frames: &[Bytes],
    key: impl Fn(&Did) -> Option<SigningKey>,
) -> Result<Rebuilt, String> {
    let mut halves: HashMap<Did, Half> = HashMap::new();
    let mut stamps = Vec::with_capacity(frames.len());
    for (index, bytes) in frames.iter().enumerate() {
        let at = |error: &dyn std::fmt::Display| format!("frame {}: {error}", index + 1);
        let frame = decode(bytes).map_err(|error| at(&error))?;
        let time = match &frame {
            Frame::Commit(frame) => frame.time,
            Frame::Sync(frame) => frame.time,
            Frame::Identity(frame) => frame.time,
            Frame::Account(frame) => frame.time,
            _ => return Err(at(&"not an event of a PDS")),
        };
        let time: Datetime = time.parse().map_err(|error| at(&error))?;
        stamps.push((frame.seq().unwrap_or(0), system_time(&time)));
        if let Frame::Commit(commit) = frame {
            take_blocks(&mut halves, &commit, bytes).map_err(|error| at(&error))?;
        }
    }
    let mut repositories = HashMap::new();
    for (did, half) in halves {
        let Some(key) = key(&did) else { continue };
        let repository = half.whole(key).map_err(|error| format!("{did}: {error}"))?;
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

impl Half {
    fn whole(&self, key: SigningKey) -> Result<Repository, Box<dyn std::error::Error>> {
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
        Ok(Repository::load(&car::write(&self.head, &blocks), key)?)
    }
}

fn system_time(time: &Datetime) -> SystemTime {
    let millis = u64::try_from(time.unix_millis()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_millis(millis)
}
