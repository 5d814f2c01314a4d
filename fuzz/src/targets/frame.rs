//! Frames: what a peek sees is what decoding gives, what was decoded comes back from its own encoding, and a
//! strict DAG-CBOR decoder that shares no code with ours reads the same.

use atcomms_repo::frame::{self, CommitFrame, Frame, Kind, Peek};
use ipld_core::ipld::Ipld;
use serde_ipld_dagcbor::de::Deserializer;

use crate::{Recorded, Target, memory};

pub(crate) const TARGET: Target = Target { name: "frame", run, seeds };

/// An operation takes 29 bytes at least, and 250 once it is read.
const TIMES: usize = 16;

/// Room is made for as many operations as are claimed, of which there are 200 at most.
const CLAIM: usize = 200 * 320;

fn seeds(recorded: &Recorded) -> Vec<Vec<u8>> {
    recorded.frames().map(<[u8]>::to_vec).collect()
}

fn run(data: &[u8]) {
    let peek = &memory::none(|| frame::peek(data));
    match memory::bounded_beside(data, TIMES, CLAIM, || frame::decode(data)) {
        Ok(frame) => {
            let peek = peek.as_ref().expect("what can be decoded can be peeked");
            agree(peek, &frame);
            if !is_of_another_op(&frame) {
                comes_back(&frame);
            }
            if !matches!(frame, Frame::Unknown(_))
                && let Some((header, body)) = strictly(data)
            {
                reads_the_same(&frame, &header, &body);
            }
        }
        Err(error) => assert!(!error.reason().is_empty()),
    }
    if let Ok(peek) = peek {
        assert_eq!(peek.op_paths().len(), peek.op_paths().count(), "every path that is counted is there");
    }
}

fn agree(peek: &Peek<'_>, frame: &Frame<'_>) {
    assert_eq!(peek.kind(), frame.kind());
    assert_eq!(peek.seq(), frame.seq());
    let did = match frame {
        Frame::Commit(frame) => Some(frame.repo),
        Frame::Sync(frame) => Some(frame.did),
        Frame::Identity(frame) => Some(frame.did),
        Frame::Account(frame) => Some(frame.did),
        _ => None,
    };
    assert_eq!(peek.did(), did);
    let none = Vec::new();
    let ops = if let Frame::Commit(commit) = frame { &commit.ops } else { &none };
    assert!(peek.op_paths().eq(ops.iter().map(|op| op.path)));
}

fn comes_back(frame: &Frame<'_>) {
    let bytes = frame.encode();
    assert_eq!(frame::decode(&bytes).as_ref(), Ok(frame), "what is encoded is what was decoded");
    agree(&frame::peek(&bytes).expect("what is encoded can be peeked"), frame);
    if !matches!(frame, Frame::Unknown(_)) {
        let (header, body) = strictly(&bytes).expect("what is encoded is strict DAG-CBOR");
        reads_the_same(frame, &header, &body);
    }
}

/// A header of an unknown `op` whose `t` is known all the same: what is written always has the `op` of messages.
fn is_of_another_op(frame: &Frame<'_>) -> bool {
    const KNOWN: [&str; 5] = ["#commit", "#sync", "#identity", "#account", "#info"];
    matches!(frame, Frame::Unknown(unknown) if KNOWN.contains(&unknown.kind))
}

/// Header and body by the strict decoder, if it takes both and nothing is left.
fn strictly(bytes: &[u8]) -> Option<(Ipld, Ipld)> {
    let mut values = Deserializer::from_slice(bytes).into_iter::<Ipld>();
    let (header, body) = (values.next()?.ok()?, values.next()?.ok()?);
    values.next().is_none().then_some((header, body))
}

fn text<'a>(body: &'a Ipld, field: &str) -> Option<&'a str> {
    match body.get(field) {
        Ok(Some(Ipld::String(text))) => Some(text),
        _ => None,
    }
}

fn int(body: &Ipld, field: &str) -> Option<i64> {
    match body.get(field) {
        Ok(Some(Ipld::Integer(int))) => i64::try_from(*int).ok(),
        _ => None,
    }
}

fn bytes<'a>(body: &'a Ipld, field: &str) -> Option<&'a [u8]> {
    match body.get(field) {
        Ok(Some(Ipld::Bytes(bytes))) => Some(bytes),
        _ => None,
    }
}

fn link(body: &Ipld, field: &str) -> Option<ipld_core::cid::Cid> {
    match body.get(field) {
        Ok(Some(Ipld::Link(cid))) => Some(*cid),
        _ => None,
    }
}

fn reads_the_same(frame: &Frame<'_>, header: &Ipld, body: &Ipld) {
    let op = int(header, "op").expect("every header has an op");
    assert_eq!(op == -1, frame.kind() == Kind::Error);
    assert_eq!(int(body, "seq").filter(|_| frame.seq().is_some()), frame.seq());
    match frame {
        Frame::Commit(commit) => reads_the_same_commit(commit, body),
        Frame::Sync(sync) => {
            assert_eq!((text(body, "did"), text(body, "rev")), (Some(sync.did), Some(sync.rev)));
            assert_eq!(bytes(body, "blocks"), Some(sync.blocks));
        }
        Frame::Identity(identity) => {
            assert_eq!((text(body, "did"), text(body, "handle")), (Some(identity.did), identity.handle));
        }
        Frame::Account(account) => {
            assert_eq!((text(body, "did"), text(body, "status")), (Some(account.did), account.status));
            assert_eq!(body.get("active").ok().flatten(), Some(&Ipld::Bool(account.active)));
        }
        Frame::Info(info) => assert_eq!((text(body, "name"), text(body, "message")), (Some(info.name), info.message)),
        Frame::Error(error) => {
            assert_eq!((text(body, "error"), text(body, "message")), (Some(error.error), error.message));
        }
        Frame::Unknown(_) => {}
    }
}

fn reads_the_same_commit(commit: &CommitFrame<'_>, body: &Ipld) {
    assert_eq!((text(body, "repo"), text(body, "rev")), (Some(commit.repo), Some(commit.rev)));
    assert_eq!((text(body, "since"), text(body, "time")), (commit.since, Some(commit.time)));
    assert_eq!(bytes(body, "blocks"), Some(commit.blocks));
    assert_eq!((link(body, "commit"), link(body, "prevData")), (Some(commit.commit), commit.prev_data));
    let Ok(Some(Ipld::List(ops))) = body.get("ops") else {
        panic!("a commit has a list of operations");
    };
    assert_eq!(ops.len(), commit.ops.len());
    for (theirs, ours) in ops.iter().zip(&commit.ops) {
        assert_eq!((text(theirs, "path"), text(theirs, "action")), (Some(ours.path), Some(ours.action.as_str())));
        assert_eq!((link(theirs, "cid"), link(theirs, "prev")), (ours.cid, ours.prev));
    }
}
