//! One node: its entries, its links, and its bytes.

use std::sync::{Arc, OnceLock};

use super::MstError;
use super::key::{self, Key};
use crate::cbor::{self, CborError, Reader};
use crate::digest::{self, Digest};

/// A link to a subtree: loaded, or known by its digest only.
#[derive(Clone)]
pub(super) enum Link {
    Missing(Digest),
    Node(Arc<Node>),
}

impl Link {
    /// The digest. Of a loaded node it must be sealed.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Missing(digest) => *digest,
            Self::Node(node) => *node.seal(&mut Vec::new()),
        }
    }

    pub(super) fn node(&self) -> Result<&Arc<Node>, MstError> {
        match self {
            Self::Node(node) => Ok(node),
            Self::Missing(digest) => Err(MstError::missing(digest)),
        }
    }

    pub(super) fn into_node(self) -> Result<Arc<Node>, MstError> {
        match self {
            Self::Node(node) => Ok(node),
            Self::Missing(digest) => Err(MstError::missing(&digest)),
        }
    }

    pub(super) fn node_mut(&mut self) -> Result<&mut Node, MstError> {
        match self {
            Self::Node(node) => Ok(Node::make_mut(node)),
            Self::Missing(digest) => Err(MstError::missing(digest)),
        }
    }
}

/// A key with its value, and the subtree between it and the next key.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Digest,
    pub(super) right: Option<Link>,
}

/// A node. Clones share their subtrees; the digest is kept until the node changes.
#[derive(Clone, Default)]
pub(super) struct Node {
    digest: OnceLock<Digest>,
    pub(super) level: u8,
    pub(super) left: Option<Link>,
    pub(super) entries: Vec<Entry>,
}

impl Node {
    pub(super) fn new(level: u8, left: Option<Link>, entries: Vec<Entry>) -> Self {
        Self {
            digest: OnceLock::new(),
            level,
            left,
            entries,
        }
    }

    /// The node for writing: its digest is forgotten.
    pub(super) fn make_mut(node: &mut Arc<Self>) -> &mut Self {
        let node = Arc::make_mut(node);
        node.digest.take();
        node
    }

    /// Takes the node out for writing: its digest is forgotten.
    pub(super) fn take(node: Arc<Self>) -> Self {
        let mut node = Arc::unwrap_or_clone(node);
        node.digest.take();
        node
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left.is_none()
    }

    /// As a link, unless it is empty.
    pub(super) fn into_link(self) -> Option<Link> {
        if self.is_empty() {
            None
        } else {
            Some(Link::Node(Arc::new(self)))
        }
    }

    /// The entry with the key, or the gap where it belongs.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| entry.key.compare(key))
    }

    /// The subtree in the gap before entry `gap`.
    #[inline]
    pub(super) fn child(&self, gap: usize) -> Option<&Link> {
        match gap.checked_sub(1) {
            None => self.left.as_ref(),
            Some(before) => self
                .entries
                .get(before)
                .and_then(|entry| entry.right.as_ref()),
        }
    }

    /// The place of the subtree in the gap before entry `gap`; past the end, the last one.
    #[inline]
    pub(super) fn child_mut(&mut self, gap: usize) -> &mut Option<Link> {
        let before = gap.min(self.entries.len()).wrapping_sub(1);
        match self.entries.get_mut(before) {
            None => &mut self.left,
            Some(entry) => &mut entry.right,
        }
    }

    /// The digest, computed where it is not known, with that of every changed node below.
    pub(super) fn seal(&self, scratch: &mut Vec<u8>) -> &Digest {
        if let Some(digest) = self.digest.get() {
            return digest;
        }
        for gap in 0..=self.entries.len() {
            if let Some(Link::Node(child)) = self.child(gap) {
                child.seal(scratch);
            }
        }
        scratch.clear();
        self.write(scratch);
        self.digest.get_or_init(|| digest::sha256(scratch))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 96 * self.entries.len());
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0xa2, 0x61, b'e']);
        cbor::write_len(out, cbor::ARRAY, self.entries.len());
        let mut before: &[u8] = &[];
        for entry in &self.entries {
            let key = entry.key.as_bytes();
            let shared = key::common_prefix(before, key);
            out.extend_from_slice(&[0xa4, 0x61, b'k']);
            cbor::write_bytes(out, key.get(shared..).unwrap_or_default());
            out.extend_from_slice(&[0x61, b'p']);
            cbor::write_len(out, cbor::UINT, shared);
            write_link(out, b't', entry.right.as_ref());
            cbor::write_cbor_link_field(out, b'v', &entry.value);
            before = key;
        }
        write_link(out, b'l', self.left.as_ref());
    }

    /// Reads a block's bytes, whose digest is known. Only the bytes that `write` would make are read:
    /// keys in order, prefixes as long as they can be. The level is for the caller to set, and the
    /// links are not followed.
    pub(super) fn parse(bytes: &[u8], digest: Digest) -> Result<Self, MstError> {
        let malformed = |source: CborError| MstError::Malformed {
            cid: Box::new(digest::cbor_cid(&digest)),
            source,
        };
        let mut reader = Reader::new(bytes);
        let (left, entries) = parse_body(&mut reader).map_err(|e| match e {
            ParseError::Cbor(source) => malformed(source),
            ParseError::Keys => MstError::Keys {
                cid: Box::new(digest::cbor_cid(&digest)),
            },
        })?;
        reader.finish().map_err(malformed)?;
        Ok(Self {
            digest: OnceLock::from(digest),
            level: 0,
            left,
            entries,
        })
    }
}

enum ParseError {
    Cbor(CborError),
    Keys,
}

impl From<CborError> for ParseError {
    fn from(error: CborError) -> Self {
        Self::Cbor(error)
    }
}

type Body = (Option<Link>, Vec<Entry>);

fn parse_body(reader: &mut Reader<'_>) -> Result<Body, ParseError> {
    /// A node's entry takes at least this many bytes: four keys, a link and three short values.
    const MIN_ENTRY: usize = 1 + 4 * 2 + 41 + 3;
    reader.literal(&[0xa2, 0x61, b'e'], "the map of an MST node")?;
    let count = reader.array()?;
    let mut entries: Vec<Entry> = Vec::with_capacity(count.min(reader.rest().len() / MIN_ENTRY));
    for _ in 0..count {
        reader.literal(&[0xa4, 0x61, b'k'], "the map of an MST entry")?;
        let suffix = reader.bytes()?;
        reader.literal(&[0x61, b'p'], "an MST entry's prefix length")?;
        let shared = usize::try_from(reader.int()?).map_err(|_| ParseError::Keys)?;
        reader.literal(&[0x61, b't'], "an MST entry's subtree")?;
        let right = read_link(reader)?;
        reader.literal(&[0x61, b'v'], "an MST entry's value")?;
        let value = *reader.cbor_link()?;

        let before = entries.last().map_or(&[][..], |entry| entry.key.as_bytes());
        let prefix = before.get(..shared).ok_or(ParseError::Keys)?;
        let (Some(first), true) = (suffix.first(), shared + suffix.len() <= key::MAX_KEY_LEN)
        else {
            return Err(ParseError::Keys);
        };
        // Given that the prefix is as long as can be, one byte tells the order of the two keys.
        if before.get(shared).is_some_and(|next| next >= first) || !key::is_graphic(suffix) {
            return Err(ParseError::Keys);
        }
        let key = Key::join(prefix, suffix);
        entries.push(Entry { key, value, right });
    }
    reader.literal(&[0x61, b'l'], "an MST node's left subtree")?;
    let left = read_link(reader)?;
    Ok((left, entries))
}

#[inline]
fn read_link(reader: &mut Reader<'_>) -> Result<Option<Link>, CborError> {
    reader.nullable(|reader| reader.cbor_link().map(|digest| Link::Missing(*digest)))
}

#[inline]
fn write_link(out: &mut Vec<u8>, field: u8, link: Option<&Link>) {
    match link {
        None => out.extend_from_slice(&[0x61, field, cbor::NULL]),
        Some(link) => cbor::write_cbor_link_field(out, field, &link.digest()),
    }
}
