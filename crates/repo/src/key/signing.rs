//! The private half of a key.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::{Curve, KeyError, SIGNATURE_LEN, VerifyingKey};
use crate::digest::sha256;

/// Bytes of a private key.
const SECRET_LEN: usize = 32;

/// A repository's signing key. Cheap to clone; its secret never shows in `Debug`.
#[derive(Clone)]
pub struct SigningKey {
    public: VerifyingKey,
    secret: Arc<Secret>,
}

struct Secret {
    bytes: [u8; SECRET_LEN],
    pair: Pair,
}

enum Pair {
    K256(secp256k1::SecretKey),
    P256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// Makes a new key from the system's randomness.
    #[must_use]
    pub fn generate(curve: Curve) -> Self {
        loop {
            let mut bytes = [0; SECRET_LEN];
            #[expect(clippy::expect_used, reason = "without randomness no key can be made")]
            SystemRandom::new()
                .fill(&mut bytes)
                .expect("the system gives randomness");
            // All but one in 2^32 of the numbers (P-256), or in 2^127 (K-256), are a key.
            if let Ok(key) = Self::from_bytes(curve, &bytes) {
                return key;
            }
        }
    }

    /// Reads a private key: 32 bytes, big-endian.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`] if they are zero, too large or not 32.
    pub fn from_bytes(curve: Curve, bytes: &[u8]) -> Result<Self, KeyError> {
        let bad = KeyError::NotOnCurve(curve);
        let bytes: [u8; SECRET_LEN] = bytes.try_into().map_err(|_| bad.clone())?;
        let (pair, public) = match curve {
            Curve::K256 => {
                let key = secp256k1::SecretKey::from_secret_bytes(bytes).map_err(|_| bad)?;
                (
                    Pair::K256(key),
                    VerifyingKey::from_sec1(curve, &key.public_key().serialize())?,
                )
            }
            Curve::P256 => {
                let public = PrivateKey::from_private_key(&ECDH_P256, &bytes)
                    .ok()
                    .and_then(|key| key.compute_public_key().ok())
                    .ok_or_else(|| bad.clone())?;
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    algorithm,
                    &bytes,
                    public.as_ref(),
                );
                (
                    Pair::P256(Box::new(pair.map_err(|_| bad)?)),
                    VerifyingKey::from_sec1(curve, public.as_ref())?,
                )
            }
        };
        Ok(Self {
            public,
            secret: Arc::new(Secret { bytes, pair }),
        })
    }

    /// The private key: 32 bytes, big-endian. Keep them secret.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SECRET_LEN] {
        self.secret.bytes
    }

    /// The curve that the key is on.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.public.curve()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        self.public.clone()
    }

    /// Signs the SHA-256 of `message`; the result is low-S.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        match &self.secret.pair {
            Pair::K256(key) => {
                let digest = secp256k1::Message::from_digest(sha256(message));
                secp256k1::ecdsa::sign(digest, key).serialize_compact()
            }
            Pair::P256(pair) => {
                #[expect(
                    clippy::expect_used,
                    reason = "signing fails only when memory does; the form is fixed at 64 bytes"
                )]
                let mut signature: [u8; SIGNATURE_LEN] = pair
                    .sign(&SystemRandom::new(), message)
                    .ok()
                    .and_then(|signature| signature.as_ref().try_into().ok())
                    .expect("AWS-LC signs with a key that it has accepted");
                if !p256_is_low_s(&signature) {
                    negate_s(Curve::P256, &mut signature);
                }
                signature
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, //
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

const P256_HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, //
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

#[cfg(test)]
const K256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xfe, //
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

pub(super) fn p256_is_low_s(signature: &[u8; SIGNATURE_LEN]) -> bool {
    signature.iter().skip(32).le(P256_HALF_ORDER.iter())
}

/// Replaces s by n − s, which turns a valid signature's high form into its low form and back.
pub(super) fn negate_s(curve: Curve, signature: &mut [u8; SIGNATURE_LEN]) {
    let order = match curve {
        Curve::P256 => &P256_ORDER,
        #[cfg(test)]
        Curve::K256 => &K256_ORDER,
        // libsecp256k1 makes low signatures only.
        #[cfg(not(test))]
        Curve::K256 => return,
    };
    let mut borrow = false;
    for (s, n) in signature.iter_mut().skip(32).rev().zip(order.iter().rev()) {
        let (difference, under) = n.overflowing_sub(*s);
        let (difference, under_again) = difference.overflowing_sub(u8::from(borrow));
        *s = difference;
        borrow = under || under_again;
    }
}
