//! Recorded streams in files: each whole frame before what is broken is read, what is broken is said, and what is
//! written comes back.

use std::cell::RefCell;
use std::path::PathBuf;

use atcomms_repo::frame;
use atcomms_subscribe::{Frames, From, Recording, Source};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use crate::{Recorded, Target, memory};

pub(crate) const TARGET: Target = Target { name: "recording", run, seeds };

/// The largest frame that a recording may have, in bytes.
const MAX_FRAME: usize = 6_000_000;

/// How much memory reading takes for each byte of the file: all frames are kept here, each once.
const TIMES: usize = 64;

/// The buffers of a file that is read: what is read ahead, and room for a frame whose length is not known to be true.
const BUFFERS: usize = 4 << 20;

fn seeds(recorded: &Recorded) -> Vec<Vec<u8>> {
    let frames: Vec<_> = recorded.frames().filter(|frame| frame.len() < 4000).take(40).collect();
    let streams = frames.chunks(4).map(|frames| frames.iter().flat_map(|frame| written(frame)).collect());
    streams.chain([CLAIM.to_vec()]).collect()
}

/// A frame that claims to be as long as can be, and is not there.
const CLAIM: [u8; 8] = [0x80, 0x8d, 0x5b, 0, 0xa2, 0x61, 0x74, 0x67];

fn written(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("a small frame");
    [&length.to_le_bytes(), frame].concat()
}

struct Place {
    runtime: Runtime,
    folder: tempfile::TempDir,
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new(Place {
        runtime: Builder::new_current_thread().build().expect("a runtime"),
        // In memory, where there is such a place.
        folder: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder"),
    });
}

fn run(data: &[u8]) {
    PLACE.with_borrow_mut(|place| {
        let path = place.folder.path().join("stream");
        std::fs::write(&path, data).expect("room for a file");
        let (read, error) = memory::bounded_beside(data, TIMES, BUFFERS, || place.runtime.block_on(all(path)));
        let (expected, is_whole) = expected(data);
        assert_eq!(read, expected, "every whole frame is read, each once");
        assert_eq!(error.is_none(), is_whole, "{error:?}");

        let path = place.folder.path().join("again");
        let again = place.runtime.block_on(async {
            let mut recording = Recording::create(&path).await?;
            for frame in &read {
                recording.write(frame).await?;
            }
            recording.finish().await?;
            Ok::<_, std::io::Error>(all(path.clone()).await)
        });
        std::fs::remove_file(&path).expect("it was written");
        assert_eq!(again.expect("room for a file"), (read, None), "what was written comes back");
    });
}

async fn all(path: PathBuf) -> (Vec<Bytes>, Option<String>) {
    let mut frames = Frames::of(Source::file(path), From::Start);
    let mut all = Vec::new();
    while let Some(frame) = frames.next().await {
        all.push(frame);
    }
    (all, frames.error().map(str::to_owned))
}

/// What is to be read, by the plainest reading of the format, and whether nothing is broken.
fn expected(mut rest: &[u8]) -> (Vec<Bytes>, bool) {
    let (mut frames, mut seen) = (Vec::new(), i64::MIN);
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((frame, after)) = after.split_at_checked(length).filter(|_| length <= MAX_FRAME) else {
            return (frames, false);
        };
        rest = after;
        // What is older than what was read is a duplicate.
        let seq = frame::peek(frame).ok().and_then(|peek| peek.seq());
        if seq.is_none_or(|seq| seq > seen) {
            seen = seq.unwrap_or(seen);
            frames.push(Bytes::copy_from_slice(frame));
        }
    }
    (frames, rest.is_empty())
}
