//! A PDS's folder: secrets, what it knows of accounts (`accounts.jsonl`), the firehose (`events.bin`), blobs.
//!
//! The firehose is the database: repositories are rebuilt from its frames. Without a folder, all of it is
//! in memory and gone with the process.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use atcomms_lexicon::{BlobRef, Did};
use atcomms_repo::{Curve, SigningKey, TidClock};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::account::{Account, Content};
use super::profile::Profile;
use super::rebuild::{Rebuilt, hold_blobs, rebuild};
use super::registry::Registry;
use super::snapshot::read_snapshot;
use super::{Limits, State};
use crate::faults::Faults;
use crate::firehose::{EventLog, FrameFile, Stream, StreamLimits};
use crate::journal::Journal;
use crate::net::Tasks;
use crate::plc::Directory;
use crate::rate_limit::Budget;
use crate::session::{RefreshToken, RefreshTokens, TokenKey, new_token_id};
use crate::{RateLimits, StartError};

/// A line of `accounts.jsonl`. The last one about something counts.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(super) enum Line {
    Account(Profile),
    Token(RefreshToken),
    TokenRevoked {
        id: String,
    },
    #[serde(rename_all = "camelCase")]
    SessionsRevoked {
        did: Did,
        counts_from: u64,
    },
    Blob {
        did: Did,
        blob: BlobRef,
    },
    Deleted {
        did: Did,
    },
}

/// What a PDS is opened with.
pub(crate) struct Setup {
    pub(crate) url: String,
    pub(crate) plc: Arc<Directory>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) stream_limits: StreamLimits,
    pub(crate) rate_limits: Option<RateLimits>,
    pub(crate) tasks: Tasks,
    pub(crate) stop: watch::Receiver<bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secrets {
    jwt_secret: String,
    /// K-256, in hexadecimal.
    rotation_key: String,
}

/// Opens a PDS: a new one, or the one that is in the folder.
pub(crate) fn open(setup: Setup) -> Result<Arc<State>, StartError> {
    let folder = setup.folder.as_deref();
    let (journal, lines) = match folder {
        None => (Journal::in_memory(), Vec::new()),
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
            Journal::open(folder.join("accounts.jsonl"))?
        }
    };
    let (file, frames) = match folder {
        None => (None, Vec::new()),
        Some(folder) => {
            let path = folder.join("events.bin");
            let (file, frames) = FrameFile::open(&path).map_err(|error| failed(&path, error))?;
            (Some(file), frames)
        }
    };
    let secrets = secrets(folder)?;
    let rotation_key = signing_key(&secrets.rotation_key)
        .ok_or_else(|| corrupt(folder, "secrets.json", "rotationKey is not a K-256 key"))?;
    let mut known = Known::read(lines);
    let snapshots = folder.map(|folder| folder.join("snapshots"));
    let rebuilt = rebuild(
        &frames,
        |did| known.keys(did),
        |commit| read_snapshot(snapshots.as_deref()?, commit),
    )
    .map_err(|reason| corrupt(folder, "events.bin", &reason))?;
    // Ten bits that keep this process's TIDs apart from another's.
    let mut clock = TidClock::new(rand::random::<u16>());
    if let Some(rev) = rebuilt.last_rev() {
        clock.advance_past(rev);
    }
    let faults = Arc::new(Faults::new());
    let events = rebuilt.events(&frames, &known.deleted);
    let state = State {
        url: setup.url,
        plc: setup.plc,
        limits: Limits::default(),
        rotation_key,
        tokens: TokenKey::new(&secrets.jwt_secret),
        budget: setup.rate_limits.as_ref().map(Budget::new),
        refresh: Mutex::new(std::mem::take(&mut known.tokens)),
        registry: RwLock::default(),
        journal: Mutex::new(journal),
        clock: Mutex::new(clock),
        blobs: folder.map(|folder| folder.join("blobs")),
        snapshots,
        unwritable: AtomicBool::new(false),
        stream: Arc::new(Stream {
            log: Arc::new(EventLog::new(events, file, Some(faults.clone()))),
            limits: setup.stream_limits,
            faults,
            tasks: setup.tasks,
            stop: setup.stop,
        }),
    };
    *state.registry_mut() = state.take_up(known, rebuilt);
    state
        .move_here()
        .map_err(|error| corrupt(folder, "accounts.jsonl", &error.message))?;
    Ok(Arc::new(state))
}

impl State {
    /// The accounts that the folder knows, with their repositories.
    fn take_up(&self, known: Known, rebuilt: Rebuilt) -> Registry {
        let mut registry = Registry::default();
        let mut repositories = rebuilt.into_repositories();
        for (did, profile) in known.profiles {
            let Some(repository) = repositories.remove(&did) else {
                // Its creation was never answered: the process ended before its first commit was written.
                tracing::warn!(%did, "left out an account without a repository");
                continue;
            };
            let mut blobs = self.blobs_of(&did);
            hold_blobs(&repository, &mut blobs);
            for blob in known.blobs.get(&did).into_iter().flatten() {
                blobs.restore(blob);
            }
            let mut content = Content::new(repository, blobs);
            content.closed = profile.moved;
            registry.add(Account::new(profile, content).into());
        }
        registry
    }
}

/// What `accounts.jsonl` says in the end.
#[derive(Default)]
struct Known {
    profiles: HashMap<Did, Profile>,
    tokens: RefreshTokens,
    blobs: HashMap<Did, Vec<BlobRef>>,
    deleted: HashSet<Did>,
}

impl Known {
    /// The keys that an account's repository may be signed with, the present one first.
    fn keys(&self, did: &Did) -> Vec<SigningKey> {
        let Some(profile) = self.profiles.get(did) else {
            return Vec::new();
        };
        let former = profile.former_keys.iter().rev();
        let keys = std::iter::once(&profile.signing_key).chain(former);
        keys.filter_map(|key| signing_key(key)).collect()
    }

    fn read(lines: Vec<Line>) -> Self {
        let mut known = Self::default();
        for line in lines {
            match line {
                Line::Account(profile) => {
                    known.deleted.remove(&profile.did);
                    known.profiles.insert(profile.did.clone(), profile);
                }
                Line::Token(token) => {
                    known.tokens.put(token);
                }
                Line::TokenRevoked { id } => {
                    known.tokens.revoke(&id);
                }
                Line::SessionsRevoked { did, counts_from } => {
                    known.tokens.revoke_all(did.as_str(), counts_from);
                }
                Line::Deleted { did } => {
                    known.profiles.remove(&did);
                    known.blobs.remove(&did);
                    known.deleted.insert(did);
                }
                Line::Blob { did, blob } => known.blobs.entry(did).or_default().push(blob),
            }
        }
        known
    }
}

fn secrets(folder: Option<&Path>) -> Result<Secrets, StartError> {
    let path = folder.map(|folder| folder.join("secrets.json"));
    if let Some(path) = path.as_ref().filter(|path| path.exists()) {
        let bytes = std::fs::read(path).map_err(|error| failed(path, error))?;
        return serde_json::from_slice(&bytes).map_err(|error| StartError::Corrupt {
            path: path.clone(),
            reason: error.to_string(),
        });
    }
    let key = SigningKey::generate(Curve::K256);
    let secrets = Secrets {
        jwt_secret: new_token_id(),
        rotation_key: HEXLOWER.encode(&key.to_bytes()),
    };
    if let Some(path) = path {
        crate::journal::write_whole(&path, &secrets)?;
    }
    Ok(secrets)
}

/// A K-256 key from hexadecimal.
fn signing_key(hex: &str) -> Option<SigningKey> {
    SigningKey::from_bytes(Curve::K256, &HEXLOWER.decode(hex.as_bytes()).ok()?).ok()
}

fn failed(path: &Path, source: std::io::Error) -> StartError {
    StartError::Data {
        path: path.to_owned(),
        source,
    }
}

fn corrupt(folder: Option<&Path>, file: &str, reason: &str) -> StartError {
    StartError::Corrupt {
        path: folder.unwrap_or(Path::new("")).join(file),
        reason: reason.to_owned(),
    }
}
