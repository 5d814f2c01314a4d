//! Opening a relay: a new one, or the one that is in its folder (`events.bin`, `hosts.jsonl`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atcomms_lexicon::Datetime;
use atcomms_repo::frame::{Frame, decode};
use bytes::Bytes;
use tokio::sync::watch;

use super::ExternalHost;
use super::intake::{Host, Intake, Line};
use super::seen::AllSeen;
use crate::StartError;
use crate::faults::Faults;
use crate::firehose::{EventLog, FrameFile, Stream, StreamLimits};
use crate::journal::Journal;
use crate::net::Tasks;
use crate::plc::Directory;

/// What a relay is opened with.
pub(crate) struct Setup {
    pub(crate) plc: Arc<Directory>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) limits: StreamLimits,
    pub(crate) tasks: Tasks,
    pub(crate) stop: watch::Receiver<bool>,
    /// The logs of the devnet's own PDSs, with their addresses.
    pub(crate) pds: Vec<(String, Arc<EventLog>)>,
    /// Hosts from outside.
    pub(crate) external: Vec<ExternalHost>,
}

/// Opens a relay, and takes what its hosts have that it has not.
pub(crate) fn open(setup: Setup) -> Result<Arc<Intake>, StartError> {
    let (journal, lines, file, frames) = match &setup.folder {
        None => (Journal::in_memory(), Vec::new(), None, Vec::new()),
        Some(folder) => read(folder)?,
    };
    let taken: HashMap<String, i64> = lines
        .into_iter()
        .map(|line: Line| (line.host, line.seq))
        .collect();
    let mut seen = AllSeen::default();
    let mut events = Vec::with_capacity(frames.len());
    for bytes in frames {
        let frame = decode(&bytes).ok();
        if let Some(frame) = &frame {
            seen.note(frame);
        }
        let at = frame.as_ref().and_then(emitted_at);
        let seq = frame.and_then(|frame| frame.seq());
        events.push((seq, at.unwrap_or_else(SystemTime::now), bytes));
    }
    let faults = Arc::new(Faults::new());
    let stream = Arc::new(Stream {
        log: Arc::new(EventLog::new(events, file, Some(faults.clone()))),
        limits: setup.limits,
        faults,
        tasks: setup.tasks.clone(),
        stop: setup.stop,
    });
    let intake = Arc::new(Intake::new(stream, setup.plc, seen, journal));
    let add = |name: &str, url: String, connected: bool| {
        let seq = taken.get(name).copied().unwrap_or(0);
        let host = Host {
            url,
            seq,
            connected,
        };
        intake.add_host(name, host);
        seq
    };
    // By number, since a PDS's port may be another one than last time.
    let pds: Vec<(String, i64, Arc<EventLog>)> = (1..)
        .zip(setup.pds)
        .map(|(number, (url, log))| {
            let name = format!("pds-{number}");
            let seq = add(&name, url, true);
            (name, seq, log)
        })
        .collect();
    for host in &setup.external {
        add(host.url(), host.url().to_owned(), false);
    }
    for (name, seq, log) in pds {
        let intake = intake.clone();
        log.tap(seq, Box::new(move |events| intake.take(&name, events)));
    }
    for host in setup.external {
        setup.tasks.spawn(host.follow(intake.clone()));
    }
    Ok(intake)
}

type Kept = (Journal<Line>, Vec<Line>, Option<FrameFile>, Vec<Bytes>);

fn read(folder: &Path) -> Result<Kept, StartError> {
    let failed = |path: &Path, source| StartError::Data {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let (journal, lines) = Journal::open(folder.join("hosts.jsonl"))?;
    let path = folder.join("events.bin");
    let (file, frames) = FrameFile::open(&path).map_err(|error| failed(&path, error))?;
    Ok((journal, lines, Some(file), frames))
}

/// When an event happened, by its own word.
fn emitted_at(frame: &Frame<'_>) -> Option<SystemTime> {
    let time = match frame {
        Frame::Commit(frame) => frame.time,
        Frame::Sync(frame) => frame.time,
        Frame::Identity(frame) => frame.time,
        Frame::Account(frame) => frame.time,
        _ => return None,
    };
    let millis = time.parse::<Datetime>().ok()?.unix_millis();
    Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).ok()?))
}
