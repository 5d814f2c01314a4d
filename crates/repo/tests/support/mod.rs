//! A recorded firehose: its frames, and the keys and documents of its accounts.
//!
//! `frames.bin.zst` is zstd over frames, each a little-endian `u32` length and its bytes; `dids.json` maps each DID
//! to `signingKey`, `handle` and `didDoc`.

#![allow(dead_code, reason = "each test binary uses what it needs")]

pub(crate) mod replay;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use atcomms_repo::VerifyingKey;

pub(crate) struct Recording {
    bytes: Vec<u8>,
    pub(crate) keys: HashMap<String, VerifyingKey>,
}

impl Recording {
    /// The recording that is committed with the project.
    pub(crate) fn committed() -> Self {
        Self::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recording"))
    }

    pub(crate) fn read(folder: &Path) -> Self {
        let open = |name| {
            let path = folder.join(name);
            std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        let mut bytes = Vec::new();
        ruzstd::decoding::StreamingDecoder::new(open("frames.bin.zst"))
            .expect("frames.bin.zst is zstd")
            .read_to_end(&mut bytes)
            .expect("frames.bin.zst is whole");
        let dids: serde_json::Value =
            serde_json::from_reader(open("dids.json")).expect("dids.json is JSON");
        let keys = dids
            .as_object()
            .expect("dids.json is an object")
            .iter()
            .map(|(did, entry)| {
                let key = entry["signingKey"].as_str().expect("signingKey is text");
                let key = VerifyingKey::from_did_key(key).unwrap_or_else(|e| panic!("{did}: {e}"));
                let method = &entry["didDoc"]["verificationMethod"][0];
                let text = |name: &str| method[name].as_str().unwrap_or_default().to_owned();
                let from_document =
                    VerifyingKey::from_multibase(&text("type"), &text("publicKeyMultibase"));
                assert_eq!(
                    from_document.as_ref(),
                    Ok(&key),
                    "the key of {did}'s document"
                );
                (did.clone(), key)
            });
        Self {
            keys: keys.collect(),
            bytes,
        }
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<4>()?;
            let (frame, after) = after.split_at(u32::from_le_bytes(*len) as usize);
            rest = after;
            Some(frame)
        })
    }
}

/// A folder of outside data. Tests that call this are ignored when the variable is not set.
pub(crate) fn folder(variable: &str) -> PathBuf {
    PathBuf::from(
        std::env::var_os(variable).unwrap_or_else(|| {
            panic!("{variable} was set when this test was built, and is not now")
        }),
    )
}

/// A small generator of numbers, so that a failure is a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
