//! The recorded firehose, and the stream that is made of it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use atcomms_devnet::Recording;
use atcomms_lexicon::Did;
use atcomms_repo::VerifyingKey;
use atcomms_repo::frame::{Kind, peek};
use bytes::Bytes;

/// Commits with more operations than this fill new accounts at the start of the recording, as no firehose does.
const FILLING: usize = 20;

/// Of so many frames one is of a repository that is followed.
const ONE_IN: usize = 100;

pub(crate) struct Corpus {
    pub(crate) frames: Vec<Bytes>,
    pub(crate) documents: HashMap<Did, serde_json::Value>,
}

/// Frames as a subscriber with a few peers meets them.
pub(crate) struct Stream {
    pub(crate) frames: Vec<Bytes>,
    pub(crate) followed: Vec<Did>,
    /// Operations of those that are followed.
    pub(crate) operations: usize,
    pub(crate) bytes: usize,
}

impl Corpus {
    pub(crate) fn read() -> Self {
        let folder = std::env::var_os("ATCOMMS_CORPUS").map_or_else(
            || {
                PathBuf::from(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../../tests/recording"
                ))
            },
            PathBuf::from,
        );
        let recording = Recording::read(folder).expect("a recording");
        Self {
            frames: recording.frames,
            documents: recording.documents,
        }
    }

    /// The commits of one operation, which is what a live firehose brings.
    pub(crate) fn live_commits(&self) -> impl Iterator<Item = &Bytes> {
        let is_live = |bytes: &&Bytes| {
            peek(bytes).is_ok_and(|peek| peek.kind() == Kind::Commit && peek.op_paths().len() == 1)
        };
        self.frames.iter().filter(is_live)
    }

    pub(crate) fn keys(&self) -> HashMap<String, VerifyingKey> {
        let keys = self.documents.iter().map(|(did, document)| {
            let method = &document["verificationMethod"][0];
            let text = |name: &str| method[name].as_str().expect("text").to_owned();
            let key = VerifyingKey::from_multibase(&text("type"), &text("publicKeyMultibase"));
            (did.to_string(), key.expect("a key"))
        });
        keys.collect()
    }

    /// Half of the accounts are followed, and each of their frames is there once, in order. The frames of
    /// the others stand between them, again and again, so that one frame in a hundred is in scope.
    pub(crate) fn stream(&self) -> Stream {
        let mut followed: Vec<Did> = self.documents.keys().cloned().collect();
        followed.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        followed.truncate(followed.len() / 2);
        let ours: HashSet<&str> = followed.iter().map(Did::as_str).collect();
        let (mut of_peers, mut of_others, mut operations) = (Vec::new(), Vec::new(), 0);
        for bytes in &self.frames {
            let Ok(peek) = peek(bytes) else { continue };
            let count = peek.op_paths().len();
            if count > FILLING {
                continue;
            }
            if peek.did().is_some_and(|did| ours.contains(did)) {
                of_peers.push(bytes.clone());
                operations += count;
            } else {
                of_others.push(bytes.clone());
            }
        }
        let mut others = of_others.iter().cycle();
        let mut frames = Vec::with_capacity(of_peers.len() * ONE_IN);
        for frame in of_peers {
            frames.extend(others.by_ref().take(ONE_IN - 1).cloned());
            frames.push(frame);
        }
        let bytes = frames.iter().map(|frame| frame.len()).sum();
        Stream {
            frames,
            followed,
            operations,
            bytes,
        }
    }
}
