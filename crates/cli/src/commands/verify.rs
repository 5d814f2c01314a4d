//! `atcomms verify`: whether a file proves a record, and which.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use atcomms::identity::KeyStanding;
use atcomms::lexicon::{Datetime, Tid, Value};
use atcomms::repo::portable::PortableProof;
use atcomms::repo::verify::Limits;
use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;

/// How far clocks may differ: as far as a rev may be of the future for everybody who verifies commits.
const CLOCKS: Duration = Duration::from_secs(300);

pub(crate) async fn run(context: &Context, args: args::Verify) -> Outcome {
    let limits = Limits::default();
    let bytes = read(&args.file, limits.blocks_len)?;
    if bytes.is_empty() {
        return Err(Failure::Failed(anyhow!(
            "{} is empty, and proves nothing: make it with `atcomms prove URI --out FILE`, which says why if it cannot",
            name(&args.file)
        )));
    }
    let proof = PortableProof::check(&bytes, now_micros(), &limits)
        .map_err(|error| anyhow!("not proven: {}: {error}", name(&args.file)))?;
    let standing = match args.online {
        false => None,
        true => Some(standing(context, &proof).await),
    };
    let verdict = match &standing {
        Some(Ok(standing)) => judge(&proof, standing),
        Some(Err(error)) => Err(format!(
            "not known whether the key is, or was, the author's: {error}"
        )),
        None if proof.is_key_proven() || args.trust_maker => Ok(()),
        None => Err(format!(
            "not proven: that the key is {}'s is only the word of who made {}; ask the directory with --online, or take that word with --trust-maker",
            proof.head().did(),
            name(&args.file)
        )),
    };
    let shown = standing.and_then(Result::ok);
    match args.json {
        true => line::json(&Line::of(&proof, verdict.is_ok(), shown.as_ref()))?,
        false => show(&proof, verdict.is_ok(), shown.as_ref())?,
    }
    verdict.map_err(|why| Failure::Failed(anyhow!(why)))
}

fn read(file: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    // One byte more than there may be, for the check to see that it is too much.
    let max = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => io::stdin().lock().take(max).read_to_end(&mut bytes),
        false => File::open(file).and_then(|open| open.take(max).read_to_end(&mut bytes)),
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::Usage(format!(
            "cannot read {}: {error}",
            name(file)
        ))),
    }
}

fn name(file: &Path) -> String {
    match file.as_os_str() == "-" {
        true => "stdin".to_owned(),
        false => file.display().to_string(),
    }
}

fn now_micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

async fn standing(context: &Context, proof: &PortableProof) -> anyhow::Result<KeyStanding> {
    let (resolver, _) = context.resolver_for_watching(&[])?;
    let standing = resolver.key_standing(proof.head().did(), proof.key()).await;
    Ok(standing?)
}

/// What the directory's answer makes of a proof that holds in itself.
fn judge(proof: &PortableProof, standing: &KeyStanding) -> Result<(), String> {
    let (author, rev) = (proof.head().did(), proof.head().rev());
    match standing {
        KeyStanding::Current => Ok(()),
        KeyStanding::Past { until, .. } if signed_by(rev, until) => Ok(()),
        KeyStanding::Past { until, .. } => Err(format!(
            "not proven: the rev is of {}, and the key was not {author}'s any more since {until}",
            time(rev)
        )),
        _ => Err(format!(
            "not proven: the key that signed is not {author}'s, and the directory does not know that it ever was"
        )),
    }
}

/// Whether a rev is from before a moment, as far as clocks can tell.
fn signed_by(rev: Tid, until: &Datetime) -> bool {
    let until = Duration::from_millis(u64::try_from(until.unix_millis()).unwrap_or_default());
    Duration::from_micros(rev.micros()) <= until + CLOCKS
}

fn time(rev: Tid) -> Datetime {
    Datetime::from_unix_millis(i64::try_from(rev.micros() / 1000).unwrap_or(i64::MAX))
}

#[derive(Serialize)]
struct Line {
    proven: bool,
    uri: String,
    cid: String,
    rev: String,
    commit: String,
    author: String,
    handle: Option<String>,
    pds: Option<String>,
    key: String,
    key_proven: bool,
    resolved_at: String,
    record: Option<serde_json::Value>,
    online: Option<Online>,
}

#[derive(Serialize)]
struct Online {
    key: &'static str,
    from: Option<String>,
    until: Option<String>,
}

impl Line {
    fn of(proof: &PortableProof, proven: bool, standing: Option<&KeyStanding>) -> Self {
        let (head, document) = (proof.head(), proof.document());
        let online = |standing: &KeyStanding| match standing {
            KeyStanding::Current => ("current", None, None),
            KeyStanding::Past { from, until } => {
                ("past", Some(from.to_string()), Some(until.to_string()))
            }
            _ => ("unknown", None, None),
        };
        Line {
            proven,
            uri: proof.uri().to_string(),
            cid: proof.cid().to_string(),
            rev: head.rev().to_string(),
            commit: head.commit().to_string(),
            author: head.did().to_string(),
            handle: document.handle.as_ref().map(ToString::to_string),
            pds: document.pds.as_ref().map(ToString::to_string),
            key: proof.key().to_did_key(),
            key_proven: proof.is_key_proven(),
            resolved_at: document.resolved_at.to_string(),
            record: record(proof),
            online: standing
                .map(online)
                .map(|(key, from, until)| Online { key, from, until }),
        }
    }
}

/// The record as JSON; none if it is no data of this protocol, whatever it is.
fn record(proof: &PortableProof) -> Option<serde_json::Value> {
    let value = Value::from_cbor(proof.record()).ok()?;
    Some(value.to_json())
}

fn show(proof: &PortableProof, proven: bool, standing: Option<&KeyStanding>) -> io::Result<()> {
    let (head, document) = (proof.head(), proof.document());
    let claims = match &document.handle {
        Some(handle) => format!("{} (called itself {handle})", head.did()),
        None => head.did().to_string(),
    };
    let record = record(proof).map_or_else(
        || format!("{} bytes that cannot be read", proof.record().len()),
        |record| record.to_string(),
    );
    let why = match proof.is_key_proven() {
        true => "the author's, as the DID's own operations prove",
        false => "the author's, by the word of who made this file",
    };
    let key = format!(
        "{}, {why}; resolved at {}",
        proof.key().to_did_key(),
        document.resolved_at
    );
    let rev = format!(
        "{}, which is {} by the signer's clock",
        head.rev(),
        time(head.rev())
    );
    let now = standing.map(|standing| match standing {
        KeyStanding::Current => "the key is still the author's".to_owned(),
        KeyStanding::Past { from, until } => {
            format!("the key was the author's from {from} until {until}")
        }
        _ => "the key is not known for one of the author's".to_owned(),
    });
    let verdict = if proven { "proven" } else { "not proven" };
    line::text(&format!("{}  {}", line::strong(verdict), proof.uri()))?;
    for (name, what) in [
        ("author", claims),
        ("cid", proof.cid().to_string()),
        ("rev", rev),
        ("commit", head.commit().to_string()),
        ("key", key),
        ("online", now.unwrap_or_else(|| "not asked".to_owned())),
        ("record", record),
    ] {
        line::text(&format!(
            "{}  {}",
            line::dim(&format!("{name:6}")),
            line::harmless(&what)
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rev_after_the_keys_end_was_not_signed_by_the_author() {
        let until: Datetime = "2026-01-31T12:00:00.000Z".parse().unwrap();
        let end = u64::try_from(until.unix_millis()).unwrap() * 1000;
        let rev = |after: i64| Tid::from_parts(end.saturating_add_signed(after * 1_000_000), 0);
        assert!(signed_by(rev(-86_400), &until));
        assert!(signed_by(rev(299), &until), "clocks differ");
        assert!(!signed_by(rev(301), &until));
        assert_eq!(time(rev(0)), until);
    }
}
