//! Signing and verifying keys, on the two curves of the AT Protocol.
//!
//! A signature is 64 bytes (r and s, big-endian), over the SHA-256 of the message, and only its
//! low-S form is valid. K-256 is libsecp256k1's, P-256 is AWS-LC's.

mod multikey;
mod signing;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use atcomms_lexicon::fault;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use thiserror::Error;

pub use multikey::{ECDSA_K256_2019, ECDSA_P256_2019, MULTIKEY};
pub use signing::SigningKey;

use crate::digest::sha256;

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// The curves that a repository may be signed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// secp256k1, which most accounts use.
    K256,
    /// NIST P-256.
    P256,
}

/// A key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not a `did:key:z…`.
    #[error("`{0}` is not a did:key in base58btc; it must start with did:key:z")]
    NotDidKey(String),
    /// The text is not multibase of a kind that keys are written in.
    #[error("`{0}` is not base58btc multibase; a public key must start with z")]
    NotMultibase(String),
    /// The key is of another curve or algorithm than repositories are signed with.
    #[error("the key is neither K-256 nor P-256; only these sign repositories")]
    UnknownCurve,
    /// A verification method of a type that is not known.
    #[error(
        "verification method type `{0}` is not known; expected Multikey or one of the two 2019 ECDSA types"
    )]
    UnknownType(String),
    /// The bytes are not a point or a scalar of the curve.
    #[error("the bytes are not a key on {0:?}")]
    NotOnCurve(Curve),
}

/// A signature does not hold for the key and the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signature is not one of this key over these bytes (64 bytes, low-S)")]
pub struct BadSignature;

/// The public half of a repository's signing key. Cheap to clone.
///
/// ```
/// use atcomms_repo::key::{Curve, SigningKey, VerifyingKey};
///
/// let key = SigningKey::generate(Curve::K256);
/// let public = VerifyingKey::from_did_key(&key.public().to_did_key())?;
/// let signature = key.sign(b"hello");
/// assert!(public.verify(b"hello", &signature).is_ok());
/// assert!(public.verify(b"hullo", &signature).is_err());
/// # Ok::<(), atcomms_repo::key::KeyError>(())
/// ```
#[derive(Clone)]
pub struct VerifyingKey {
    compressed: [u8; 33],
    point: Point,
}

#[derive(Clone)]
enum Point {
    K256(secp256k1::PublicKey),
    P256(Arc<ParsedPublicKey>),
}

impl VerifyingKey {
    /// Reads a point in SEC1 form, compressed or not.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`].
    pub fn from_sec1(curve: Curve, bytes: &[u8]) -> Result<Self, KeyError> {
        let bad = KeyError::NotOnCurve(curve);
        match curve {
            Curve::K256 => {
                let key = secp256k1::PublicKey::from_slice(bytes).map_err(|_| bad)?;
                Ok(Self {
                    compressed: key.serialize(),
                    point: Point::K256(key),
                })
            }
            Curve::P256 => {
                let compressed = compress(bytes).ok_or_else(|| bad.clone())?;
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).map_err(|_| bad)?;
                Ok(Self {
                    compressed,
                    point: Point::P256(Arc::new(key)),
                })
            }
        }
    }

    /// The curve that the key is on.
    #[must_use]
    pub fn curve(&self) -> Curve {
        match self.point {
            Point::K256(_) => Curve::K256,
            Point::P256(_) => Curve::P256,
        }
    }

    /// The point in SEC1's compressed form.
    #[must_use]
    pub fn to_sec1(&self) -> [u8; 33] {
        self.compressed
    }

    /// Checks a signature over the SHA-256 of `message`.
    ///
    /// # Errors
    /// [`BadSignature`] if it is of another key or message, not 64 bytes, or not low-S.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match &self.point {
            Point::K256(key) => {
                let signature: &[u8; SIGNATURE_LEN] =
                    signature.try_into().map_err(|_| BadSignature)?;
                // libsecp256k1 itself refuses a high S.
                let signature = secp256k1::ecdsa::Signature::from_compact(signature)
                    .map_err(|_| BadSignature)?;
                let digest = secp256k1::Message::from_digest(sha256(message));
                secp256k1::ecdsa::verify(&signature, digest, key).map_err(|_| BadSignature)
            }
            Point::P256(key) => {
                let signature: &[u8; SIGNATURE_LEN] =
                    signature.try_into().map_err(|_| BadSignature)?;
                if !signing::p256_is_low_s(signature) && !fault::on("high-s") {
                    return Err(BadSignature);
                }
                key.verify_sig(message, signature).map_err(|_| BadSignature)
            }
        }
    }
}

/// SEC1's compressed form of a point that is given in either form.
fn compress(bytes: &[u8]) -> Option<[u8; 33]> {
    match bytes {
        [2 | 3, ..] => bytes.try_into().ok(),
        [4, coordinates @ ..] => {
            let (x, y) = coordinates.split_at_checked(32)?;
            let y: &[u8; 32] = y.try_into().ok()?;
            let [.., last] = y;
            let mut compressed = [2 | last & 1; 33];
            compressed.get_mut(1..)?.copy_from_slice(x);
            Some(compressed)
        }
        _ => None,
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.curve() == other.curve() && self.compressed == other.compressed
    }
}

impl Eq for VerifyingKey {}

impl Hash for VerifyingKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.curve().hash(state);
        self.compressed.hash(state);
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_did_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_texts_and_sign_low_s_on_both_curves() {
        for curve in [Curve::K256, Curve::P256] {
            for round in 0..20 {
                let key = SigningKey::generate(curve);
                let again = SigningKey::from_bytes(curve, &key.to_bytes()).unwrap();
                let public = VerifyingKey::from_did_key(&key.public().to_did_key()).unwrap();
                assert_eq!(public, again.public());
                assert_eq!(public.curve(), curve);
                let message = [round; 40];
                let signature = again.sign(&message);
                assert_eq!(
                    public.verify(&message, &signature),
                    Ok(()),
                    "{curve:?}, round {round}"
                );
                assert_eq!(public.verify(&[round; 41], &signature), Err(BadSignature));
                assert_eq!(public.verify(&message, &signature[..63]), Err(BadSignature));
                let mut high = signature;
                signing::negate_s(curve, &mut high);
                assert_eq!(
                    public.verify(&message, &high),
                    Err(BadSignature),
                    "high S on {curve:?}"
                );
            }
        }
    }

    #[test]
    fn a_secret_key_does_not_show() {
        let key = SigningKey::generate(Curve::K256);
        let shown = format!("{key:?}");
        assert!(
            shown.contains("did:key:") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn points_off_the_curve_are_refused() {
        for curve in [Curve::K256, Curve::P256] {
            for bytes in [&[2; 33][..30], &[0; 33], &[4; 65], &[], &[2, 255]] {
                assert_eq!(
                    VerifyingKey::from_sec1(curve, bytes),
                    Err(KeyError::NotOnCurve(curve)),
                    "{bytes:x?}"
                );
            }
            assert!(SigningKey::from_bytes(curve, &[0; 32]).is_err());
            assert!(SigningKey::from_bytes(curve, &[255; 32]).is_err());
            assert!(SigningKey::from_bytes(curve, &[1; 31]).is_err());
        }
    }
}
