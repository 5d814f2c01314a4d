//! Makes damaged blocks whole again: each gets the CID that its bytes have, and each link to it follows, so that
//! what comes after the hashes is reached.

use std::collections::HashMap;

use atcomms_lexicon::Cid;
use atcomms_lexicon::cid::from_digest;
use atcomms_repo::car::{self, Block};
use bytes::Bytes;

/// What is more is not worth the time.
const MAX_BLOCKS: usize = 96;
const MAX_LEN: usize = 64 * 1024;

const CID_LEN: usize = 36;
const DIGEST_LEN: usize = 32;

/// Blocks whose CIDs are right.
pub(crate) struct Rehashed {
    /// The first is that which the CAR named as its root, if it was there.
    pub(crate) blocks: Vec<Block>,
    /// What became of a CID.
    pub(crate) became: HashMap<Cid, Cid>,
}

impl Rehashed {
    /// Reads sections of a CAR (each a length, a CID and its bytes) as far as they can be read, whatever they hash to.
    pub(crate) fn read(car: &[u8]) -> Option<Self> {
        if car.len() > MAX_LEN {
            return None;
        }
        let mut rest = car;
        take(&mut rest)?; // the header: its root is found by who knows the commit
        let mut sections: Vec<Section> = Vec::new();
        while let Some(section) = take(&mut rest) {
            let (cid, bytes) = section.split_at_checked(CID_LEN)?;
            let cid = atcomms_lexicon::Cid::try_from(cid)
                .ok()
                .filter(is_checked)?;
            sections.push((cid, cid, bytes.to_vec()));
            if sections.len() > MAX_BLOCKS {
                return None;
            }
        }
        // Children before parents, whatever their order. What claims to be may form a circle, and then never fits.
        let mut passes = 0..=sections.len();
        while follow(&mut sections) {
            passes.next()?;
        }
        let became = sections.iter().map(|(was, is, _)| (*was, *is)).collect();
        let blocks = sections.into_iter().map(|(_, cid, bytes)| Block {
            cid,
            bytes: bytes.into(),
        });
        Some(Self {
            blocks: blocks.collect(),
            became,
        })
    }

    /// The blocks as a CAR.
    pub(crate) fn car(&self, root: &Cid) -> Vec<u8> {
        car::write(root, &self.blocks)
    }

    /// The blocks by their CIDs.
    pub(crate) fn by_cid(&self) -> HashMap<Cid, Bytes> {
        self.blocks
            .iter()
            .map(|block| (block.cid, block.bytes.clone()))
            .collect()
    }

    /// What a CID has become.
    pub(crate) fn now(&self, cid: Cid) -> Cid {
        self.became.get(&cid).copied().unwrap_or(cid)
    }
}

/// What a section claimed to be, what it claims to be by now, and its bytes.
type Section = (Cid, Cid, Vec<u8>);

/// Gives each section the CID that its bytes have, in all that link to it; whether there was any that had another.
fn follow(sections: &mut [Section]) -> bool {
    let mut changed = false;
    for at in 0..sections.len() {
        let (_, claimed, bytes) = &sections[at];
        let (claimed, actual) = (*claimed, cid_of(claimed.codec(), bytes));
        if claimed != actual {
            changed = true;
            sections[at].1 = actual;
            let (from, to) = (claimed.hash().digest(), actual.hash().digest());
            for (_, _, bytes) in sections.iter_mut() {
                replace(bytes, from, to);
            }
        }
    }
    changed
}

/// The CID that bytes have.
pub(crate) fn cid_of(codec: u64, bytes: &[u8]) -> Cid {
    let digest = *atcomms_lexicon::cid_for_raw(bytes).hash();
    from_digest(codec, digest.digest().try_into().expect("32 bytes"))
}

fn is_checked(cid: &Cid) -> bool {
    matches!(cid.codec(), 0x71 | 0x55) && cid.hash().code() == 0x12
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + DIGEST_LEN) {
        if window == from {
            window.copy_from_slice(to);
            at += DIGEST_LEN;
        } else {
            at += 1;
        }
    }
}

/// One section: a varint, and as many bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (mut len, mut shift) = (0_usize, 0);
    loop {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return None;
        }
    }
    let (section, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(section)
}
