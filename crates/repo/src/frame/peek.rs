//! What decides whether a frame is of interest, read in place.

use super::{FrameError, Kind, MAX_FRAME_LEN};
use crate::cbor::{CborErrorKind, Reader};

/// The first facts of a frame, borrowed from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Peek<'a> {
    kind: Kind,
    seq: Option<i64>,
    did: Option<&'a str>,
    ops: OpPaths<'a>,
}

impl<'a> Peek<'a> {
    /// What the frame is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its place in the stream, if it has one.
    #[must_use]
    pub fn seq(&self) -> Option<i64> {
        self.seq
    }

    /// The repository or account that it is about.
    #[must_use]
    pub fn did(&self) -> Option<&'a str> {
        self.did
    }

    /// The paths of a commit's operations; of other frames, none.
    #[must_use]
    pub fn op_paths(&self) -> OpPaths<'a> {
        self.ops
    }
}

/// Reads a frame's type, `seq`, repository and operations' paths, in place and without allocating.
/// What comes after these in the frame is not looked at, and may still be malformed.
///
/// # Errors
/// [`FrameError`] if these cannot be read.
///
/// ```
/// use atcomms_repo::frame::{AccountFrame, Frame, Kind, peek};
///
/// let frame = Frame::Account(AccountFrame {
///     seq: 4, did: "did:plc:zmwaxnesqhtu6sdgylzfwfdz", active: true, status: None, time: "2026-01-01T00:00:00Z",
/// });
/// let bytes = frame.encode();
/// let peek = peek(&bytes)?;
/// assert_eq!((peek.kind(), peek.seq()), (Kind::Account, Some(4)));
/// assert_eq!(peek.did(), Some("did:plc:zmwaxnesqhtu6sdgylzfwfdz"));
/// # Ok::<(), atcomms_repo::frame::FrameError>(())
/// ```
pub fn peek(bytes: &[u8]) -> Result<Peek<'_>, FrameError> {
    if bytes.len() > MAX_FRAME_LEN {
        return Err(FrameError::TooLarge { len: bytes.len() });
    }
    let mut reader = Reader::new(bytes);
    let (kind, _) = header(&mut reader)?;
    if kind == Kind::Commit
        && let Some(peek) = usual_commit(reader)
    {
        return Ok(peek);
    }
    let mut peek = Peek {
        kind,
        seq: None,
        did: None,
        ops: OpPaths::NONE,
    };
    let mut has_ops = kind != Kind::Commit;
    let wants_seq = !matches!(kind, Kind::Info | Kind::Error);
    if !wants_seq {
        return Ok(peek);
    }
    let wants_did = kind != Kind::Unknown;
    for _ in 0..reader.map()? {
        match reader.text_bytes()? {
            b"ops" if !has_ops => {
                peek.ops = OpPaths::scan(&mut reader)?;
                has_ops = true;
            }
            b"seq" if kind == Kind::Unknown => peek.seq = reader.int_or_skip()?,
            b"seq" => peek.seq = Some(reader.int()?),
            b"repo" if kind == Kind::Commit => peek.did = Some(reader.text()?),
            b"did" if kind != Kind::Commit && wants_did => peek.did = Some(reader.text()?),
            _ => reader.skip()?,
        }
        if has_ops && peek.seq.is_some() && (peek.did.is_some() || !wants_did) {
            return Ok(peek);
        }
    }
    let (kind, field) = match kind {
        Kind::Unknown => return Ok(peek),
        Kind::Commit if !has_ops => ("#commit", "ops"),
        Kind::Commit if peek.did.is_none() => ("#commit", "repo"),
        _ if peek.did.is_none() => ("account", "did"),
        _ => ("numbered", "seq"),
    };
    Err(FrameError::Missing { kind, field })
}

/// What a commit's body says, if it begins with the fields that the protocol's servers begin with, in
/// canonical order. Nearly every frame does: nothing is looked for, only compared. What it cannot read is
/// not wrong yet.
#[inline]
fn usual_commit(mut reader: Reader<'_>) -> Option<Peek<'_>> {
    reader.map().ok()?;
    reader = after(reader, b"\x63ops")?;
    let left = reader.array().ok()?;
    let (mut first, mut second) = (None, reader);
    for at in 0..left {
        let path;
        (path, reader) = usual_op(reader)?;
        if at == 0 {
            (first, second) = (Some(path), reader);
        }
    }
    reader = after(reader, b"\x63rev")?;
    reader.text_bytes().ok()?;
    reader = after(reader, b"\x63seq")?;
    let seq = reader.int().ok()?;
    reader = after(reader, b"\x64repo")?;
    Some(Peek {
        kind: Kind::Commit,
        seq: Some(seq),
        did: Some(reader.text().ok()?),
        ops: OpPaths {
            first,
            reader: second,
            left,
        },
    })
}

/// The path of an operation whose fields are the usual ones, and what comes after it.
#[inline]
fn usual_op(reader: Reader<'_>) -> Option<(&str, Reader<'_>)> {
    let has_prev = reader.rest().starts_with(b"\xa4");
    let mut reader = match has_prev {
        true => after(reader, b"\xa4\x63cid")?,
        false => after(reader, b"\xa3\x63cid")?,
    };
    reader.nullable(Reader::link_parts).ok()?;
    reader = after(reader, b"\x64path")?;
    let path = reader.text().ok()?;
    if has_prev {
        reader = after(reader, b"\x64prev")?;
        reader.nullable(Reader::link_parts).ok()?;
    }
    reader = after(reader, b"\x66action")?;
    reader.text_bytes().ok()?;
    Some((path, reader))
}

/// What comes after these bytes, if they are next.
#[inline]
fn after<'a>(reader: Reader<'a>, bytes: &[u8]) -> Option<Reader<'a>> {
    let rest = reader.rest().strip_prefix(bytes)?;
    Some(Reader::at_rest_of(&reader, rest))
}

/// Reads a frame's header: its kind, and the name of its type.
#[inline]
pub(super) fn header<'a>(reader: &mut Reader<'a>) -> Result<(Kind, &'a str), FrameError> {
    /// The headers that the network's servers write, whole: `{"t": …, "op": 1}`.
    const COMMIT: &[u8] = b"\xa2\x61t\x67#commit\x62op\x01";
    if let Some(rest) = reader.rest().strip_prefix(COMMIT) {
        *reader = Reader::at_rest_of(reader, rest);
        return Ok((Kind::Commit, "#commit"));
    }
    let (mut op, mut name) = (None, None);
    for _ in 0..reader.map()? {
        match reader.text_bytes()? {
            b"op" if op.is_none() => op = Some(reader.int()?),
            b"t" if name.is_none() => name = Some(reader.text()?),
            b"op" | b"t" => return Err(reader.error(CborErrorKind::DuplicateKey).into()),
            _ => reader.skip()?,
        }
    }
    match (op, name) {
        (Some(-1), name) => Ok((Kind::Error, name.unwrap_or_default())),
        (Some(1), Some(name)) => Ok((kind_of(name), name)),
        (Some(1), None) => Err(FrameError::Missing {
            kind: "message",
            field: "t",
        }),
        (Some(_), name) => Ok((Kind::Unknown, name.unwrap_or_default())),
        (None, _) => Err(FrameError::Missing {
            kind: "header of a",
            field: "op",
        }),
    }
}

fn kind_of(name: &str) -> Kind {
    match name {
        "#commit" => Kind::Commit,
        "#sync" => Kind::Sync,
        "#identity" => Kind::Identity,
        "#account" => Kind::Account,
        "#info" => Kind::Info,
        _ => Kind::Unknown,
    }
}

/// The paths of a commit's operations, in order.
#[derive(Clone, Copy)]
pub struct OpPaths<'a> {
    /// The path that comes next, which is known from scanning if it is the first.
    first: Option<&'a str>,
    /// Stands after the first operation, or after the last one that was given.
    reader: Reader<'a>,
    left: usize,
}

impl<'a> OpPaths<'a> {
    const NONE: OpPaths<'static> = OpPaths {
        first: None,
        reader: Reader::EMPTY,
        left: 0,
    };

    /// Reads over an array of operations, after which each is known to have a path.
    #[inline]
    fn scan(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        let left = reader.array()?;
        let first = if left == 0 {
            None
        } else {
            Some(path_of_op(reader)?)
        };
        let paths = Self {
            first,
            reader: *reader,
            left,
        };
        for _ in 1..left {
            path_of_op(reader)?;
        }
        Ok(paths)
    }
}

/// Reads over one operation, and gives its path.
#[inline]
fn path_of_op<'a>(reader: &mut Reader<'a>) -> Result<&'a str, FrameError> {
    let mut path = None;
    for _ in 0..reader.map()? {
        match reader.text_bytes()? {
            b"path" if path.is_none() => path = Some(reader.text()?),
            b"path" => return Err(reader.error(CborErrorKind::DuplicateKey).into()),
            _ => reader.skip()?,
        }
    }
    path.ok_or(FrameError::Missing {
        kind: "operation of a #commit",
        field: "path",
    })
}

impl<'a> Iterator for OpPaths<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.checked_sub(1)?;
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if let Some((path, reader)) = usual_op(self.reader) {
            self.reader = reader;
            return Some(path);
        }
        path_of_op(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for OpPaths<'_> {}

impl std::fmt::Debug for OpPaths<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &[u8] = b"\xd8\x2a\x58\x25\x00\x01\x71\x12\x2000000000000000000000000000000000";

    fn frame(fields: &[&[u8]]) -> Vec<u8> {
        let count = u8::try_from(fields.len()).unwrap();
        let header = b"\xa2\x61t\x67#commit\x62op\x01";
        [&header[..], &[0xa0 | count], &fields.concat()].concat()
    }

    /// What a peek says, and whether it was as fast as for what is usual.
    fn said(bytes: &[u8]) -> (Option<i64>, Option<&str>, Vec<&str>, bool) {
        let peek = peek(bytes).unwrap();
        let mut body = Reader::new(bytes);
        header(&mut body).unwrap();
        let usual = usual_commit(body).is_some();
        (peek.seq(), peek.did(), peek.op_paths().collect(), usual)
    }

    #[test]
    fn what_is_written_in_another_order_says_the_same() {
        let (rev, seq) = (&b"\x63rev\x62r1"[..], &b"\x63seq\x18\x2a"[..]);
        let repo = &b"\x64repo\x69did:web:a"[..];
        let create = [b"\xa3\x63cid", LINK, b"\x64path\x63a/1\x66action\x66create"].concat();
        let delete = [
            b"\xa4\x63cid\xf6\x64path\x63b/2\x64prev",
            LINK,
            b"\x66action\x66delete",
        ];
        let delete = delete.concat();
        let update = [
            b"\xa4\x66action\x66update\x63cid",
            LINK,
            b"\x64prev\xf6\x64path\x63c/3",
        ];
        let update = update.concat();
        let usual = [b"\x63ops\x82", &create[..], &delete].concat();
        let mixed = [b"\x63ops\x82", &create[..], &update].concat();
        let none = &b"\x63ops\x80"[..];
        let expected =
            |paths: &[&'static str], usual| (Some(42), Some("did:web:a"), paths.to_vec(), usual);
        let bytes = frame(&[&usual, rev, seq, repo]);
        assert_eq!(said(&bytes), expected(&["a/1", "b/2"], true));
        let bytes = frame(&[none, rev, seq, repo]);
        assert_eq!(said(&bytes), expected(&[], true));
        let bytes = frame(&[repo, seq, &usual, rev]);
        assert_eq!(said(&bytes), expected(&["a/1", "b/2"], false));
        let bytes = frame(&[&mixed, rev, seq, repo]);
        assert_eq!(said(&bytes), expected(&["a/1", "c/3"], false));
    }
}
