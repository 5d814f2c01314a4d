//! Makes a smaller recording of a larger one: the whole stories of some accounts, in order.
//!
//! ```sh
//! cargo run --release -p atcomms-repo --example trim_recording -- FROM TO DID...
//! zstd -19 --rm TO/frames.bin
//! ```
//!
//! FROM is a folder with `frames.bin.zst` and `dids.json`; TO gets `frames.bin` and `dids.json`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use atcomms_repo::frame;
use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, dids @ ..] = &arguments[..] else {
        return Err("usage: trim_recording FROM TO DID...".into());
    };
    let (from, to) = (Path::new(from), Path::new(to));
    let dids: BTreeSet<&str> = dids.iter().map(String::as_str).collect();
    trim_frames(from, to, &dids)?;
    trim_dids(from, to, &dids)
}

fn trim_frames(from: &Path, to: &Path, dids: &BTreeSet<&str>) -> Result<()> {
    let mut source =
        ruzstd::decoding::StreamingDecoder::new(File::open(from.join("frames.bin.zst"))?)
            .map_err(|e| format!("frames.bin.zst: {e}"))?;
    let mut target = BufWriter::new(File::create(to.join("frames.bin"))?);
    let (mut kept, mut seen) = (0, 0);
    let mut len = [0; 4];
    while source.read(&mut len[..1])? == 1 {
        source.read_exact(&mut len[1..])?;
        let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(len))?];
        source.read_exact(&mut bytes)?;
        seen += 1;
        if frame::peek(&bytes)?
            .did()
            .is_some_and(|did| dids.contains(did))
        {
            target.write_all(&len)?;
            target.write_all(&bytes)?;
            kept += 1;
        }
    }
    target.flush()?;
    println!("{kept} of {seen} frames");
    Ok(())
}

fn trim_dids(from: &Path, to: &Path, dids: &BTreeSet<&str>) -> Result<()> {
    let all: Map<String, Value> = serde_json::from_reader(File::open(from.join("dids.json"))?)?;
    let some: Map<String, Value> = all
        .into_iter()
        .filter(|(did, _)| dids.contains(did.as_str()))
        .collect();
    if some.len() != dids.len() {
        return Err(format!("{} of {} accounts are in dids.json", some.len(), dids.len()).into());
    }
    let mut text = serde_json::to_vec_pretty(&some)?;
    text.push(b'\n');
    Ok(std::fs::write(to.join("dids.json"), text)?)
}
