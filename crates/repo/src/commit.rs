//! The commit object: which tree a repository holds, since when, and who says so.
//!
//! Version 3 of the repository format. A [`SignedCommit`] says what a commit *claims*; that its signature
//! holds is for [`SignedCommit::verify`] to say, and that a frame's commit can be believed, for
//! [`crate::verify`].

use atcomms_lexicon::{Did, Tid};
use bytes::Bytes;
use cid::Cid;
use thiserror::Error;

use crate::car::Block;
use crate::cbor::{self, CborError, CborErrorKind, Reader};
use crate::digest::{self, Digest};
use crate::key::{BadSignature, SIGNATURE_LEN, SigningKey, VerifyingKey};

/// The version of the repository format.
pub const COMMIT_VERSION: i64 = 3;

/// A block is not a commit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The bytes are not a commit's.
    #[error("the commit block cannot be read: {0}")]
    Malformed(#[from] CborError),
    /// A field is not there; without `sig` the commit is not signed.
    #[error("the commit block has no `{0}`")]
    Missing(&'static str),
    /// Another version of the format.
    #[error("the commit is of repository version {0}; only version {COMMIT_VERSION} is known")]
    Version(i64),
    /// The DID or the rev does not have its syntax.
    #[error("the commit's `{0}` does not have its syntax")]
    Syntax(&'static str),
}

/// A commit before it is signed. Its `prev` is null, as in every repository of today.
///
/// ```
/// use atcomms_repo::{Curve, SigningKey, UnsignedCommit, mst::Tree};
///
/// let key = SigningKey::generate(Curve::K256);
/// let commit = UnsignedCommit {
///     did: "did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse()?,
///     rev: "3n2xcy7j2kl2o".parse()?,
///     data: Tree::new().root_cid(),
/// };
/// let signed = commit.sign(&key);
/// assert!(signed.verify(&key.public()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedCommit {
    /// The repository.
    pub did: Did,
    /// Its rev, which is newer than that of every commit before.
    pub rev: Tid,
    /// The root of its tree.
    pub data: Cid,
}

impl UnsignedCommit {
    /// The bytes that are signed.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        self.encode(None)
    }

    /// Signs the commit.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> SignedCommit {
        self.with_signature(&key.sign(&self.to_cbor()))
    }

    /// Puts a signature that was made elsewhere on the commit. It is not checked.
    #[must_use]
    pub fn with_signature(&self, signature: &[u8; SIGNATURE_LEN]) -> SignedCommit {
        SignedCommit {
            did: self.did.clone(),
            rev: self.rev,
            data: self.data,
            block: Block::from_cbor(self.encode(Some(signature))),
        }
    }

    fn encode(&self, signature: Option<&[u8; SIGNATURE_LEN]>) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        cbor::write_len(&mut out, cbor::MAP, 5 + usize::from(signature.is_some()));
        cbor::write_text(&mut out, "did");
        cbor::write_text(&mut out, self.did.as_str());
        cbor::write_text(&mut out, "rev");
        cbor::write_text(&mut out, &self.rev.to_string());
        if let Some(signature) = signature {
            cbor::write_text(&mut out, "sig");
            cbor::write_bytes(&mut out, signature);
        }
        cbor::write_text(&mut out, "data");
        cbor::write_link(&mut out, &self.data);
        cbor::write_text(&mut out, "prev");
        cbor::write_null(&mut out);
        cbor::write_text(&mut out, "version");
        cbor::write_int(&mut out, COMMIT_VERSION);
        out
    }
}

/// A commit that carries a signature, which may or may not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCommit {
    did: Did,
    rev: Tid,
    data: Cid,
    block: Block,
}

impl SignedCommit {
    /// Reads a commit block.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, CommitError> {
        let block = Block::from_cbor(bytes);
        let parsed = CommitBlock::parse(&block.bytes)?;
        let did = parsed.did.parse().map_err(|_| CommitError::Syntax("did"))?;
        let rev = parsed.rev.parse().map_err(|_| CommitError::Syntax("rev"))?;
        let data = digest::cbor_cid(parsed.data);
        Ok(Self {
            did,
            rev,
            data,
            block,
        })
    }

    /// The repository that the commit says to be of.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// Its rev.
    #[must_use]
    pub fn rev(&self) -> Tid {
        self.rev
    }

    /// The root of its tree.
    #[must_use]
    pub fn data(&self) -> Cid {
        self.data
    }

    /// The commit's own CID.
    #[must_use]
    pub fn cid(&self) -> Cid {
        self.block.cid
    }

    /// The commit as a block.
    #[must_use]
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), BadSignature> {
        CommitBlock::parse(&self.block.bytes)
            .map_err(|_| BadSignature)?
            .verify(key)
    }
}

/// A commit block, borrowed from its bytes.
#[derive(Clone, Copy)]
pub(crate) struct CommitBlock<'a> {
    pub(crate) did: &'a str,
    pub(crate) rev: &'a str,
    pub(crate) data: &'a Digest,
    signature: &'a [u8],
    /// The number of fields, and the bytes of those before and after the signature: what was
    /// signed is the same map without it.
    fields: usize,
    before: &'a [u8],
    after: &'a [u8],
}

impl<'a> CommitBlock<'a> {
    /// Reads a commit block. Its fields must be in canonical order, as what was signed is.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CommitError> {
        let mut reader = Reader::new(bytes);
        let fields = reader.map()?;
        let start = reader.rest();
        let (mut did, mut rev, mut data, mut version, mut signature) =
            (None, None, None, None, None);
        let mut last_key: &[u8] = &[];
        for _ in 0..fields {
            let field = reader;
            let key = reader.text_bytes()?;
            if (key.len(), key) <= (last_key.len(), last_key) {
                return Err(field.error(CborErrorKind::NotCanonical).into());
            }
            last_key = key;
            match key {
                b"did" => did = Some(reader.text()?),
                b"rev" => rev = Some(reader.text()?),
                b"data" => data = Some(reader.cbor_link()?),
                b"version" => version = Some(reader.int()?),
                b"sig" => {
                    let value = reader.bytes()?;
                    let before = start
                        .get(..start.len() - field.rest().len())
                        .unwrap_or_default();
                    signature = Some((value, before, reader.rest()));
                }
                _ => reader.skip()?,
            }
        }
        reader.finish()?;
        let (signature, before, after) = signature.ok_or(CommitError::Missing("sig"))?;
        match version {
            Some(COMMIT_VERSION) => {}
            Some(version) => return Err(CommitError::Version(version)),
            None => return Err(CommitError::Missing("version")),
        }
        Ok(Self {
            did: did.ok_or(CommitError::Missing("did"))?,
            rev: rev.ok_or(CommitError::Missing("rev"))?,
            data: data.ok_or(CommitError::Missing("data"))?,
            signature,
            fields,
            before,
            after,
        })
    }

    pub(crate) fn verify(&self, key: &VerifyingKey) -> Result<(), BadSignature> {
        let mut message = Vec::with_capacity(9 + self.before.len() + self.after.len());
        cbor::write_len(&mut message, cbor::MAP, self.fields - 1);
        message.extend_from_slice(self.before);
        message.extend_from_slice(self.after);
        key.verify(&message, self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A commit block of fields that are written already.
    fn decode(fields: &[&[u8]]) -> Result<SignedCommit, CommitError> {
        let count = u8::try_from(fields.len()).unwrap();
        SignedCommit::decode([&[0xa0 | count][..], &fields.concat()].concat())
    }

    const DID: &[u8] = b"\x63did\x69did:web:a";
    const OTHER: &[u8] = b"\x63did\x69did:web:b";
    const REV: &[u8] = b"\x63rev\x6d3n2xcy7j2kl2o";
    const SIG: &[u8] = b"\x63sig\x41\x00";
    const DATA: &[u8] =
        b"\x64data\xd8\x2a\x58\x25\x00\x01\x71\x12\x2000000000000000000000000000000000";
    const PREV: &[u8] = b"\x64prev\xf6";
    const MORE: &[u8] = b"\x66future\x01";
    const VERSION: &[u8] = b"\x67version\x03";

    #[test]
    fn a_commit_has_each_field_once_and_in_order() {
        assert!(decode(&[DID, REV, SIG, DATA, PREV, VERSION]).is_ok());
        assert!(
            decode(&[DID, REV, SIG, DATA, VERSION]).is_ok(),
            "prev may be absent"
        );
        assert!(
            decode(&[DID, REV, SIG, DATA, PREV, MORE, VERSION]).is_ok(),
            "there may be more"
        );
        let bad: &[&[&[u8]]] = &[
            &[DID, DID, REV, SIG, DATA, PREV, VERSION],
            &[DID, OTHER, REV, SIG, DATA, PREV, VERSION],
            &[DID, REV, SIG, SIG, DATA, PREV, VERSION],
            &[REV, DID, SIG, DATA, PREV, VERSION],
            &[DID, REV, SIG, DATA, VERSION, PREV],
        ];
        for fields in bad {
            assert!(
                matches!(decode(fields), Err(CommitError::Malformed(_))),
                "{fields:x?}"
            );
        }
        for (left_out, name) in [
            (DID, "did"),
            (REV, "rev"),
            (SIG, "sig"),
            (DATA, "data"),
            (VERSION, "version"),
        ] {
            let fields = [DID, REV, SIG, DATA, PREV, VERSION]
                .into_iter()
                .filter(|field| *field != left_out);
            assert_eq!(
                decode(&fields.collect::<Vec<_>>()),
                Err(CommitError::Missing(name))
            );
        }
        assert_eq!(
            decode(&[DID, REV, SIG, DATA, PREV, b"\x67version\x04"]),
            Err(CommitError::Version(4))
        );
    }

    #[test]
    fn what_was_signed_is_the_commit_without_its_signature() {
        let key = SigningKey::generate(crate::key::Curve::K256);
        let unsigned = [&[0xa6][..], DID, REV, DATA, PREV, MORE, VERSION].concat();
        let signature = [b"\x63sig\x58\x40", &key.sign(&unsigned)[..]].concat();
        let commit = decode(&[DID, REV, &signature, DATA, PREV, MORE, VERSION]).unwrap();
        assert_eq!(
            commit.verify(&key.public()),
            Ok(()),
            "with a field that is not known"
        );
        let other = decode(&[OTHER, REV, &signature, DATA, PREV, MORE, VERSION]).unwrap();
        assert_eq!(other.verify(&key.public()), Err(BadSignature));
        let less = decode(&[DID, REV, &signature, DATA, PREV, VERSION]).unwrap();
        assert_eq!(less.verify(&key.public()), Err(BadSignature));
    }
}
