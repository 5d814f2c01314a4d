//! A plain HTTP client for servers on loopback.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

/// Longest time for one request. The reference PDS answers within milliseconds, but a full test
/// run may keep both of a machine's cores busy.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A reqwest client without certificates: all that is talked to here is plain HTTP on loopback.
/// Deliberately not the one that atcomms uses, which these tests would otherwise not notice.
#[expect(
    clippy::expect_used,
    reason = "fails only for a TLS provider without cipher suites, or a TLS type that reqwest doesn't know"
)]
pub fn http_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .no_proxy()
        .timeout(REQUEST_TIMEOUT)
        .build()
        .expect("reqwest takes a rustls configuration of its own version")
}
