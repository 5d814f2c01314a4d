//! SHA-256 digests, which is what a CID of the AT Protocol is: `01 CODEC 12 20` and 32 bytes.

use cid::Cid;
use cid::multihash::Multihash;
use sha2::{Digest as _, Sha256};

/// The digest of a block, without its codec.
pub(crate) type Digest = [u8; 32];

pub(crate) const DAG_CBOR: u8 = 0x71;
pub(crate) const RAW: u8 = 0x55;
const CID_V1: u8 = 1;
const SHA2_256: u8 = 0x12;
const DIGEST_LEN: u8 = 32;
/// Bytes of the only kind of CID that there is.
pub(crate) const CID_LEN: usize = 36;

#[inline]
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// Codec and digest of a CID's bytes; nothing if it is of another kind.
#[inline]
pub(crate) fn split_cid(bytes: &[u8]) -> Option<(u8, &Digest)> {
    let (&[CID_V1, codec @ (DAG_CBOR | RAW), SHA2_256, DIGEST_LEN], digest) =
        bytes.split_first_chunk()?
    else {
        return None;
    };
    Some((codec, digest.try_into().ok()?))
}

#[inline]
pub(crate) fn cid(codec: u8, digest: &Digest) -> Cid {
    #[expect(
        clippy::expect_used,
        reason = "a multihash of 64 bytes holds a digest of 32"
    )]
    let hash = Multihash::wrap(u64::from(SHA2_256), digest).expect("32 bytes fit");
    Cid::new_v1(u64::from(codec), hash)
}

/// The CID of a DAG-CBOR block.
#[inline]
pub(crate) fn cbor_cid(digest: &Digest) -> Cid {
    cid(DAG_CBOR, digest)
}

/// The digest of a CID of a DAG-CBOR block; nothing if it is of another kind.
#[inline]
pub(crate) fn of_cbor(cid: &Cid) -> Option<&Digest> {
    let hash = cid.hash();
    if cid.version() == cid::Version::V1
        && cid.codec() == u64::from(DAG_CBOR)
        && hash.code() == u64::from(SHA2_256)
    {
        hash.digest().try_into().ok()
    } else {
        None
    }
}
