//! Frames in a file: a u32 little-endian length, the frame's bytes, repeated. The format of the recorded
//! firehose, so that a devnet's log can be replayed as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytes::{Buf, Bytes};

/// The frames of one log, appended as they happen.
pub(crate) struct FrameFile {
    file: File,
    length: u64,
}

impl FrameFile {
    /// Opens or creates the file, and reads what is in it.
    ///
    /// A frame that a killed process wrote only in part was never answered: it is cut off, and kept beside
    /// the file as `.torn`, in case it is something else.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Bytes>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (frames, rest) = split_frames(Bytes::from(bytes));
        let torn = rest.len() as u64;
        let length = file.stream_position()?.saturating_sub(torn);
        if torn > 0 {
            let kept = path.with_extension("torn");
            std::fs::write(&kept, &rest)?;
            tracing::warn!(path = %path.display(), kept = %kept.display(), bytes = torn, "cut off a frame that was not written to its end");
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
        }
        Ok((Self { file, length }, frames))
    }

    /// Appends frames, all or none of them.
    pub(crate) fn append(&mut self, frames: &[Bytes]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 4).sum());
        for frame in frames {
            let length = u32::try_from(frame.len())
                .map_err(|_| io::Error::other("a frame is longer than 4 GiB"))?;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(frame);
        }
        if let Err(error) = self.file.write_all(&bytes) {
            // Part of it may be there: without this the next frame would follow a broken one.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Splits length-prefixed frames without copying them; also gives the bytes at the end that are less than a
/// whole frame.
pub(crate) fn split_frames(mut bytes: Bytes) -> (Vec<Bytes>, Bytes) {
    let mut frames = Vec::new();
    loop {
        let mut rest = bytes.clone();
        let Ok(length) = rest.try_get_u32_le() else {
            break;
        };
        let Ok(length) = usize::try_from(length) else {
            break;
        };
        if rest.len() < length {
            break;
        }
        frames.push(rest.split_to(length));
        bytes = rest;
    }
    (frames, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_frame_is_cut_off_and_the_next_one_follows_the_whole_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames.bin");
        let frames = [Bytes::from_static(b"one"), Bytes::from_static(b"")];
        let (mut file, before) = FrameFile::open(&path).unwrap();
        assert!(before.is_empty());
        file.append(&frames).unwrap();
        drop(file);
        for torn in [&b"\x09"[..], b"\x09\0\0\0", b"\x09\0\0\0half"] {
            OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(torn)
                .unwrap();
            let (_, read) = FrameFile::open(&path).unwrap();
            assert_eq!(read, frames, "after a torn tail of {torn:?}");
        }
        let (mut file, _) = FrameFile::open(&path).unwrap();
        file.append(&[Bytes::from_static(b"three")]).unwrap();
        let (_, read) = FrameFile::open(&path).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read[2], "three");
    }
}
