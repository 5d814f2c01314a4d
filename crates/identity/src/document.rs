//! A DID document, read for what atproto needs of it: handle, signing key, PDS.
//!
//! Entries of other kinds, and malformed ones beside a good one, are passed over; the first entry
//! that fits counts (atproto DID specification, "DID documents").

use atcomms_lexicon::{Did, Handle};
use atcomms_repo::VerifyingKey;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::error::DocumentProblem;
use crate::identity::Identity;

/// Largest document that is read, in bytes. A did:plc document is under 8 KiB by its directory's
/// rules; a did:web one has room for keys of other protocols.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Ends the id of the signing key.
const KEY_FRAGMENT: &str = "#atproto";
/// Ends the id of the service that is the PDS.
const PDS_FRAGMENT: &str = "#atproto_pds";
/// The type of the service that is the PDS.
const PDS_TYPE: &str = "AtprotoPersonalDataServer";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    id: String,
    #[serde(default)]
    also_known_as: Vec<Value>,
    #[serde(default)]
    verification_method: Vec<Value>,
    #[serde(default)]
    service: Vec<Value>,
}

/// Reads the document of `did`. The handle is only claimed: nobody was asked whether it resolves.
pub(crate) fn parse(did: &Did, json: &[u8]) -> Result<Identity, DocumentProblem> {
    let document: Document = serde_json::from_slice(json)
        .map_err(|error| DocumentProblem::Malformed(error.to_string()))?;
    if document.id != did.as_str() {
        return Err(DocumentProblem::WrongId(document.id));
    }
    Ok(Identity {
        did: did.clone(),
        handle: None,
        claimed_handle: document.also_known_as.iter().find_map(claimed_handle),
        key: signing_key(did, &document.verification_method)?,
        pds: pds(did, &document.service)?,
    })
}

fn claimed_handle(name: &Value) -> Option<Handle> {
    let handle: Handle = name.as_str()?.strip_prefix("at://")?.parse().ok()?;
    Some(handle.normalize())
}

fn signing_key(did: &Did, methods: &[Value]) -> Result<VerifyingKey, DocumentProblem> {
    let method = methods
        .iter()
        .find(|method| {
            let controller = text(method, "controller");
            has_id(method, did, KEY_FRAGMENT) && controller.is_none_or(|by| by == did.as_str())
        })
        .ok_or(DocumentProblem::NoKey)?;
    let (Some(kind), Some(multibase)) = (text(method, "type"), text(method, "publicKeyMultibase"))
    else {
        return Err(DocumentProblem::BadKey(
            "it has no type or no publicKeyMultibase".into(),
        ));
    };
    VerifyingKey::from_multibase(kind, multibase)
        .map_err(|error| DocumentProblem::BadKey(error.to_string()))
}

fn pds(did: &Did, services: &[Value]) -> Result<Url, DocumentProblem> {
    let service = services
        .iter()
        .find(|service| {
            has_id(service, did, PDS_FRAGMENT) && text(service, "type") == Some(PDS_TYPE)
        })
        .ok_or(DocumentProblem::NoPds)?;
    let endpoint = text(service, "serviceEndpoint")
        .ok_or_else(|| DocumentProblem::BadPds("its serviceEndpoint is not a string".into()))?;
    let url: Url = endpoint
        .parse()
        .map_err(|error| DocumentProblem::BadPds(format!("{endpoint}: {error}")))?;
    let plain = matches!(url.scheme(), "https" | "http")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if plain {
        Ok(url)
    } else {
        Err(DocumentProblem::BadPds(endpoint.to_owned()))
    }
}

/// Whether an entry's id is the fragment, alone or after the DID.
fn has_id(entry: &Value, did: &Did, fragment: &str) -> bool {
    text(entry, "id").is_some_and(|id| id.strip_prefix(did.as_str()).unwrap_or(id) == fragment)
}

fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field)?.as_str()
}
