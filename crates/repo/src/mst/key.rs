//! The keys of a tree, held inside their entries.

use std::cmp::Ordering;

/// Keys up to this length live in the entry itself. `app.bsky.graph.follow/` and a TID are 35
/// bytes; with the length and the tag an entry's key takes 48.
const INLINE: usize = 46;

/// The longest repository path: an NSID of 317 bytes, a slash, a record key of 512, and room.
pub(super) const MAX_KEY_LEN: usize = 1024;

#[derive(Clone)]
pub(super) enum Key {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Key {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self::join(bytes, &[])
    }

    /// The key made of two parts, as nodes write it: what it shares with the key before, and the rest.
    #[inline]
    pub(super) fn join(prefix: &[u8], suffix: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        let total = prefix.len() + suffix.len();
        if let (Some((head, tail)), Ok(len)) = (
            bytes.split_at_mut_checked(prefix.len()),
            u8::try_from(total),
        ) && let Some(tail) = tail.get_mut(..suffix.len())
        {
            head.copy_from_slice(prefix);
            tail.copy_from_slice(suffix);
            return Self::Inline { len, bytes };
        }
        Self::Heap([prefix, suffix].concat().into_boxed_slice())
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Self::Heap(bytes) => bytes,
        }
    }

    /// Keys are ASCII: this is checked when they enter a tree.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    #[inline]
    pub(super) fn compare(&self, key: &[u8]) -> Ordering {
        self.as_bytes().cmp(key)
    }
}

/// Whether the bytes may be a key: printable ASCII, not empty, not too long.
pub(super) fn is_valid(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len() <= MAX_KEY_LEN && is_graphic(bytes)
}

/// Whether all bytes are printable ASCII. Looks at all of them, many at once.
#[inline]
pub(super) fn is_graphic(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |all, byte| all & byte.is_ascii_graphic())
}

/// Bytes that are compared at once.
const CHUNK: usize = 8;

/// Length in bytes of what two keys share at their beginning, which a node writes only once.
#[inline]
#[must_use]
pub fn common_prefix(left: impl AsRef<[u8]>, right: impl AsRef<[u8]>) -> usize {
    let (left, right) = (left.as_ref(), right.as_ref());
    // Keys of one collection share some 20 bytes: these are compared in two steps.
    let chunks = left.chunks_exact(CHUNK).zip(right.chunks_exact(CHUNK));
    let same = CHUNK * chunks.take_while(|(l, r)| l == r).count();
    let (left, right) = (left.iter().skip(same), right.iter().skip(same));
    same + left.zip(right).take_while(|(l, r)| l == r).count()
}
