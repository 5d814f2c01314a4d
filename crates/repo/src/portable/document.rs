//! A DID document, as far as a proof carries it.

use atcomms_lexicon::{Datetime, Did, Handle, Map, Uri, Value};

use super::error::StatementError;
use super::plc::{PlcLog, PlcLogError};
use crate::key::{MULTIKEY, VerifyingKey};

const KEY_FRAGMENT: &str = "#atproto";
const PDS_FRAGMENT: &str = "#atproto_pds";
const PDS_TYPE: &str = "AtprotoPersonalDataServer";
const HANDLE_SCHEME: &str = "at://";

/// What a DID document said of a repository's signing key, and when it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDocument {
    /// Whose document it is.
    pub did: Did,
    /// The key that signs the repository.
    pub key: VerifyingKey,
    /// The handle that the document claims, which may be anybody's.
    pub handle: Option<Handle>,
    /// The PDS of that time.
    pub pds: Option<Uri>,
    /// When the document was resolved, by the clock of who did.
    pub resolved_at: Datetime,
    /// The operations by which the DID vouches for the key. Without them, that the key is the DID's is the
    /// word of who made the proof.
    pub log: Option<PlcLog>,
}

impl KeyDocument {
    /// A document that says no more than what the key is.
    #[must_use]
    pub fn new(did: Did, key: VerifyingKey, resolved_at: Datetime) -> Self {
        Self {
            did,
            key,
            handle: None,
            pds: None,
            resolved_at,
            log: None,
        }
    }

    /// The document in the form that DID documents have.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let did = self.did.as_str();
        let mut fields = vec![
            ("id", text(did)),
            (
                "verificationMethod",
                Value::List(vec![map([
                    ("id", text(&format!("{did}{KEY_FRAGMENT}"))),
                    ("type", text(MULTIKEY)),
                    ("controller", text(did)),
                    ("publicKeyMultibase", text(&self.key.to_multikey())),
                ])]),
            ),
        ];
        if let Some(handle) = &self.handle {
            let name = text(&format!("{HANDLE_SCHEME}{handle}"));
            fields.push(("alsoKnownAs", Value::List(vec![name])));
        }
        if let Some(pds) = &self.pds {
            let service = map([
                ("id", text(PDS_FRAGMENT)),
                ("type", text(PDS_TYPE)),
                ("serviceEndpoint", text(pds.as_str())),
            ]);
            fields.push(("service", Value::List(vec![service])));
        }
        map(fields)
    }

    /// Reads the document of a proof.
    pub(super) fn read(document: &Value, resolved_at: Datetime) -> Result<Self, StatementError> {
        let bad = StatementError::Field;
        let did = read_text(document, "id").and_then(|did| did.parse().ok());
        let did: Did = did.ok_or(bad("document.id"))?;
        let id = format!("{did}{KEY_FRAGMENT}");
        let method = entry(document, "verificationMethod", |method| {
            read_text(method, "id") == Some(&id)
        });
        let method = method.ok_or(bad("document.verificationMethod"))?;
        let (Some(kind), Some(multibase)) = (
            read_text(method, "type"),
            read_text(method, "publicKeyMultibase"),
        ) else {
            return Err(bad("document.verificationMethod"));
        };
        let key = VerifyingKey::from_multibase(kind, multibase)?;
        let names = document.get("alsoKnownAs").and_then(Value::as_list);
        let handle = names.and_then(|names| names.iter().find_map(handle));
        let service = entry(document, "service", |service| {
            read_text(service, "id") == Some(PDS_FRAGMENT)
        });
        let pds = service.and_then(|service| read_text(service, "serviceEndpoint")?.parse().ok());
        Ok(Self {
            did,
            key,
            handle,
            pds,
            resolved_at,
            log: None,
        })
    }

    /// The log, if there is one, must be of this DID, and lead to this key.
    pub(super) fn check_log(&self) -> Result<(), PlcLogError> {
        match &self.log {
            Some(log) if *log.did() != self.did => Err(PlcLogError::OtherDid(self.did.clone())),
            Some(log) if *log.key() != self.key => Err(PlcLogError::OtherKey),
            _ => Ok(()),
        }
    }
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn map(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let named = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Value::Map(named.collect::<Map>())
}

pub(super) fn read_text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field)?.as_text()
}

fn entry<'v>(
    document: &'v Value,
    list: &str,
    is_it: impl Fn(&&Value) -> bool,
) -> Option<&'v Value> {
    document.get(list)?.as_list()?.iter().find(is_it)
}

fn handle(name: &Value) -> Option<Handle> {
    name.as_text()?.strip_prefix(HANDLE_SCHEME)?.parse().ok()
}
