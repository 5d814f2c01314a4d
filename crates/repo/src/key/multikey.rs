//! Keys as text: `did:key`, and the `publicKeyMultibase` of a DID document.

use super::{Curve, KeyError, VerifyingKey};

/// The type of verification method whose key names its curve.
pub const MULTIKEY: &str = "Multikey";
/// The older type for K-256, whose key is the bare point.
pub const ECDSA_K256_2019: &str = "EcdsaSecp256k1VerificationKey2019";
/// The older type for P-256, whose key is the bare point.
pub const ECDSA_P256_2019: &str = "EcdsaSecp256r1VerificationKey2019";

const DID_KEY: &str = "did:key:";
/// Multicodec `secp256k1-pub` (0xe7) as a varint.
const K256_PREFIX: [u8; 2] = [0xe7, 0x01];
/// Multicodec `p256-pub` (0x1200) as a varint.
const P256_PREFIX: [u8; 2] = [0x80, 0x24];
/// Longer texts are no key; base58 takes time that grows with the square of the length.
const MAX_TEXT_LEN: usize = 256;

impl VerifyingKey {
    /// Reads a `did:key:z…`.
    ///
    /// # Errors
    /// [`KeyError`] if it is none, of another algorithm, or no point of its curve.
    pub fn from_did_key(text: &str) -> Result<Self, KeyError> {
        let multibase = text
            .strip_prefix(DID_KEY)
            .filter(|rest| rest.starts_with('z'));
        Self::from_multikey(multibase.ok_or_else(|| KeyError::NotDidKey(shown(text)))?)
    }

    /// Reads the `publicKeyMultibase` of a verification method of type `kind`.
    ///
    /// # Errors
    /// [`KeyError`] if the type is not known, or the key not readable as that type says.
    pub fn from_multibase(kind: &str, multibase: &str) -> Result<Self, KeyError> {
        match kind {
            MULTIKEY => Self::from_multikey(multibase),
            ECDSA_K256_2019 => Self::from_sec1(Curve::K256, &base58(multibase)?),
            ECDSA_P256_2019 => Self::from_sec1(Curve::P256, &base58(multibase)?),
            _ => Err(KeyError::UnknownType(shown(kind))),
        }
    }

    fn from_multikey(multibase: &str) -> Result<Self, KeyError> {
        let bytes = base58(multibase)?;
        let (curve, point) = match bytes.split_first_chunk() {
            Some((&K256_PREFIX, point)) => (Curve::K256, point),
            Some((&P256_PREFIX, point)) => (Curve::P256, point),
            _ => return Err(KeyError::UnknownCurve),
        };
        // A did:key names one key by one text: only the compressed form.
        if point.len() != 33 {
            return Err(KeyError::NotOnCurve(curve));
        }
        Self::from_sec1(curve, point)
    }

    /// The key as `did:key:z…`.
    #[must_use]
    pub fn to_did_key(&self) -> String {
        format!("{DID_KEY}{}", self.to_multikey())
    }

    /// The key as the `publicKeyMultibase` of a [`MULTIKEY`].
    #[must_use]
    pub fn to_multikey(&self) -> String {
        let prefix = match self.curve() {
            Curve::K256 => K256_PREFIX,
            Curve::P256 => P256_PREFIX,
        };
        format!(
            "z{}",
            bs58::encode([&prefix[..], &self.to_sec1()].concat()).into_string()
        )
    }
}

fn base58(multibase: &str) -> Result<Vec<u8>, KeyError> {
    multibase
        .strip_prefix('z')
        .filter(|text| text.len() <= MAX_TEXT_LEN)
        .and_then(|text| bs58::decode(text).into_vec().ok())
        .ok_or_else(|| KeyError::NotMultibase(shown(multibase)))
}

/// As much of a hostile text as an error should carry.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_texts_are_errors_with_their_reason() {
        assert!(matches!(
            VerifyingKey::from_did_key("did:plc:abc"),
            Err(KeyError::NotDidKey(_))
        ));
        assert!(matches!(
            VerifyingKey::from_did_key("did:key:z0OIl"),
            Err(KeyError::NotMultibase(_))
        ));
        assert!(matches!(
            VerifyingKey::from_did_key(&format!("did:key:z{}", "2".repeat(1 << 20))),
            Err(KeyError::NotMultibase(_))
        ));
        // An Ed25519 key.
        let ed25519 = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
        assert_eq!(
            VerifyingKey::from_did_key(ed25519),
            Err(KeyError::UnknownCurve)
        );
        assert!(matches!(
            VerifyingKey::from_multibase("JsonWebKey2020", "z2"),
            Err(KeyError::UnknownType(_))
        ));
    }
}
