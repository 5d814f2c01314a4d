//! The session as an XRPC client of atrium's kind: any method of the PDS can be called with the
//! types of `atrium-api`, through the same bounds and with the same tokens.
//!
//! Mind that those types leave out an absent option where the protocol means an explicit null, and
//! that their `TryFromUnknown` panics on bad data.

use std::error::Error;

use atrium_xrpc::types::AuthorizationToken;
use atrium_xrpc::{HttpClient, XrpcClient};
use http::{Request, Response};
use secrecy::ExposeSecret;

use crate::session::Session;

impl HttpClient for Session {
    /// Sends one request, bounded in time and size.
    ///
    /// Cancel safe for us; whether the server acted on it is unknown if cancelled.
    async fn send_http(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, Box<dyn Error + Send + Sync + 'static>> {
        Ok(self.xrpc().send(request).await?)
    }
}

impl XrpcClient for Session {
    fn base_uri(&self) -> String {
        self.xrpc().name()
    }

    /// The access token, renewed if it is about to expire. None for a refresh: the session renews
    /// its tokens itself.
    async fn authorization_token(&self, is_refresh: bool) -> Option<AuthorizationToken> {
        if is_refresh {
            return None;
        }
        let tokens = self.tokens().await.ok()?;
        Some(AuthorizationToken::Bearer(
            tokens.access.expose_secret().to_owned(),
        ))
    }
}
