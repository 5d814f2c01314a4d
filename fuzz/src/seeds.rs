//! What the fuzzing begins with: frames out of the recorded firehose, and what is made of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use atcomms_repo::frame::{self, CommitFrame, Frame};

/// The recording with more kinds of frames, where the tests are given one.
const CORPUS: &str = "ATCOMMS_CORPUS";

/// Every so many of the recording's frames become seeds: enough to have each kind, few enough to be small.
const EVERY: usize = 97;

/// The largest seed, in bytes: larger ones are slow to change, and show nothing that smaller ones do not.
const MAX_SEED: usize = 20_000;

/// Frames of a recorded firehose.
#[derive(Debug)]
pub struct Recorded(Vec<Vec<u8>>);

impl Recorded {
    /// Some frames of the project's recording, and of the larger one if there is one.
    pub fn open() -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recording");
        let larger = std::env::var_os(CORPUS).map(PathBuf::from);
        let mut frames = Vec::new();
        for folder in std::iter::once(own).chain(larger) {
            let path = folder.join("frames.bin.zst");
            some_frames(&path, &mut frames)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        Self(frames)
    }

    /// The frames.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Those of commits.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (&[u8], CommitFrame<'_>)> {
        self.frames()
            .filter_map(|bytes| match frame::decode(bytes) {
                Ok(Frame::Commit(commit)) => Some((bytes, commit)),
                _ => None,
            })
    }
}

/// Every so-manieth frame of a recording, and all that are not commits.
fn some_frames(path: &Path, into: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut file =
        ruzstd::decoding::StreamingDecoder::new(File::open(path)?).map_err(io::Error::other)?;
    let mut length = [0; 4];
    let mut at = 0;
    while file.read(&mut length[..1])? == 1 {
        file.read_exact(&mut length[1..])?;
        let mut frame = vec![0; u32::from_le_bytes(length) as usize];
        file.read_exact(&mut frame)?;
        let is_commit = frame::peek(&frame).is_ok_and(|peek| peek.kind() == frame::Kind::Commit);
        if frame.len() <= MAX_SEED && (at % EVERY == 0 || (!is_commit && into.len() < EVERY)) {
            into.push(frame);
        }
        at += 1;
    }
    Ok(())
}

/// Bytes to drive a builder with: the same each time, of growing length.
pub(crate) fn drives(first: u8, count: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |seed| {
        let mut state = seed;
        let bytes = (0..64 << (seed % 5)).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        });
        std::iter::once(first).chain(bytes).collect()
    })
}

/// Puts a mode before what it is a mode for.
pub(crate) fn with_mode(mode: u8, bytes: &[u8]) -> Vec<u8> {
    [&[mode], bytes].concat()
}

/// Writes the seeds of all targets, a folder each.
///
/// # Errors
/// A file or a folder cannot be written.
pub fn write_seeds(into: &Path) -> io::Result<()> {
    let recorded = Recorded::open();
    for target in crate::TARGETS {
        let folder = into.join(target.name);
        fs::create_dir_all(&folder)?;
        let seeds = target.seeds(&recorded);
        for (at, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{at:04}")), seed)?;
        }
        println!("{}: {} seeds", target.name, seeds.len());
    }
    Ok(())
}
