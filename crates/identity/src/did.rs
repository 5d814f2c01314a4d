//! A DID's document, from the directory (did:plc) or from the host itself (did:web).

use atcomms_lexicon::Did;
use atcomms_repo::VerifyingKey;
use bytes::Bytes;
use reqwest::StatusCode;
use url::Url;

use crate::client::GuardedClient;
use crate::document::{self, MAX_DOCUMENT_BYTES};
use crate::error::ResolveError;
use crate::fetch::{FetchError, fetch};
use crate::guard::is_loopback_url;
use crate::identity::Identity;
use crate::key_history::{self, KeyStanding, MAX_LOG_BYTES};

/// Characters after `did:plc:`: the first 24 of a base32 hash (did:plc specification).
const PLC_IDENTIFIER_CHARS: usize = 24;

/// Fetches the document and reads it. The handle is only claimed.
pub(crate) async fn resolve(
    client: &GuardedClient,
    plc: &Url,
    did: &Did,
) -> Result<Identity, ResolveError> {
    let url = document_url(plc, did)?;
    let from = url.host_str().unwrap_or_default().to_owned();
    let json = fetch(client, url, MAX_DOCUMENT_BYTES)
        .await
        .map_err(|error| failure(did, from, error))?;
    document::parse(did, &json).map_err(|problem| ResolveError::Document {
        did: did.clone(),
        problem,
    })
}

/// Where a key stands in the directory's audit log; unknown for a DID that is in no directory.
pub(crate) async fn key_standing(
    client: &GuardedClient,
    plc: &Url,
    did: &Did,
    key: &VerifyingKey,
) -> Result<KeyStanding, ResolveError> {
    if did.method() != "plc" {
        return Ok(KeyStanding::Unknown);
    }
    let log = fetch_log(client, plc, did, &["log", "audit"]).await?;
    key_history::standing(&log, did, key).map_err(|error| unreadable(did, &error))
}

/// The operations of a did:plc that count, the first first; none for a DID that is in no directory.
pub(crate) async fn operations(
    client: &GuardedClient,
    plc: &Url,
    did: &Did,
) -> Result<Vec<serde_json::Value>, ResolveError> {
    if did.method() != "plc" {
        return Ok(Vec::new());
    }
    let log = fetch_log(client, plc, did, &["log"]).await?;
    serde_json::from_slice(&log).map_err(|error| unreadable(did, &error))
}

async fn fetch_log(
    client: &GuardedClient,
    plc: &Url,
    did: &Did,
    which: &[&str],
) -> Result<Bytes, ResolveError> {
    let mut url = document_url(plc, did)?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(which);
    }
    let from = url.host_str().unwrap_or_default().to_owned();
    fetch(client, url, MAX_LOG_BYTES)
        .await
        .map_err(|error| failure(did, from, error))
}

fn unreadable(did: &Did, error: &serde_json::Error) -> ResolveError {
    ResolveError::Rejected {
        subject: did.to_string(),
        reason: format!("the directory gave a log that cannot be read: {error}"),
    }
}

fn document_url(plc: &Url, did: &Did) -> Result<Url, ResolveError> {
    let unsupported = |reason| ResolveError::Unsupported {
        did: did.clone(),
        reason,
    };
    match did.method() {
        "plc" => plc_url(plc, did).map_err(unsupported),
        "web" => web_url(did).map_err(unsupported),
        _ => Err(unsupported("only did:plc and did:web are used in atproto")),
    }
}

fn plc_url(plc: &Url, did: &Did) -> Result<Url, &'static str> {
    let identifier = did.as_str().strip_prefix("did:plc:").unwrap_or_default();
    let base32 = |b: u8| matches!(b, b'a'..=b'z' | b'2'..=b'7');
    if identifier.len() != PLC_IDENTIFIER_CHARS || !identifier.bytes().all(base32) {
        return Err("a did:plc has 24 characters of a to z and 2 to 7");
    }
    let mut url = plc.clone();
    url.path_segments_mut()
        .map_err(|()| "the directory's URL can't have a path")?
        .pop_if_empty()
        .push(did.as_str());
    Ok(url)
}

/// `did:web:example.com` is at `https://example.com/.well-known/did.json`. atproto allows a host
/// only, and a port (`%3A`) only for localhost, which is then reached without TLS.
fn web_url(did: &Did) -> Result<Url, &'static str> {
    const FORM: &str = "atproto allows a did:web of a host name only (and a port for localhost)";
    let identifier = did.as_str().strip_prefix("did:web:").unwrap_or_default();
    let (host, port) = match identifier
        .split_once("%3A")
        .or_else(|| identifier.split_once("%3a"))
    {
        Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| FORM)?)),
        None => (identifier, None),
    };
    let name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    if host.is_empty() || !host.bytes().all(name) {
        return Err(FORM);
    }
    let mut url: Url = format!("https://{host}/.well-known/did.json")
        .parse()
        .map_err(|_| FORM)?;
    if url.host_str() != Some(host) || url.domain().is_none() {
        return Err(FORM); // an IP address, in whichever spelling
    }
    if is_loopback_url(&url) {
        url.set_scheme("http").map_err(|()| FORM)?;
        url.set_port(port).map_err(|()| FORM)?;
    } else if port.is_some() || !host.contains('.') {
        return Err(FORM);
    }
    Ok(url)
}

fn failure(did: &Did, from: String, error: FetchError) -> ResolveError {
    let subject = did.to_string();
    match error {
        FetchError::Status(StatusCode::NOT_FOUND) => ResolveError::NoSuchDid {
            did: did.clone(),
            from,
        },
        FetchError::Status(StatusCode::GONE) => ResolveError::Tombstoned { did: did.clone() },
        FetchError::Refused(why) => ResolveError::Refused { subject, why },
        error if error.is_transient() => ResolveError::Unavailable {
            subject,
            reason: format!("{from}: {error}"),
        },
        error => ResolveError::Rejected {
            subject,
            reason: format!("{from}: {error}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(did: &str) -> Result<String, ResolveError> {
        let plc: Url = "https://plc.directory".parse().unwrap();
        document_url(&plc, &did.parse().unwrap()).map(String::from)
    }

    #[test]
    fn where_documents_are() {
        for (did, expected) in [
            (
                "did:plc:44ybard66vv44zksje25o7dz",
                "https://plc.directory/did:plc:44ybard66vv44zksje25o7dz",
            ),
            (
                "did:web:example.com",
                "https://example.com/.well-known/did.json",
            ),
            (
                "did:web:localhost%3A2583",
                "http://localhost:2583/.well-known/did.json",
            ),
            (
                "did:web:pds.localhost",
                "http://pds.localhost/.well-known/did.json",
            ),
        ] {
            assert_eq!(url(did).unwrap(), expected);
        }
        let behind_a_path: Url = "http://localhost:1/plc/".parse().unwrap();
        let did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
        let joined = document_url(&behind_a_path, &did).unwrap();
        assert_eq!(joined.path(), "/plc/did:plc:44ybard66vv44zksje25o7dz");
    }

    #[test]
    fn forms_that_atproto_does_not_use() {
        for did in [
            "did:plc:short",
            "did:plc:44YBARD66VV44ZKSJE25O7DZ",
            "did:plc:44ybard66vv44zksje25o7d1",
            "did:web:example.com:user:alice",
            "did:web:example.com%3A443",
            "did:web:example.com%2Fpath",
            "did:web:localhost%3A99999",
            "did:web:127.0.0.1",
            "did:web:2130706433",
            "did:web:0x7f.1",
            "did:web:intranet",
            "did:web:EXAMPLE.com",
            "did:web:user%40example.com",
            "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
        ] {
            let outcome = url(did);
            assert!(
                matches!(outcome, Err(ResolveError::Unsupported { .. })),
                "{did}: {outcome:?}"
            );
        }
    }
}
