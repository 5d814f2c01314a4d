//! The blobs of one repository: uploaded, then held by the records that refer to them, then gone.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

use atcomms_lexicon::{BlobRef, Cid, Tid};
use bytes::Bytes;

use crate::xrpc::XrpcError;

/// A repository's blobs, in memory or in a folder with a file for each.
pub(super) struct Blobs {
    folder: Option<PathBuf>,
    stored: HashMap<Cid, Stored>,
    /// The records that refer to each blob, by path, with the rev since which they do.
    holders: BTreeMap<Cid, BTreeMap<String, Tid>>,
    /// The blobs of each record.
    held: HashMap<String, Vec<Cid>>,
}

struct Stored {
    mime_type: String,
    size: u64,
    /// `None` if the bytes are in the folder.
    bytes: Option<Bytes>,
    /// Uploaded, and never yet referred to.
    temporary: bool,
}

impl Blobs {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            stored: HashMap::new(),
            holders: BTreeMap::new(),
            held: HashMap::new(),
        }
    }

    /// Stores an uploaded blob.
    pub(super) fn upload(&mut self, blob: &BlobRef, bytes: Bytes) -> io::Result<()> {
        let cid = blob.cid;
        if self
            .stored
            .get(&cid)
            .is_some_and(|stored| !stored.temporary)
        {
            return Ok(());
        }
        let bytes = match &self.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder)?;
                std::fs::write(folder.join(cid.to_string()), &bytes)?;
                None
            }
            None => Some(bytes),
        };
        self.remember(blob, bytes);
        Ok(())
    }

    /// Takes up a blob whose file is in the folder since an earlier run. Without the file it is gone.
    pub(super) fn restore(&mut self, blob: &BlobRef) {
        if self.path(&blob.cid).is_some_and(|path| path.exists()) {
            self.remember(blob, None);
        }
    }

    fn remember(&mut self, blob: &BlobRef, bytes: Option<Bytes>) {
        let temporary = !self.holders.contains_key(&blob.cid);
        let stored = Stored {
            mime_type: blob.mime_type.clone(),
            size: blob.size,
            bytes,
            temporary,
        };
        self.stored.insert(blob.cid, stored);
    }

    /// Whether a record may refer to this blob.
    pub(super) fn check(&self, blob: &BlobRef) -> Result<(), XrpcError> {
        let Some(stored) = self.stored.get(&blob.cid) else {
            return Err(XrpcError::named(
                "BlobNotFound",
                format!("Could not find blob: {}", blob.cid),
            ));
        };
        // The reference PDS compares only until the first record that refers to the blob.
        if stored.temporary && stored.mime_type != blob.mime_type {
            return Err(XrpcError::named(
                "InvalidMimeType",
                format!(
                    "Referenced Mimetype does not match stored blob. Expected: {}, Got: {}",
                    stored.mime_type, blob.mime_type
                ),
            ));
        }
        if stored.temporary && stored.size != blob.size {
            return Err(XrpcError::named(
                "InvalidSize",
                format!(
                    "Referenced Size does not match stored blob. Expected: {}, Got: {}",
                    stored.size, blob.size
                ),
            ));
        }
        Ok(())
    }

    /// Records were written together: each holds these blobs now, and no others. What one lets go and
    /// another takes up stays.
    pub(super) fn hold(&mut self, records: &[(String, Vec<BlobRef>)], rev: Tid) {
        for (path, blobs) in records {
            for blob in blobs {
                let holders = self.holders.entry(blob.cid).or_default();
                holders.insert(path.clone(), rev);
                if let Some(stored) = self.stored.get_mut(&blob.cid) {
                    stored.temporary = false;
                }
            }
        }
        for (path, blobs) in records {
            let before = self.held.remove(path).unwrap_or_default();
            let now: Vec<Cid> = blobs.iter().map(|blob| blob.cid).collect();
            for cid in before.into_iter().filter(|cid| !now.contains(cid)) {
                self.let_go(path, &cid);
            }
            if !now.is_empty() {
                self.held.insert(path.clone(), now);
            }
        }
    }

    /// A blob's MIME type and bytes, while a record holds it.
    pub(super) fn get(&self, cid: &Cid) -> io::Result<Option<(String, Bytes)>> {
        let Some(stored) = self.stored.get(cid).filter(|stored| !stored.temporary) else {
            return Ok(None);
        };
        let bytes = match (&stored.bytes, self.path(cid)) {
            (Some(bytes), _) => bytes.clone(),
            (None, Some(path)) => std::fs::read(path)?.into(),
            (None, None) => return Ok(None),
        };
        Ok(Some((stored.mime_type.clone(), bytes)))
    }

    /// The blobs that records hold, or hold since after a rev, in the order of their CIDs' text.
    pub(super) fn held(&self, since: Option<Tid>) -> Vec<String> {
        let mut held: Vec<String> = self
            .holders
            .iter()
            .filter(|(_, holders)| {
                since.is_none_or(|since| holders.values().any(|rev| *rev > since))
            })
            .map(|(cid, _)| cid.to_string())
            .collect();
        held.sort_unstable();
        held
    }

    /// Every blob that a record holds, with its bytes.
    pub(super) fn all(&self) -> io::Result<Vec<(BlobRef, Bytes)>> {
        let mut all = Vec::new();
        for cid in self.holders.keys() {
            if let Some((mime_type, bytes)) = self.get(cid)? {
                let blob = BlobRef {
                    cid: *cid,
                    mime_type,
                    size: bytes.len() as u64,
                };
                all.push((blob, bytes));
            }
        }
        Ok(all)
    }

    /// Lets go of every blob, held or not.
    pub(super) fn clear(&mut self) {
        self.holders.clear();
        self.held.clear();
        self.stored.clear();
        if let Some(folder) = self.folder.as_ref().filter(|folder| folder.exists())
            && let Err(error) = std::fs::remove_dir_all(folder)
        {
            tracing::warn!(%error, folder = %folder.display(), "blobs of a deleted account were not removed");
        }
    }

    fn let_go(&mut self, path: &str, cid: &Cid) {
        let Some(holders) = self.holders.get_mut(cid) else {
            return;
        };
        holders.remove(path);
        if !holders.is_empty() {
            return;
        }
        self.holders.remove(cid);
        self.stored.remove(cid);
        if let Some(file) = self.path(cid)
            && let Err(error) = std::fs::remove_file(&file)
        {
            tracing::warn!(%error, file = %file.display(), "a blob that nothing refers to was not removed");
        }
    }

    fn path(&self, cid: &Cid) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(cid.to_string()))
    }
}
