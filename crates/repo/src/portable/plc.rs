//! The operations of a did:plc, by which a DID vouches for its own key: the DID is the hash of the first,
//! and each is signed by a key that the one before names (did:plc specification, "Operation Serialization,
//! Signing, and Validation").

use atcomms_lexicon::{Did, Map, Value, cid_for_cbor, fault};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use thiserror::Error;

use super::document::read_text;
use crate::digest;
use crate::key::VerifyingKey;

/// More operations than this are not checked: the directory takes few in an hour, and each costs
/// signatures.
const MAX_OPERATIONS: usize = 1_000;
/// Characters of the hash in a DID.
const DID_HASH_LEN: usize = 24;

/// The operations of a did:plc from its first to one that names a signing key, which were checked: nobody
/// but who held the DID's rotation keys can have made them.
///
/// That the directory took them, and that none of them was taken back since, they do not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlcLog {
    did: Did,
    key: VerifyingKey,
    operations: Vec<Value>,
}

/// Operations do not lead from a DID to a signing key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlcLogError {
    /// There are none, or more than anybody makes.
    #[error("there are {0} operations; 1 to {MAX_OPERATIONS} are checked")]
    Count(usize),
    /// An operation is none.
    #[error("operation {0} is not one of a did:plc")]
    Malformed(usize),
    /// The first operation is that of another DID.
    #[error("the first operation is not that of {0}, whose name would be its hash")]
    OtherDid(Did),
    /// An operation does not come after the one before.
    #[error("operation {0} does not come after the one before it")]
    Order(usize),
    /// An operation is not signed by who may.
    #[error("operation {0} is not signed by a rotation key of the one before it")]
    Signature(usize),
    /// The last operation names no signing key, or another than the document.
    #[error("the last operation does not name the document's key")]
    OtherKey,
}

impl PlcLog {
    /// Checks operations, the first first, as the directory's `/DID/log` lists them.
    ///
    /// # Errors
    /// [`PlcLogError`].
    pub fn verify(did: &Did, operations: Vec<Value>) -> Result<Self, PlcLogError> {
        if operations.len() > MAX_OPERATIONS {
            return Err(PlcLogError::Count(operations.len()));
        }
        let mut before: Option<Operation> = None;
        for (at, value) in operations.iter().enumerate() {
            let operation = Operation::read(value).ok_or(PlcLogError::Malformed(at))?;
            let prev = before.as_ref().map(|before| before.cid.as_str());
            if operation.prev.as_deref() != prev {
                return Err(PlcLogError::Order(at));
            }
            if at == 0 && did.as_str() != operation.did {
                return Err(PlcLogError::OtherDid(did.clone()));
            }
            let by = before.as_ref().unwrap_or(&operation);
            if !operation.is_signed_by(&by.rotation_keys) && !fault::on("plc-signature") {
                return Err(PlcLogError::Signature(at));
            }
            before = Some(operation);
        }
        let last = before.ok_or(PlcLogError::Count(0))?;
        Ok(Self {
            did: did.clone(),
            key: last.signing_key.ok_or(PlcLogError::OtherKey)?,
            operations,
        })
    }

    /// Whose they are.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The signing key that the last one names.
    #[must_use]
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The operations, the first first.
    #[must_use]
    pub fn operations(&self) -> &[Value] {
        &self.operations
    }
}

/// What is read of one operation.
struct Operation {
    cid: String,
    /// The DID that it has if it is a first one.
    did: String,
    prev: Option<String>,
    rotation_keys: Vec<VerifyingKey>,
    signing_key: Option<VerifyingKey>,
    unsigned: Vec<u8>,
    signature: Vec<u8>,
}

impl Operation {
    fn read(value: &Value) -> Option<Self> {
        let signed = value.to_cbor();
        let mut unsigned: Map = value.as_map()?.clone();
        let signature = unsigned.remove("sig")?;
        let prev = match value.get("prev")? {
            Value::Null => None,
            prev => Some(prev.as_text()?.to_owned()),
        };
        // The first form, `create`, names both kinds of key at once.
        let first_form = read_text(value, "type")? == "create";
        let rotation_keys = if first_form {
            let both = ["recoveryKey", "signingKey"];
            let both = both.iter().filter_map(|name| read_text(value, name));
            both.filter_map(key).collect()
        } else {
            let keys = value.get("rotationKeys").and_then(Value::as_list);
            let keys = keys.unwrap_or_default().iter().filter_map(Value::as_text);
            keys.filter_map(key).collect()
        };
        let signing_key = match value.get("verificationMethods") {
            _ if first_form => read_text(value, "signingKey"),
            Some(methods) => read_text(methods, "atproto"),
            None => None,
        };
        let mut hash = BASE32_NOPAD.encode(&digest::sha256(&signed)).to_lowercase();
        hash.truncate(DID_HASH_LEN);
        Some(Self {
            cid: cid_for_cbor(&signed).to_string(),
            did: format!("did:plc:{hash}"),
            prev,
            rotation_keys,
            signing_key: signing_key.and_then(key),
            unsigned: Value::Map(unsigned).to_cbor(),
            signature: BASE64URL_NOPAD
                .decode(signature.as_text()?.as_bytes())
                .ok()?,
        })
    }

    fn is_signed_by(&self, keys: &[VerifyingKey]) -> bool {
        keys.iter()
            .any(|key| key.verify(&self.unsigned, &self.signature).is_ok())
    }
}

fn key(text: &str) -> Option<VerifyingKey> {
    VerifyingKey::from_did_key(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Curve, SigningKey};
    use serde_json::json;

    fn signed(mut operation: serde_json::Value, by: &SigningKey) -> Value {
        let unsigned = Value::from_json(operation.clone()).unwrap().to_cbor();
        operation["sig"] = json!(BASE64URL_NOPAD.encode(&by.sign(&unsigned)));
        Value::from_json(operation).unwrap()
    }

    fn operation(
        rotation: &SigningKey,
        signing: &SigningKey,
        prev: Option<&Value>,
    ) -> serde_json::Value {
        let prev = prev.map(|prev| cid_for_cbor(&prev.to_cbor()).to_string());
        json!({
            "type": "plc_operation", "prev": prev, "alsoKnownAs": [], "services": {},
            "rotationKeys": [rotation.public().to_did_key()],
            "verificationMethods": {"atproto": signing.public().to_did_key()},
        })
    }

    fn did(first: &Value) -> Did {
        Operation::read(first).unwrap().did.parse().unwrap()
    }

    #[test]
    fn a_did_vouches_for_its_key_through_every_change() {
        let [root, next, one, two] =
            [Curve::K256, Curve::P256, Curve::P256, Curve::K256].map(SigningKey::generate);
        let first = signed(operation(&root, &one, None), &root);
        let second = signed(operation(&next, &one, Some(&first)), &root);
        let third = signed(operation(&next, &two, Some(&second)), &next);
        let alice = did(&first);
        let verify = |operations: &[&Value]| {
            PlcLog::verify(&alice, operations.iter().map(|it| (*it).clone()).collect())
        };
        let log = verify(&[&first, &second, &third]).unwrap();
        assert_eq!((log.did(), log.key()), (&alice, &two.public()));
        assert_eq!(*verify(&[&first]).unwrap().key(), one.public());

        assert_eq!(verify(&[]), Err(PlcLogError::Count(0)));
        assert_eq!(verify(&[&first, &third]), Err(PlcLogError::Order(1)));
        assert_eq!(verify(&[&second]), Err(PlcLogError::Order(0)));
        // Signed by a key that had been replaced.
        let late = signed(operation(&root, &two, Some(&second)), &root);
        assert_eq!(
            verify(&[&first, &second, &late]),
            Err(PlcLogError::Signature(2))
        );
        let others = signed(operation(&root, &two, None), &root);
        assert_eq!(
            verify(&[&others]),
            Err(PlcLogError::OtherDid(alice.clone()))
        );
        let tombstone =
            json!({"type": "plc_tombstone", "prev": cid_for_cbor(&first.to_cbor()).to_string()});
        let tombstone = signed(tombstone, &root);
        assert_eq!(verify(&[&first, &tombstone]), Err(PlcLogError::OtherKey));
        let unsigned = Value::from_json(operation(&root, &one, None)).unwrap();
        assert_eq!(verify(&[&unsigned]), Err(PlcLogError::Malformed(0)));
    }

    #[test]
    fn the_first_form_of_operation_is_read() {
        let [recovery, signing] = [Curve::K256, Curve::P256].map(SigningKey::generate);
        let create = json!({
            "type": "create", "handle": "alice.example.com", "service": "https://pds.example.com", "prev": null,
            "recoveryKey": recovery.public().to_did_key(), "signingKey": signing.public().to_did_key(),
        });
        for by in [&recovery, &signing] {
            let create = signed(create.clone(), by);
            let log = PlcLog::verify(&did(&create), vec![create]).unwrap();
            assert_eq!(*log.key(), signing.public());
        }
        let stranger = signed(create, &SigningKey::generate(Curve::K256));
        assert_eq!(
            PlcLog::verify(&did(&stranger), vec![stranger]),
            Err(PlcLogError::Signature(0))
        );
    }
}
