//! The one TLS configuration of atcomms: rustls on aws-lc-rs, Mozilla's roots, TLS 1.2 and 1.3.
//!
//! The provider is passed explicitly, so nothing depends on a process-wide default that another
//! library may have installed, or not.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

/// The client configuration that every connection of atcomms uses, made once.
///
/// For WebSockets: `tokio_tungstenite::Connector::Rustls(client_config())`.
pub fn client_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    CONFIG.get_or_init(|| Arc::new(build())).clone()
}

#[expect(
    clippy::expect_used,
    reason = "rustls refuses protocol versions only if the provider has no cipher suite for them"
)]
fn build() -> ClientConfig {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
