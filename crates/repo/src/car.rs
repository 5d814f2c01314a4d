//! CAR files (version 1), in which blocks travel: inside a commit's frame, as a repository's
//! export, as a proof.
//!
//! Reading borrows, and hashes every block: what a [`Car`] gives has been checked against its CID.

use atcomms_lexicon::fault;
use bytes::Bytes;
use cid::Cid;
use thiserror::Error;

use crate::cbor::{self, CborError, Reader};
use crate::digest::{self, CID_LEN, Digest};
use crate::mst::BlockSource;

/// Up to this many blocks are looked up one by one, which is faster than sorting them first. A
/// commit of one operation carries eight.
const LINEAR_LOOKUP: usize = 24;

/// A varint longer than this would not fit 63 bits.
const MAX_VARINT_LEN: usize = 9;

/// A block: bytes with their CID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The CID that the bytes go by.
    pub cid: Cid,
    /// The bytes.
    pub bytes: Bytes,
}

impl Block {
    /// The block that DAG-CBOR bytes make.
    #[must_use]
    pub fn from_cbor(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            cid: digest::cbor_cid(&digest::sha256(&bytes)),
            bytes,
        }
    }
}

/// Bytes are not a CAR that can be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CarError {
    /// A section reaches past the end, or its length cannot be read.
    #[error("the CAR ends early, or claims a section beyond its end, at byte {at}")]
    Truncated {
        /// Offset of the section.
        at: usize,
    },
    /// The header cannot be read.
    #[error("the CAR's header cannot be read: {0}")]
    Header(#[from] CborError),
    /// The header says another version than 1.
    #[error("the CAR is of version {0}; only version 1 is known")]
    Version(i64),
    /// The header names no root.
    #[error("the CAR names no root")]
    NoRoot,
    /// A section does not begin with a CID that can be checked.
    #[error(
        "the CAR's section at byte {at} does not begin with a CIDv1 of SHA-256 over DAG-CBOR or raw bytes"
    )]
    BadCid {
        /// Offset of the section.
        at: usize,
    },
    /// A block's bytes do not hash to its CID.
    #[error("the bytes of block {cid} do not hash to it: they were changed on the way")]
    BlockHash {
        /// What the block claims to be.
        cid: Box<Cid>,
    },
}

impl CarError {
    /// A stable name for counters: `block_hash`, or `car` for what is wrong with the form.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BlockHash { .. } => "block_hash",
            _ => "car",
        }
    }
}

#[derive(Clone, Copy)]
struct Section<'a> {
    codec: u8,
    digest: &'a Digest,
    bytes: &'a [u8],
}

impl<'a> Section<'a> {
    fn key(&self) -> (&'a Digest, u8) {
        (self.digest, self.codec)
    }
}

/// A CAR whose blocks all hash to their CIDs. Borrows from the bytes that it was read from.
///
/// ```
/// use atcomms_repo::car::{self, Block, Car};
///
/// let block = Block::from_cbor(vec![0xa0]);
/// let mut bytes = car::write(&block.cid, [&block]);
/// assert_eq!(Car::read(&bytes)?.get(&block.cid), Some(&[0xa0][..]));
/// *bytes.last_mut().unwrap() = 0x80;
/// assert_eq!(Car::read(&bytes).err().map(|error| error.reason()), Some("block_hash"));
/// # Ok::<(), atcomms_repo::car::CarError>(())
/// ```
pub struct Car<'a> {
    root: Cid,
    /// The roots after the first, of which nearly every CAR has none.
    more_roots: Vec<Cid>,
    sections: Vec<Section<'a>>,
    /// The sections in the order of their digests, if there are many.
    sorted: Vec<Section<'a>>,
}

impl<'a> Car<'a> {
    /// Reads a CAR and hashes every block.
    ///
    /// # Errors
    /// [`CarError`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, CarError> {
        let mut rest = Sections::open(bytes)?;
        let mut sections = Vec::with_capacity(16);
        while let Some(section) = rest.next_section()? {
            if digest::sha256(section.bytes) != *section.digest && !fault::on("block-hash") {
                return Err(CarError::BlockHash {
                    cid: Box::new(digest::cid(section.codec, section.digest)),
                });
            }
            sections.push(section);
        }
        let mut sorted = Vec::new();
        if sections.len() > LINEAR_LOOKUP {
            sorted.clone_from(&sections);
            sorted.sort_unstable_by_key(Section::key);
        }
        Ok(Self {
            root: rest.root,
            more_roots: rest.more_roots,
            sections,
            sorted,
        })
    }

    /// The first root, which is the commit's CID in every CAR of this protocol.
    #[must_use]
    pub fn root(&self) -> Cid {
        self.root
    }

    /// The roots after the first.
    #[must_use]
    pub fn more_roots(&self) -> &[Cid] {
        &self.more_roots
    }

    /// Number of blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sections.len()
    }

    /// Whether there are no blocks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// The blocks, in the order in which they stand.
    pub fn blocks(&self) -> impl Iterator<Item = (Cid, &'a [u8])> {
        self.sections
            .iter()
            .map(|section| (digest::cid(section.codec, section.digest), section.bytes))
    }

    /// The bytes of a block.
    #[must_use]
    pub fn get(&self, cid: &Cid) -> Option<&'a [u8]> {
        let codec = u8::try_from(cid.codec()).ok()?;
        let digest = cid.hash().digest().try_into().ok()?;
        self.find(codec, digest)
    }

    /// The bytes of a block that must be DAG-CBOR by its CID too: the same bytes go by another CID as raw ones.
    pub(crate) fn get_cbor(&self, cid: &Cid) -> Option<&'a [u8]> {
        self.get(cid).filter(|_| digest::of_cbor(cid).is_some())
    }

    #[inline]
    fn find(&self, codec: u8, digest: &Digest) -> Option<&'a [u8]> {
        let section = if self.sorted.is_empty() {
            let mut all = self.sections.iter();
            all.find(|section| section.digest == digest && section.codec == codec)?
        } else {
            let key = (digest, codec);
            let found = self.sorted.binary_search_by_key(&key, Section::key);
            self.sorted.get(found.ok()?)?
        };
        Some(section.bytes)
    }
}

impl BlockSource for Car<'_> {
    fn block(&self, cid: &Cid) -> Option<&[u8]> {
        self.get(cid)
    }
}

/// The root of a CAR and the block with that CID, hashed; the other blocks are passed over
/// unhashed. For what needs no more than a commit's own claims.
pub(crate) fn root_block(bytes: &[u8]) -> Result<(Cid, Option<&[u8]>), CarError> {
    let mut sections = Sections::open(bytes)?;
    let root = sections.root;
    while let Some(section) = sections.next_section()? {
        if digest::cid(section.codec, section.digest) == root {
            return if digest::sha256(section.bytes) == *section.digest {
                Ok((root, Some(section.bytes)))
            } else {
                Err(CarError::BlockHash {
                    cid: Box::new(root),
                })
            };
        }
    }
    Ok((root, None))
}

/// The sections of a CAR, whose header was read.
struct Sections<'a> {
    root: Cid,
    more_roots: Vec<Cid>,
    rest: &'a [u8],
    len: usize,
}

impl<'a> Sections<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, CarError> {
        let mut rest = bytes;
        let header = take_section(&mut rest).ok_or(CarError::Truncated { at: 0 })?;
        let (root, more_roots) = read_header(header)?;
        Ok(Self {
            root,
            more_roots,
            rest,
            len: bytes.len(),
        })
    }

    #[inline]
    fn next_section(&mut self) -> Result<Option<Section<'a>>, CarError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.len - self.rest.len();
        let section = take_section(&mut self.rest).ok_or(CarError::Truncated { at })?;
        let (cid, bytes) = section
            .split_at_checked(CID_LEN)
            .ok_or(CarError::BadCid { at })?;
        let (codec, digest) = digest::split_cid(cid).ok_or(CarError::BadCid { at })?;
        Ok(Some(Section {
            codec,
            digest,
            bytes,
        }))
    }
}

fn read_header(header: &[u8]) -> Result<(Cid, Vec<Cid>), CarError> {
    let mut reader = Reader::new(header);
    let (mut root, mut more, mut version) = (None, Vec::new(), None);
    for _ in 0..reader.map()? {
        match reader.text_bytes()? {
            b"roots" => {
                for at in 0..reader.array()? {
                    let cid = reader.cid()?;
                    if at == 0 {
                        root = Some(cid);
                    } else {
                        more.push(cid);
                    }
                }
            }
            b"version" => version = Some(reader.int()?),
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    match version {
        Some(1) => Ok((root.ok_or(CarError::NoRoot)?, more)),
        version => Err(CarError::Version(version.unwrap_or_default())),
    }
}

#[inline]
fn take_section<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut len = 0_u64;
    let mut rest = *bytes;
    for shift in 0..MAX_VARINT_LEN {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        len |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            let (section, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            *bytes = after;
            return Some(section);
        }
    }
    None
}

/// Writes a CAR.
pub fn write<'b>(root: &Cid, blocks: impl IntoIterator<Item = &'b Block>) -> Vec<u8> {
    write_roots(std::slice::from_ref(root), blocks)
}

/// Writes a CAR of several roots.
pub(crate) fn write_roots<'b>(
    roots: &[Cid],
    blocks: impl IntoIterator<Item = &'b Block>,
) -> Vec<u8> {
    let mut header = vec![0xa2];
    cbor::write_text(&mut header, "roots");
    cbor::write_len(&mut header, cbor::ARRAY, roots.len());
    for root in roots {
        cbor::write_link(&mut header, root);
    }
    cbor::write_text(&mut header, "version");
    cbor::write_int(&mut header, 1);
    let mut out = Vec::new();
    write_varint(&mut out, header.len());
    out.extend_from_slice(&header);
    for block in blocks {
        let cid = block.cid.to_bytes();
        write_varint(&mut out, cid.len() + block.bytes.len());
        out.extend_from_slice(&cid);
        out.extend_from_slice(&block.bytes);
    }
    out
}

fn write_varint(out: &mut Vec<u8>, mut n: usize) {
    loop {
        let [low, ..] = n.to_le_bytes();
        n >>= 7;
        if n == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}
