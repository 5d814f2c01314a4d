//! A recorded firehose in a folder.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use atcomms_lexicon::Did;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::RecordingError;
use crate::firehose::split_frames;

/// A recorded firehose: its frames in order, and the DID documents of the accounts in it.
///
/// The folder holds `frames.bin` (a u32 little-endian length, the frame's bytes; repeated) or the same
/// packed as `frames.bin.zst`, and `dids.json` (each DID with its document as `didDoc`). A PDS's
/// `events.bin` in a devnet's data folder has the same format as `frames.bin`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// The frames. They share one buffer.
    pub frames: Vec<Bytes>,
    /// The documents.
    pub documents: HashMap<Did, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    did_doc: Value,
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// [`RecordingError`] with the file, if one is missing or is not what it should be.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let folder = folder.as_ref();
        let path = folder.join("dids.json");
        let known: HashMap<Did, Known> =
            serde_json::from_slice(&read(&path)?).map_err(|error| format(&path, error))?;
        Ok(Self {
            frames: read_frames(folder)?,
            documents: known
                .into_iter()
                .map(|(did, known)| (did, known.did_doc))
                .collect(),
        })
    }
}

fn read_frames(folder: &Path) -> Result<Vec<Bytes>, RecordingError> {
    let plain = folder.join("frames.bin");
    let packed = folder.join("frames.bin.zst");
    let (path, bytes) = if plain.exists() {
        let bytes = read(&plain)?;
        (plain, bytes)
    } else {
        let bytes = unpack(&packed)?;
        (packed, bytes)
    };
    let (frames, rest) = split_frames(Bytes::from(bytes));
    if !rest.is_empty() {
        let reason = format!(
            "{} bytes at its end are less than a whole frame",
            rest.len()
        );
        return Err(RecordingError::Format { path, reason });
    }
    Ok(frames)
}

fn unpack(path: &PathBuf) -> Result<Vec<u8>, RecordingError> {
    let file = File::open(path).map_err(|source| failed(path, source))?;
    let mut decoder =
        ruzstd::decoding::StreamingDecoder::new(file).map_err(|error| format(path, error))?;
    let mut bytes = Vec::new();
    decoder
        .read_to_end(&mut bytes)
        .map_err(|error| format(path, error))?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<Vec<u8>, RecordingError> {
    std::fs::read(path).map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: std::io::Error) -> RecordingError {
    RecordingError::Read {
        path: path.to_owned(),
        source,
    }
}

fn format(path: &Path, reason: impl std::fmt::Display) -> RecordingError {
    RecordingError::Format {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(frames: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("frames.bin"), frames).unwrap();
        let dids =
            r#"{"did:plc:abcdefghijklmnopqrstuvwx": {"handle": "a.test", "didDoc": {"id": "x"}}}"#;
        std::fs::write(folder.path().join("dids.json"), dids).unwrap();
        folder
    }

    #[test]
    fn frames_and_documents_are_read() {
        let folder = folder(b"\x03\0\0\0one\x02\0\0\0tw");
        let recording = Recording::read(&folder).unwrap();
        assert_eq!(recording.frames, ["one", "tw"]);
        assert_eq!(recording.documents.len(), 1);
    }

    #[test]
    fn what_is_missing_or_cut_short_is_an_error_that_names_the_file() {
        let torn = Recording::read(folder(b"\x03\0\0\0on")).unwrap_err();
        assert!(torn.to_string().contains("frames.bin"), "{torn}");
        let missing = Recording::read("/nonexistent").unwrap_err();
        assert!(missing.to_string().contains("dids.json"), "{missing}");
    }
}
