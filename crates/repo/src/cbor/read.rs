//! The reader.

use cid::Cid;

use super::{
    ARRAY, BYTES, CBOR_LINK, CborError, CborErrorKind, FALSE, FLOAT64, LINK_TAG, MAP, MAX_DEPTH,
    NINT, NULL, SIMPLE, TAG, TEXT, TRUE, UINT,
};
use crate::digest;

/// Reads values one after another from borrowed bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

type Result<T> = std::result::Result<T, CborError>;

impl<'a> Reader<'a> {
    pub(crate) const EMPTY: Reader<'static> = Reader { rest: &[], len: 0 };

    /// The same bytes read further: `rest` is what was left after something of `reader`'s.
    #[inline]
    pub(crate) fn at_rest_of(reader: &Self, rest: &'a [u8]) -> Self {
        Self {
            rest,
            len: reader.len,
        }
    }

    /// Reads over bytes that are known.
    #[inline]
    pub(crate) fn literal(&mut self, bytes: &[u8], what: &'static str) -> Result<()> {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.error(CborErrorKind::Unexpected(what))),
        }
    }

    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            len: bytes.len(),
        }
    }

    /// Offset of the next byte in what the reader was made of.
    pub(crate) fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Fails unless every byte was read.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(CborErrorKind::TrailingBytes))
        }
    }

    #[cold]
    pub(crate) fn error(&self, kind: CborErrorKind) -> CborError {
        CborError {
            kind,
            at: self.at(),
        }
    }

    #[inline]
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.error(CborErrorKind::Truncated)),
        }
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.error(CborErrorKind::Truncated)),
        }
    }

    /// Major type and argument of the next value. For major type 7 only what `skip` allows.
    #[inline]
    pub(crate) fn head(&mut self) -> Result<(u8, u64)> {
        let Some((&first, rest)) = self.rest.split_first() else {
            return Err(self.error(CborErrorKind::Truncated));
        };
        let (major, info) = (first >> 5, first & 0x1f);
        match (info, rest.split_first()) {
            (0..24, _) => {
                self.rest = rest;
                Ok((major, u64::from(info)))
            }
            (24, Some((&argument @ 24.., rest))) if major != SIMPLE => {
                self.rest = rest;
                Ok((major, u64::from(argument)))
            }
            _ => self.long_head(major, info),
        }
    }

    fn long_head(&mut self, major: u8, info: u8) -> Result<(u8, u64)> {
        let start = *self;
        self.take(1)?;
        let (argument, smallest) = match info {
            24 => (u64::from(u8::from_be_bytes(*self.take_array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(*self.take_array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(*self.take_array()?)), 1 << 16),
            27 => (u64::from_be_bytes(*self.take_array()?), 1 << 32),
            _ => return Err(start.error(CborErrorKind::NotCanonical)),
        };
        // Of the simple values only a 64-bit float takes more than one byte.
        let canonical = match major {
            SIMPLE => info == 27,
            _ => argument >= smallest,
        };
        if !canonical {
            return Err(start.error(CborErrorKind::NotCanonical));
        }
        Ok((major, argument))
    }

    #[inline]
    fn expect(&mut self, major: u8, what: &'static str) -> Result<u64> {
        let start = *self;
        match self.head()? {
            (found, argument) if found == major => Ok(argument),
            _ => Err(start.error(CborErrorKind::Unexpected(what))),
        }
    }

    /// A length that what is left can hold, at `each` bytes at least for every item.
    #[inline]
    fn length(&self, claimed: u64, each: usize) -> Result<usize> {
        match usize::try_from(claimed) {
            Ok(n) if n <= self.rest.len() / each => Ok(n),
            _ => Err(self.error(CborErrorKind::Truncated)),
        }
    }

    /// Number of pairs of a map.
    #[inline]
    pub(crate) fn map(&mut self) -> Result<usize> {
        let n = self.expect(MAP, "a map")?;
        self.length(n, 2)
    }

    /// Number of items of an array.
    #[inline]
    pub(crate) fn array(&mut self) -> Result<usize> {
        let n = self.expect(ARRAY, "an array")?;
        self.length(n, 1)
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.expect(BYTES, "bytes")?;
        let n = self.length(n, 1)?;
        self.take(n)
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let start = *self;
        let bytes = self.text_bytes()?;
        std::str::from_utf8(bytes).map_err(|_| start.error(CborErrorKind::NotUtf8))
    }

    /// Text whose bytes are compared with known ASCII text, so that they need no UTF-8 check.
    #[inline]
    pub(crate) fn text_bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.expect(TEXT, "text")?;
        let n = self.length(n, 1)?;
        self.take(n)
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Result<i64> {
        let start = *self;
        let (major, argument) = self.head()?;
        match (major, i64::try_from(argument)) {
            (UINT, Ok(n)) => Ok(n),
            (NINT, Ok(n)) => Ok(-1 - n),
            _ => Err(start.error(CborErrorKind::Unexpected("a 64-bit integer"))),
        }
    }

    /// An integer, or nothing for a value of another type.
    pub(crate) fn int_or_skip(&mut self) -> Result<Option<i64>> {
        let mut ahead = *self;
        self.skip()?;
        Ok(ahead.int().ok())
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        match self.rest.split_first() {
            Some((&FALSE, rest)) => {
                self.rest = rest;
                Ok(false)
            }
            Some((&TRUE, rest)) => {
                self.rest = rest;
                Ok(true)
            }
            Some(_) => Err(self.error(CborErrorKind::Unexpected("a boolean"))),
            None => Err(self.error(CborErrorKind::Truncated)),
        }
    }

    /// Consumes a null if it is next.
    #[inline]
    pub(crate) fn null(&mut self) -> bool {
        match self.rest.split_first() {
            Some((&NULL, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A link, as the CID's codec and digest.
    #[inline]
    pub(crate) fn link_parts(&mut self) -> Result<(u8, &'a [u8; 32])> {
        if let Some(rest) = self.rest.strip_prefix(&CBOR_LINK)
            && let Some((digest, rest)) = rest.split_first_chunk()
        {
            self.rest = rest;
            return Ok((digest::DAG_CBOR, digest));
        }
        self.any_link_parts()
    }

    fn any_link_parts(&mut self) -> Result<(u8, &'a [u8; 32])> {
        let start = *self;
        if self.expect(TAG, "a link")? != LINK_TAG {
            return Err(start.error(CborErrorKind::NotCanonical));
        }
        match self.bytes()?.split_first() {
            Some((0, cid)) => digest::split_cid(cid),
            _ => None,
        }
        .ok_or_else(|| start.error(CborErrorKind::BadLink))
    }

    /// A link to DAG-CBOR, as its digest.
    #[inline]
    pub(crate) fn cbor_link(&mut self) -> Result<&'a [u8; 32]> {
        let start = *self;
        match self.link_parts()? {
            (digest::DAG_CBOR, found) => Ok(found),
            _ => Err(start.error(CborErrorKind::BadLink)),
        }
    }

    #[inline]
    pub(crate) fn cid(&mut self) -> Result<Cid> {
        let (codec, found) = self.link_parts()?;
        Ok(digest::cid(codec, found))
    }

    /// Null or a value.
    #[inline]
    pub(crate) fn nullable<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.null() {
            Ok(None)
        } else {
            read(self).map(Some)
        }
    }

    /// Reads over one value of any type. What it says is not looked at: text need not be UTF-8.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<()> {
        self.skip_within(MAX_DEPTH)
    }

    #[inline]
    fn skip_within(&mut self, depth: u8) -> Result<()> {
        let start = *self;
        let (major, argument) = self.head()?;
        match major {
            UINT | NINT => Ok(()),
            BYTES | TEXT => {
                let n = self.length(argument, 1)?;
                self.take(n).map(drop)
            }
            TAG => {
                *self = start;
                self.link_parts().map(drop)
            }
            SIMPLE => match start.rest.first() {
                Some(&(NULL | FALSE | TRUE | FLOAT64)) => Ok(()),
                _ => Err(start.error(CborErrorKind::NotCanonical)),
            },
            _ => self.skip_items(major, argument, depth),
        }
    }

    /// Reads over what an array or a map holds.
    fn skip_items(&mut self, major: u8, claimed: u64, depth: u8) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.error(CborErrorKind::TooDeep));
        };
        let is_map = major == MAP;
        for _ in 0..self.length(claimed, 1 + usize::from(is_map))? {
            if is_map {
                self.text_bytes()?;
            }
            self.skip_within(depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor::write_int;

    fn skipped(bytes: &[u8]) -> std::result::Result<usize, CborErrorKind> {
        let mut reader = Reader::new(bytes);
        reader.skip().map(|()| reader.at()).map_err(|e| e.kind)
    }

    #[test]
    fn integers_round_trip_in_their_shortest_form() {
        for n in [
            0,
            1,
            23,
            24,
            255,
            256,
            65535,
            65536,
            i64::from(u32::MAX),
            1 << 32,
            i64::MAX,
            -1,
            -24,
            -25,
            -256,
            -257,
            i64::MIN,
        ] {
            let mut out = Vec::new();
            write_int(&mut out, n);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.int(), Ok(n), "written as {out:x?}");
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn lengths_that_lie_are_refused_before_they_are_used() {
        for bytes in [
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x7a, 0, 1, 0, 0, b'a'],
            &[0x82, 1],
            &[0xa1, 0x61, b'a'],
            &[0x19, 1],
            &[],
        ] {
            assert_eq!(skipped(bytes), Err(CborErrorKind::Truncated), "{bytes:x?}");
        }
    }

    #[test]
    fn only_the_canonical_form_is_read() {
        for bytes in [
            &[0x18, 23][..],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
            &[0x9f, 0xff],
            &[0x5f, 0xff],
            &[0xf7],
            &[0xf9, 0, 0],
            &[0xf8, 20],
            &[0xc1, 0],
            &[0x1c],
        ] {
            assert_eq!(
                skipped(bytes),
                Err(CborErrorKind::NotCanonical),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
        assert_eq!(
            skipped(&nested(usize::from(MAX_DEPTH))),
            Ok(usize::from(MAX_DEPTH) + 1)
        );
        assert_eq!(
            skipped(&nested(usize::from(MAX_DEPTH) + 1)),
            Err(CborErrorKind::TooDeep)
        );
        assert_eq!(skipped(&nested(1_000_000)), Err(CborErrorKind::TooDeep));
    }
}
