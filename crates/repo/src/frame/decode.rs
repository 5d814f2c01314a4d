//! Reading a whole frame.

use super::peek::header;
use super::{
    AccountFrame, Action, CommitFrame, ErrorFrame, Frame, FrameError, IdentityFrame, InfoFrame,
    Kind, MAX_FRAME_LEN, MAX_OPS, RepoOp, SyncFrame, UnknownFrame,
};
use crate::cbor::{CborErrorKind, Reader};

/// Reads a frame, borrowing from its bytes. Nothing is verified.
///
/// # Errors
/// [`FrameError`] if it is not a frame, or lacks what every frame of its kind has.
pub fn decode(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    if bytes.len() > MAX_FRAME_LEN {
        return Err(FrameError::TooLarge { len: bytes.len() });
    }
    let mut reader = Reader::new(bytes);
    let (kind, name) = header(&mut reader)?;
    let body = reader.rest();
    let fields = Fields {
        kind: label(kind),
        ..Fields::default()
    }
    .read(&mut reader, kind)?;
    reader.finish()?;
    Ok(match kind {
        Kind::Commit => Frame::Commit(fields.commit()?),
        Kind::Sync => Frame::Sync(fields.sync()?),
        Kind::Identity => Frame::Identity(fields.identity()?),
        Kind::Account => Frame::Account(fields.account()?),
        Kind::Info => Frame::Info(InfoFrame {
            name: fields.need(fields.name, "name")?,
            message: fields.message,
        }),
        Kind::Error => Frame::Error(ErrorFrame {
            error: fields.need(fields.error, "error")?,
            message: fields.message,
        }),
        Kind::Unknown => Frame::Unknown(UnknownFrame {
            kind: name,
            seq: fields.seq,
            body,
        }),
    })
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Commit => "#commit",
        Kind::Sync => "#sync",
        Kind::Identity => "#identity",
        Kind::Account => "#account",
        Kind::Info => "#info",
        Kind::Error => "error",
        Kind::Unknown => "unknown",
    }
}

/// The fields of all kinds of frames, as far as a body has them.
#[derive(Default)]
struct Fields<'a> {
    kind: &'static str,
    seq: Option<i64>,
    did: Option<&'a str>,
    rev: Option<&'a str>,
    since: Option<Option<&'a str>>,
    commit: Option<cid::Cid>,
    prev_data: Option<Option<cid::Cid>>,
    blocks: Option<&'a [u8]>,
    ops: Option<Vec<RepoOp<'a>>>,
    time: Option<&'a str>,
    handle: Option<&'a str>,
    active: Option<bool>,
    status: Option<&'a str>,
    name: Option<&'a str>,
    error: Option<&'a str>,
    message: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(mut self, reader: &mut Reader<'a>, kind: Kind) -> Result<Self, FrameError> {
        use Kind::{Account, Commit, Identity, Sync};
        let account = matches!(kind, Sync | Identity | Account);
        for _ in 0..reader.map()? {
            let key = reader.text_bytes()?;
            match (key, kind) {
                (b"ops", Commit) => once(&mut self.ops, reader, ops)?,
                (b"seq", Kind::Unknown) if self.seq.is_none() => {
                    self.seq = reader.int_or_skip()?;
                }
                (b"seq", Kind::Unknown) => reader.skip()?,
                (b"seq", _) => once(&mut self.seq, reader, |reader| Ok(reader.int()?))?,
                (b"repo", Commit) => once(&mut self.did, reader, text)?,
                (b"did", _) if account => once(&mut self.did, reader, text)?,
                (b"rev", Commit | Sync) => once(&mut self.rev, reader, text)?,
                (b"time", Commit | Sync | Identity | Account) => {
                    once(&mut self.time, reader, text)?
                }
                (b"since", Commit) => once(&mut self.since, reader, |reader| {
                    Ok(reader.nullable(Reader::text)?)
                })?,
                (b"blocks", Commit | Sync) => {
                    once(&mut self.blocks, reader, |reader| Ok(reader.bytes()?))?
                }
                (b"commit", Commit) => once(&mut self.commit, reader, |reader| Ok(reader.cid()?))?,
                (b"prevData", Commit) => once(&mut self.prev_data, reader, |reader| {
                    Ok(reader.nullable(Reader::cid)?)
                })?,
                (b"handle", Identity) if !reader.null() => once(&mut self.handle, reader, text)?,
                (b"active", Account) => {
                    once(&mut self.active, reader, |reader| Ok(reader.bool()?))?
                }
                (b"status", Account) if !reader.null() => once(&mut self.status, reader, text)?,
                (b"name", Kind::Info) => once(&mut self.name, reader, text)?,
                (b"error", Kind::Error) => once(&mut self.error, reader, text)?,
                (b"message", Kind::Info | Kind::Error) if !reader.null() => {
                    once(&mut self.message, reader, text)?
                }
                (b"handle", Identity)
                | (b"status", Account)
                | (b"message", Kind::Info | Kind::Error) => {}
                _ => reader.skip()?,
            }
        }
        Ok(self)
    }

    fn need<T>(&self, field: Option<T>, name: &'static str) -> Result<T, FrameError> {
        field.ok_or(FrameError::Missing {
            kind: self.kind,
            field: name,
        })
    }

    fn commit(mut self) -> Result<CommitFrame<'a>, FrameError> {
        let ops = self.ops.take();
        Ok(CommitFrame {
            seq: self.need(self.seq, "seq")?,
            repo: self.need(self.did, "repo")?,
            rev: self.need(self.rev, "rev")?,
            since: self.since.flatten(),
            commit: self.need(self.commit, "commit")?,
            prev_data: self.prev_data.flatten(),
            blocks: self.need(self.blocks, "blocks")?,
            ops: self.need(ops, "ops")?,
            time: self.need(self.time, "time")?,
        })
    }

    fn sync(&self) -> Result<SyncFrame<'a>, FrameError> {
        Ok(SyncFrame {
            seq: self.need(self.seq, "seq")?,
            did: self.need(self.did, "did")?,
            rev: self.need(self.rev, "rev")?,
            blocks: self.need(self.blocks, "blocks")?,
            time: self.need(self.time, "time")?,
        })
    }

    fn identity(&self) -> Result<IdentityFrame<'a>, FrameError> {
        Ok(IdentityFrame {
            seq: self.need(self.seq, "seq")?,
            did: self.need(self.did, "did")?,
            handle: self.handle,
            time: self.need(self.time, "time")?,
        })
    }

    fn account(&self) -> Result<AccountFrame<'a>, FrameError> {
        Ok(AccountFrame {
            seq: self.need(self.seq, "seq")?,
            did: self.need(self.did, "did")?,
            active: self.need(self.active, "active")?,
            status: self.status,
            time: self.need(self.time, "time")?,
        })
    }
}

/// Reads a field, which must not have been there before.
#[inline]
fn once<'a, T>(
    field: &mut Option<T>,
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, FrameError>,
) -> Result<(), FrameError> {
    if field.is_some() {
        return Err(reader.error(CborErrorKind::DuplicateKey).into());
    }
    *field = Some(read(reader)?);
    Ok(())
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, FrameError> {
    Ok(reader.text()?)
}

fn ops<'a>(reader: &mut Reader<'a>) -> Result<Vec<RepoOp<'a>>, FrameError> {
    let count = reader.array()?;
    if count > MAX_OPS {
        return Err(FrameError::TooManyOps { count });
    }
    let mut ops = Vec::with_capacity(count);
    for _ in 0..count {
        ops.push(op(reader)?);
    }
    Ok(ops)
}

fn op<'a>(reader: &mut Reader<'a>) -> Result<RepoOp<'a>, FrameError> {
    let (mut cid, mut path, mut prev, mut action) = (None, None, None, None);
    for _ in 0..reader.map()? {
        match reader.text_bytes()? {
            b"cid" => once(&mut cid, reader, |reader| Ok(reader.nullable(Reader::cid)?))?,
            b"path" => once(&mut path, reader, text)?,
            b"prev" => once(
                &mut prev,
                reader,
                |reader| Ok(reader.nullable(Reader::cid)?),
            )?,
            b"action" => once(&mut action, reader, |reader| match reader.text_bytes()? {
                b"create" => Ok(Action::Create),
                b"update" => Ok(Action::Update),
                b"delete" => Ok(Action::Delete),
                _ => Err(FrameError::Action),
            })?,
            _ => reader.skip()?,
        }
    }
    let missing = |field| FrameError::Missing {
        kind: "operation of a #commit",
        field,
    };
    Ok(RepoOp {
        action: action.ok_or_else(|| missing("action"))?,
        path: path.ok_or_else(|| missing("path"))?,
        cid: cid.flatten(),
        prev: prev.flatten(),
    })
}
