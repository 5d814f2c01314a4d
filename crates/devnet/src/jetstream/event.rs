//! A frame's events as JSON.

use atcomms_lexicon::{Datetime, Value};
use atcomms_repo::car::Car;
use atcomms_repo::frame::{CommitFrame, Frame, RepoOp, decode};
use serde::Serialize;

use super::options::Options;

#[derive(Serialize)]
struct Event<'a> {
    did: &'a str,
    time_us: i64,
    kind: &'static str,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Body<'a> {
    Commit(Commit<'a>),
    Identity(Identity<'a>),
    Account(Account<'a>),
}

#[derive(Serialize)]
struct Commit<'a> {
    rev: &'a str,
    operation: &'static str,
    collection: &'a str,
    rkey: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
}

#[derive(Serialize)]
struct Identity<'a> {
    did: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<&'a str>,
    seq: i64,
    time: &'a str,
}

#[derive(Serialize)]
struct Account<'a> {
    active: bool,
    did: &'a str,
    seq: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    time: &'a str,
}

/// How many events a frame has: one for each operation of a commit, and for a `#sync` none.
pub(super) fn count(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Commit(commit) => commit.ops.len(),
        Frame::Identity(_) | Frame::Account(_) => 1,
        _ => 0,
    }
}

/// The time in a frame, in microseconds since 1970. The frame says the millisecond: its end is taken, so
/// that the event is never before a cursor that was taken earlier.
pub(super) fn emitted_micros(frame: &Frame<'_>) -> Option<i64> {
    let time = match frame {
        Frame::Commit(frame) => frame.time,
        Frame::Identity(frame) => frame.time,
        Frame::Account(frame) => frame.time,
        _ => return None,
    };
    let millis = time.parse::<Datetime>().ok()?.unix_millis();
    Some(millis.saturating_mul(1000).saturating_add(999))
}

/// Adds the events of a frame that are wanted and not before `from`; `last` is the time of its last one.
pub(super) fn render(
    frame: &[u8],
    last: i64,
    from: Option<i64>,
    options: &Options,
    out: &mut Vec<String>,
) {
    let Ok(frame) = decode(frame) else { return };
    let events = i64::try_from(count(&frame)).unwrap_or(0);
    let first = last - events + 1;
    let is_due = |time: i64| from.is_none_or(|from| time >= from);
    let (did, kind, body) = match &frame {
        Frame::Commit(commit) => {
            if options.wants_did(commit.repo) {
                let due = (first..).zip(&commit.ops).filter(|(time, _)| is_due(*time));
                render_commit(commit, due, options, out);
            }
            return;
        }
        Frame::Identity(identity) => {
            let body = Identity {
                did: identity.did,
                handle: identity.handle,
                seq: identity.seq,
                time: identity.time,
            };
            (identity.did, "identity", Body::Identity(body))
        }
        Frame::Account(account) => {
            let body = Account {
                active: account.active,
                did: account.did,
                seq: account.seq,
                status: account.status,
                time: account.time,
            };
            (account.did, "account", Body::Account(body))
        }
        _ => return,
    };
    if options.wants_did(did) && is_due(last) {
        let event = Event {
            did,
            time_us: last,
            kind,
            body,
        };
        push(&event, options, out);
    }
}

fn render_commit<'a>(
    commit: &CommitFrame<'a>,
    ops: impl Iterator<Item = (i64, &'a RepoOp<'a>)>,
    options: &Options,
    out: &mut Vec<String>,
) {
    let mut blocks = None;
    for (time, op) in ops {
        let Some((collection, rkey)) = op.path.split_once('/') else {
            continue;
        };
        if !options.wants_collection(collection) {
            continue;
        }
        let record = match op.cid {
            None => None,
            Some(cid) => {
                let blocks = blocks.get_or_insert_with(|| Car::read(commit.blocks).ok());
                let bytes = blocks.as_ref().and_then(|blocks| blocks.get(&cid));
                match bytes.map(Value::from_cbor) {
                    Some(Ok(record)) => Some(record.to_json()),
                    // A record that cannot be read is left out, as it is there.
                    _ => continue,
                }
            }
        };
        let event = Event {
            did: commit.repo,
            time_us: time,
            kind: "commit",
            body: Body::Commit(Commit {
                rev: commit.rev,
                operation: op.action.as_str(),
                collection,
                rkey,
                record,
                cid: op.cid.map(|cid| cid.to_string()),
            }),
        };
        push(&event, options, out);
    }
}

fn push(event: &Event<'_>, options: &Options, out: &mut Vec<String>) {
    match serde_json::to_string(event) {
        Ok(text) if options.takes(text.len()) => out.push(text),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "an event could not be written as JSON"),
    }
}
