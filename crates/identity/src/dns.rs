//! A handle's DNS TXT record: `_atproto.HANDLE`, with the text `did=DID`.

use std::net::SocketAddr;
use std::time::Duration;

use atcomms_lexicon::{Did, Handle};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

/// How long one query to one name server may take. With [`DNS_ATTEMPTS`] a dead name server costs
/// six seconds, after which the handle is looked for over https.
const DNS_TIMEOUT: Duration = Duration::from_secs(3);

/// Queries before a name server counts as dead: a UDP packet may get lost.
const DNS_ATTEMPTS: usize = 2;

/// What begins the text of the record.
const PREFIX: &[u8] = b"did=";

/// Asks for a handle's TXT record.
pub(crate) struct HandleRecords {
    /// `Err`: why the system's configuration could not be read.
    resolver: Result<TokioResolver, String>,
}

/// What DNS says of a handle, apart from a DID.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DnsError {
    /// The answer is that there is no such record (or none with a DID in it).
    NoRecord(&'static str),
    /// Records that contradict each other.
    Conflict(Vec<Did>),
    /// No answer.
    Unavailable(String),
}

impl HandleRecords {
    /// Asks the given name server, or those of the system.
    pub(crate) fn new(name_server: Option<SocketAddr>) -> Self {
        Self {
            resolver: build(name_server).map_err(|error| error.to_string()),
        }
    }

    /// The DID in the handle's record.
    pub(crate) async fn did(&self, handle: &Handle) -> Result<Did, DnsError> {
        let resolver = self
            .resolver
            .as_ref()
            .map_err(|why| DnsError::Unavailable(why.clone()))?;
        // The final dot keeps the system's search domains out of it.
        match resolver.txt_lookup(format!("_atproto.{handle}.")).await {
            Ok(lookup) => pick(
                lookup
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::TXT(txt) => Some(txt.txt_data.concat()),
                        _ => None,
                    }),
            ),
            Err(error) if error.is_no_records_found() => Err(DnsError::NoRecord("no TXT record")),
            Err(error) => Err(DnsError::Unavailable(error.to_string())),
        }
    }
}

fn build(name_server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder = match name_server {
        Some(address) => {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            for connection in &mut server.connections {
                connection.port = address.port();
            }
            let config = ResolverConfig::from_name_servers(vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
        None => TokioResolver::builder_tokio()?,
    };
    let options = builder.options_mut();
    options.timeout = DNS_TIMEOUT;
    options.attempts = DNS_ATTEMPTS;
    options.cache_size = 0; // what was resolved is kept in one place, the resolver's own cache
    builder.build()
}

/// The one DID of all records; texts that are no DID are somebody else's.
fn pick(texts: impl Iterator<Item = Vec<u8>>) -> Result<Did, DnsError> {
    let mut dids: Vec<Did> = texts
        .filter_map(|text| {
            let did = str::from_utf8(text.strip_prefix(PREFIX)?).ok()?;
            did.trim().parse().ok()
        })
        .collect();
    dids.sort();
    dids.dedup();
    match dids.len() {
        0 => Err(DnsError::NoRecord("no TXT record with a DID")),
        1 => dids
            .pop()
            .ok_or(DnsError::NoRecord("no TXT record with a DID")),
        _ => Err(DnsError::Conflict(dids)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "did:plc:44ybard66vv44zksje25o7dz";
    const BOB: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    fn picked(texts: &[&str]) -> Result<Did, DnsError> {
        pick(texts.iter().map(|text| text.as_bytes().to_vec()))
    }

    #[test]
    fn one_did_among_other_texts() {
        let texts = [
            "v=spf1 -all",
            &format!("did={ALICE}"),
            "did=garbage",
            &format!("did={ALICE}"),
        ];
        assert_eq!(picked(&texts).unwrap(), *ALICE);
    }

    #[test]
    fn several_dids_are_an_error() {
        let texts = [format!("did={ALICE}"), format!("did={BOB}")];
        let outcome = picked(&[&texts[0], &texts[1]]);
        assert!(matches!(outcome, Err(DnsError::Conflict(dids)) if dids.len() == 2));
    }

    #[test]
    fn texts_without_a_did() {
        for texts in [&[][..], &["did="], &["did"], &["DID=did:plc:x"], &[ALICE]] {
            assert!(
                matches!(picked(texts), Err(DnsError::NoRecord(_))),
                "{texts:?}"
            );
        }
    }
}
