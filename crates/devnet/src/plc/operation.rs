//! did:plc operations (<https://web.plc.directory/spec/v0.1/did-plc>): their bytes, signatures and names.

use std::collections::BTreeMap;

use atcomms_lexicon::{Cid, Did, Map, Value, cid_for_cbor};
use atcomms_repo::{SigningKey, VerifyingKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What one operation says of its DID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) verification_methods: BTreeMap<String, String>,
    pub(crate) rotation_keys: Vec<String>,
    pub(crate) also_known_as: Vec<String>,
    pub(crate) services: BTreeMap<String, Service>,
    /// The CID of the operation before; null in the first.
    pub(crate) prev: Option<String>,
}

/// A service of a DID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) endpoint: String,
}

/// Why an operation was refused, in the words of the reference implementation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlcError {
    #[error("Improperly formatted operation, {0}")]
    Improper(String),
    #[error("Operations not correctly ordered")]
    Misordered,
    #[error("Invalid signature on op")]
    Signature,
    #[error("Hash of genesis operation does not match DID identifier: {0}")]
    GenesisHash(String),
    #[error("Unsupported key: {0}")]
    UnsupportedKey(String),
    #[error("Recovery operation occured outside of the allowed 72 hr recovery window")]
    LateRecovery,
    #[error("the operation could not be written: {0}")]
    Write(#[from] std::io::Error),
}

impl Operation {
    /// A signed first or later operation.
    pub(crate) fn sign(&self, key: &SigningKey) -> Result<SignedOperation, PlcError> {
        let json = serde_json::to_value(self).map_err(improper)?;
        let unsigned = Value::from_json(json.clone()).map_err(improper)?.to_cbor();
        let serde_json::Value::Object(mut json) = json else {
            return Err(improper("not an object"));
        };
        let sig = URL_SAFE_NO_PAD.encode(key.sign(&unsigned));
        json.insert("sig".to_owned(), sig.into());
        SignedOperation::parse(serde_json::Value::Object(json))
    }

    fn check(&self) -> Result<(), PlcError> {
        if self.kind != OPERATION {
            return Err(improper(format!("unknown type {:?}", self.kind)));
        }
        if self.rotation_keys.len() > MAX_ROTATION_KEYS {
            return Err(improper("too many rotation keys"));
        }
        if self.rotation_keys.is_empty() {
            return Err(improper("need at least one rotation key"));
        }
        for key in self
            .verification_methods
            .values()
            .chain(&self.rotation_keys)
        {
            VerifyingKey::from_did_key(key).map_err(|_| PlcError::UnsupportedKey(key.clone()))?;
        }
        Ok(())
    }
}

/// An operation with its signature, as it was sent, and the names that follow from its bytes.
#[derive(Debug, Clone)]
pub(crate) struct SignedOperation {
    pub(crate) json: serde_json::Value,
    /// `None` for a tombstone.
    pub(crate) content: Option<Operation>,
    pub(crate) prev: Option<String>,
    pub(crate) cid: Cid,
    unsigned: Vec<u8>,
    signature: Vec<u8>,
    signed: Vec<u8>,
}

impl SignedOperation {
    /// Reads an operation, and checks all that can be checked of it alone.
    pub(crate) fn parse(json: serde_json::Value) -> Result<Self, PlcError> {
        let Value::Map(mut fields) = Value::from_json(json.clone()).map_err(improper)? else {
            return Err(improper("not an object"));
        };
        let signed = Value::Map(fields.clone()).to_cbor();
        let Some(Value::Text(sig)) = fields.remove("sig") else {
            return Err(improper("no signature"));
        };
        let signature = URL_SAFE_NO_PAD.decode(sig).map_err(improper)?;
        let content = if is_tombstone(&fields) {
            None
        } else {
            let content: Operation = serde_json::from_value(json.clone()).map_err(improper)?;
            content.check()?;
            Some(content)
        };
        let prev = match fields.get("prev") {
            Some(Value::Text(prev)) => Some(prev.clone()),
            Some(Value::Null) if content.is_some() => None,
            _ => return Err(improper("no prev")),
        };
        Ok(Self {
            cid: cid_for_cbor(&signed),
            unsigned: Value::Map(fields).to_cbor(),
            json,
            content,
            prev,
            signature,
            signed,
        })
    }

    /// The place of the key that signed this, among `keys`.
    pub(crate) fn signer(&self, keys: &[String]) -> Result<usize, PlcError> {
        keys.iter()
            .position(|key| {
                VerifyingKey::from_did_key(key)
                    .is_ok_and(|key| key.verify(&self.unsigned, &self.signature).is_ok())
            })
            .ok_or(PlcError::Signature)
    }

    /// The DID that this has as a first operation.
    pub(crate) fn did(&self) -> Result<Did, PlcError> {
        did_for(&self.signed)
    }
}

/// The first 24 characters of the hash in base32.
fn did_for(signed: &[u8]) -> Result<Did, PlcError> {
    let mut name = BASE32_NOPAD.encode(&Sha256::digest(signed)).to_lowercase();
    name.truncate(DID_LENGTH);
    format!("did:plc:{name}").parse().map_err(improper)
}

fn is_tombstone(fields: &Map) -> bool {
    matches!(fields.get("type"), Some(Value::Text(kind)) if kind == "plc_tombstone")
}

fn improper(why: impl std::fmt::Display) -> PlcError {
    PlcError::Improper(why.to_string())
}

/// The PDS's name among the services of a DID.
pub(crate) const PDS_SERVICE: &str = "atproto_pds";

/// The signing key's name among the verification methods of a DID.
pub(crate) const SIGNING_KEY: &str = "atproto";

/// The type of every operation but a tombstone.
pub(crate) const OPERATION: &str = "plc_operation";

/// Characters of the hash in a DID.
const DID_LENGTH: usize = 24;

/// Rotation keys in one operation, of the did:plc specification.
const MAX_ROTATION_KEYS: usize = 5;
