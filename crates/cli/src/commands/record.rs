//! `atcomms record`: a stream into a file.

use std::time::Duration;

use anyhow::Context as _;
use atcomms::repo::frame;
use atcomms::subscribe::{Frames, Recording};
use serde::Serialize;
use tokio::time::timeout;

use crate::args;
use crate::exit::{Failure, Outcome};
use crate::line;

#[derive(Default, Serialize)]
struct Line {
    frames: u64,
    bytes: u64,
    first_seq: Option<i64>,
    last_seq: Option<i64>,
}

pub(crate) async fn run(args: args::Record) -> Outcome {
    let file = args.file.display();
    let mut recording = match Recording::create(&args.file).await {
        Ok(recording) => recording,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::Usage(format!(
                "{file} is there already: name another file"
            )));
        }
        Err(error) => {
            return Err(Failure::Failed(anyhow::anyhow!(
                "{file} cannot be made: {error}"
            )));
        }
    };
    let mut frames = Frames::of(args.source, args.from);
    let interrupted = super::interrupted();
    tokio::pin!(interrupted);
    let bar = line::progress();
    let mut done = Line::default();
    let limit = args.limit.unwrap_or(u64::MAX);
    while done.frames < limit {
        let next = timeout(args.idle.unwrap_or(Duration::MAX), frames.next());
        let frame = tokio::select! {
            biased;
            () = &mut interrupted => break,
            next = next => next,
        };
        let Ok(Some(frame)) = frame else { break };
        let written = recording.write(&frame).await;
        written.with_context(|| format!("{file} cannot be written"))?;
        done.frames += 1;
        done.bytes += u64::try_from(frame.len()).unwrap_or(0);
        if let Some(seq) = frame::peek(&frame).ok().and_then(|peek| peek.seq()) {
            done.first_seq.get_or_insert(seq);
            done.last_seq = Some(seq);
        }
        if done.frames % 64 == 0 {
            bar.set_message(format!("{} frames, {} bytes", done.frames, done.bytes));
            bar.tick();
        }
    }
    bar.finish_and_clear();
    let finished = recording.finish().await;
    finished.with_context(|| format!("{file} cannot be written"))?;
    if args.json {
        line::json(&done)?;
    } else {
        let (first, last) = (done.first_seq.unwrap_or(0), done.last_seq.unwrap_or(0));
        eprintln!(
            "{} frames, {} bytes, from {first} to {last}, are in {file}.",
            done.frames, done.bytes
        );
    }
    match frames.error() {
        Some(error) => Err(Failure::Failed(anyhow::anyhow!(
            "not recorded to the end: {error}"
        ))),
        None => Ok(()),
    }
}
