//! A recorded stream in a file: so that any incident becomes a test.
//!
//! The format: for each frame its length in bytes (32 bits, little endian), then the frame as it came over
//! the socket.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use atcomms_repo::frame;
use bytes::Bytes;
use futures::{Stream, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};

use super::progress::Progress;
use super::{From, SourceEvent};

/// The largest frame that is read, in bytes: as over a socket. What is larger is no recording.
const MAX_FRAME: usize = 6_000_000;

/// How much is read at once, in bytes.
const BUFFER: usize = 1 << 20;

/// How a file begins that was compressed with zstd.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// All frames of a recording, and then its end.
pub(crate) fn events(
    path: &Path,
    from: From,
    progress: &Progress,
) -> Pin<Box<dyn Stream<Item = SourceEvent> + Send>> {
    let after = progress.get().or(match from {
        From::Seq(seq) => Some(seq),
        _ => None,
    });
    let replay = Replay {
        path: path.to_owned(),
        after,
        state: State::Closed,
    };
    Box::pin(stream::unfold(replay, |mut replay| async move {
        let event = replay.next().await?;
        Some((event, replay))
    }))
}

struct Replay {
    path: PathBuf,
    /// Frames up to this sequence number are passed over.
    after: Option<i64>,
    state: State,
}

enum State {
    Closed,
    Open(BufReader<File>),
    Over,
}

impl Replay {
    async fn next(&mut self) -> Option<SourceEvent> {
        match &mut self.state {
            State::Over => None,
            State::Closed => Some(match File::open(&self.path).await {
                Ok(file) => {
                    self.state = State::Open(BufReader::with_capacity(BUFFER, file));
                    SourceEvent::Connected
                }
                Err(error) => self.ended(Some(format!("it cannot be opened: {error}"))),
            }),
            State::Open(reader) => loop {
                match read(reader).await {
                    Ok(Some(bytes)) => {
                        let seq = frame::peek(&bytes).ok().and_then(|peek| peek.seq());
                        if seq.is_some_and(|seq| self.after.is_some_and(|after| seq <= after)) {
                            continue;
                        }
                        return Some(SourceEvent::Frame(bytes));
                    }
                    Ok(None) => return Some(self.ended(None)),
                    Err(error) => return Some(self.ended(Some(error.to_string()))),
                }
            },
        }
    }

    fn ended(&mut self, error: Option<String>) -> SourceEvent {
        self.state = State::Over;
        SourceEvent::Ended(error)
    }
}

/// The next frame; `None` at the end.
async fn read(reader: &mut BufReader<File>) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    let mut read = 0;
    while let Some(rest) = length.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest).await? {
            0 if read == 0 => return Ok(None),
            0 => return Err(broken("it ends within a frame's length")),
            more => read += more,
        }
    }
    if length == ZSTD {
        return Err(broken("it is compressed: unpack it first, with `zstd -d`"));
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(broken(
            "it is no recording, or damaged: a frame of that length cannot be",
        ));
    }
    // No more room at once than for what is likely there: the length may be a lie.
    let mut frame = Vec::new();
    while frame.len() < length {
        let read = frame.len();
        frame.resize(length.min(read + BUFFER), 0);
        let piece = frame.get_mut(read..).unwrap_or_default();
        match reader.read_exact(piece).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(broken(
                    "it ends within a frame: its recording was cut short",
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(frame.into()))
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recording {
    file: BufWriter<File>,
}

impl Recording {
    /// Begins a recording in a new file.
    ///
    /// # Errors
    /// The file is there already, or cannot be made.
    pub async fn create(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.write(true).create_new(true).open(path).await?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER, file),
        })
    }

    /// Adds a frame. Not cancel safe: a part of it may be written.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let length =
            u32::try_from(frame.len()).map_err(|_| broken("a frame of that length cannot be"))?;
        self.file.write_all(&length.to_le_bytes()).await?;
        self.file.write_all(frame).await
    }

    /// Ends the recording: it is on the disk when this returns. Not cancel safe.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn finish(mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.get_ref().sync_all().await
    }
}
