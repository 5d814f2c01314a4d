//! A DID document as plc.directory writes it today, with `Multikey`.

use serde_json::{Value, json};

use super::operation::Operation;

/// The document that follows from a DID's last operation.
pub(super) fn document(did: &str, operation: &Operation) -> Value {
    let methods: Vec<Value> = operation
        .verification_methods
        .iter()
        .map(|(name, key)| {
            json!({
                "id": format!("{did}#{name}"),
                "type": "Multikey",
                "controller": did,
                "publicKeyMultibase": key.strip_prefix("did:key:").unwrap_or(key),
            })
        })
        .collect();
    let services: Vec<Value> = operation
        .services
        .iter()
        .map(|(name, service)| {
            json!({
                "id": format!("#{name}"),
                "type": service.kind,
                "serviceEndpoint": service.endpoint,
            })
        })
        .collect();
    json!({
        "@context": [
            "https://www.w3.org/ns/did/v1",
            "https://w3id.org/security/multikey/v1",
            "https://w3id.org/security/suites/secp256k1-2019/v1",
        ],
        "id": did,
        "alsoKnownAs": operation.also_known_as,
        "verificationMethod": methods,
        "service": services,
    })
}
